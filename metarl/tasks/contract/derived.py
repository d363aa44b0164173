"""Attributes that an environment computed from others once, and that go stale when those change.

CartPole's `polemass_length = masspole * length` is the best-known one: whoever varies `length`
alone varies half of the physics.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import numpy as np

from metarl.tasks.custom.env import CustomEnv
from metarl.tasks.task import Task

MISSING = object()


def stale_attributes(env: CustomEnv, one: Task, other: Task) -> list[str]:
    """The assignments, such as `polemass_length = self.masspole * self.length`, that are stale.

    Args:
        env: whose task is given by attributes.
        one: a task.
        other: another one.

    Returns:
        Assignments whose source names a varied attribute, or one derived from it, and whose
        target is the same after a reset and a step under both tasks.
    """
    unwrapped = env.env.unwrapped
    derived = _derived(type(unwrapped), {path.partition(".")[0] for path in one})
    values: list[dict[str, Any]] = []
    for task in (one, other):
        env.reset(seed=0, options={"task": task})
        env.action_space.seed(0)
        env.step(env.action_space.sample())
        values.append({name: getattr(unwrapped, name, MISSING) for name in derived})
    return [
        f"{name} = {source}"
        for name, source in derived.items()
        if _is_numeric(values[0][name]) and np.array_equal(values[0][name], values[1][name])
    ]


def unread(cls: type, name: str) -> bool:
    """Say whether no code that `reset` and `step` of a class may run mentions an attribute.

    False where that cannot be known: a path, sources that are not at hand, or an environment that
    hands itself to other code. Drawing is not looked at.
    """
    made = [vars(base)["__init__"] for base in cls.__mro__[:-1] if "__init__" in vars(base)]
    if not name.isidentifier() or any(_mentions(one) is None for one in made):
        return False
    todo, met = ["reset", "step"], set[str]()
    while todo:
        method = todo.pop()
        if method in met or "render" in method:
            continue
        met.add(method)
        for base in cls.__mro__:
            if method not in vars(base) or base.__module__.startswith(("builtins", "typing")):
                continue
            mentioned = _mentions(vars(base)[method])
            if mentioned is None or name in mentioned:
                return False
            todo += [one for one in mentioned if _is_code(cls, one)]
    return True


def _is_code(cls: type, name: str) -> bool:
    """Say whether an attribute of a class is a function, or a property that runs one."""
    held = inspect.getattr_static(cls, name, None)
    return callable(held) or isinstance(held, property | staticmethod | classmethod)


def _mentions(code: Any) -> set[str] | None:
    """The attributes, of whatever object, that a method names; None where nobody can say."""
    code = code.fget if isinstance(code, property) else getattr(code, "__func__", code)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, TypeError, SyntaxError):
        return None
    nodes = list(ast.walk(tree))
    named = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    held = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    handed = any(_is_self(n) and id(n) not in held for n in nodes if isinstance(n, ast.expr))
    return None if handed or named & {"__dict__", "__getattribute__"} else named


def _is_numeric(value: Any) -> bool:
    return isinstance(value, int | float | np.number | np.ndarray) and not isinstance(value, bool)


def _derived(cls: type, varied: set[str]) -> dict[str, str]:
    """Attributes that `__init__` computes from `varied`, directly or by others: name to source."""
    assignments: list[tuple[str, ast.expr]] = []
    for base in cls.__mro__:
        if base.__module__.startswith(("builtins", "typing", "gymnasium.core")):
            continue
        if "__init__" in vars(base):
            assignments += _assignments(base)
    found: dict[str, str] = {}
    for _ in assignments:  # as often as a chain of derivations can be long
        for name, value in assignments:
            if name not in varied and _reads(value) & (varied | set(found)):
                found.setdefault(name, ast.unparse(value))
    return found


def _assignments(cls: type) -> list[tuple[str, ast.expr]]:
    """Every `self.name = expression` of `__init__`; none where the source is not at hand."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(vars(cls)["__init__"])))
    except (OSError, TypeError, SyntaxError):
        return []
    found = []
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            value = node.value  # type: ignore[attr-defined]
            if isinstance(target, ast.Attribute) and _is_self(target.value) and value is not None:
                found.append((target.attr, value))
    return found


def _reads(expression: ast.expr) -> set[str]:
    """The attributes of `self` that an expression reads."""
    return {
        node.attr
        for node in ast.walk(expression)
        if isinstance(node, ast.Attribute) and _is_self(node.value)
    }


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"

"""How a task reaches an environment that somebody else wrote."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator

if TYPE_CHECKING:  # families make these definitions
    from metarl.tasks.task import Task

Env = gymnasium.Env[Any, Any]
"""Somebody's environment, of whatever spaces."""
Way = Literal["auto", "attributes", "set_task", "reset_task", "options", "constructor"]
WAYS = ("auto", "attributes", "set_task", "reset_task", "options", "constructor")
METHODS: tuple[Way, ...] = ("set_task", "reset_task")
_PATH = re.compile(r"[A-Za-z_]\w*(\[\d+\])*(\.[A-Za-z_]\w*(\[\d+\])*)*")
_OPTION = re.compile(r"options\b.*[\"']task[\"']")
_STEP = re.compile(r"([A-Za-z_]\w*)|\[(\d+)\]")


def find_way(env: Env, names: list[str], asked: Way, arguments: list[str] | None) -> Way:
    """Find how `env` is told the values of `names`: as asked, or as `auto` finds out.

    `set_task(task)` (garage, learn2learn, Meta-World) and `reset_task(task)` (pytorch-maml-rl,
    VariBAD) come first; then `reset(options={"task": …})`, of environments that show the
    current task with these names as `task`, or whose reset reads it; then the attributes of those
    names.

    Args:
        env: as its author made it.
        names: of the task's parameters.
        asked: one of `WAYS`.
        arguments: of what makes it; None where it takes any.

    Raises:
        ValueError: it has no place for one of the names; lists what it has.
    """
    if asked == "auto" and (found := _spoken(env, names)):
        return found
    try:
        for name in names if asked in ("auto", "attributes") else ():
            get_attribute(env.unwrapped, name)
    except ValueError as error:
        known = [repr(name) for name in names if name in (arguments or ())]
        ways = []
        if known:
            ways.append(
                f'{known[0]} is an argument of its constructor: say apply="constructor", or '
                "--apply constructor"
            )
        if asked == "auto":
            ways.append('if its reset takes options["task"], say apply="options"')
        raise ValueError("; ".join([str(error), *ways])) from None
    return "attributes" if asked == "auto" else asked


def _spoken(env: Env, names: list[str]) -> Way | None:
    """A way that the environment itself has to be told a task."""
    for method in METHODS:
        if env.has_wrapper_attr(method):
            return method
    shown = getattr(env.unwrapped, "task", None)
    if _reads_a_task(env) or (isinstance(shown, dict) and shown and set(shown) == set(names)):
        return "options"
    return None


def require_place(env: Env, task: object) -> None:
    """Refuse a task of the environment's own that it has no way to be told.

    Raises:
        ValueError: it has no attributes of these names; shows what it has that sounds like it.
    """
    try:
        for name in task if isinstance(task, Mapping) else ("task",):
            get_attribute(env.unwrapped, name)
    except ValueError:
        named = type(env.unwrapped).__name__
        near = [k for k in dir(env.unwrapped) if "task" in k.lower() and k != "sample_tasks"]
        raise ValueError(
            f"{named} draws tasks such as {task!r}, but it cannot be told one: let it have "
            'set_task(task) or reset_task(task), let its reset read options["task"], or give the '
            "family an apply(env, task) function"
            + (f" ({named} has {', '.join(near)})" if near else "")
        ) from None


def registered(env_id: str) -> EnvSpec:
    """Look up `MyEnv-v0` in Gymnasium's registry, or `my_module:MyEnv-v0`, which is imported.

    Raises:
        ValueError: it does not know it, or the module cannot be imported.
    """
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        return gymnasium.spec(name)
    except (gymnasium.error.Error, ImportError) as error:
        raise ValueError(str(error)) from None


def constructor_arguments(make: Any) -> list[str] | None:
    """The keywords of a class or a function; None where it takes any, or nobody knows."""
    if isinstance(make, str):  # as Gymnasium's registry holds it
        make = load_env_creator(make)
    try:
        found = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(one.kind == one.VAR_KEYWORD for one in found):
        return None
    return [one.name for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]


def _reads_a_task(env: Env) -> bool:
    """Say whether the source of a reset, the environment's or a wrapper's, names `task`."""
    while True:
        try:
            source = inspect.getsource(type(env).reset)
        except (OSError, TypeError):  # not at hand
            source = ""
        if _OPTION.search(source):
            return True
        if not isinstance(env, gymnasium.Wrapper):
            return False
        env = env.env


def numbers(owner: object) -> dict[str, Any]:
    """The public attributes of an object that are numbers or arrays of numbers, by name."""
    found = {}
    for name in sorted({*dir(type(owner)), *getattr(owner, "__dict__", {})}):
        if name.startswith("_") or isinstance(getattr(type(owner), name, None), property):
            continue
        value = getattr(owner, name, None)
        if is_number(value) or (isinstance(value, np.ndarray) and value.dtype.kind in "fiu"):
            found[name] = value
    return found


def is_number(value: object) -> bool:
    """A number, and no bool."""
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def get_attribute(root: object, path: str) -> Any:
    """The value at `length`, `model.opt.gravity[2]` …: numbers, a truth value or a string.

    Raises:
        ValueError: there is none; lists those that there are.
    """
    owner, last = _walk(root, path)
    value = _get(owner, last, path)
    plain = isinstance(value, int | float | np.number | np.bool_ | str)
    if not (plain or (isinstance(value, np.ndarray) and value.dtype.kind in "fiu")):
        raise ValueError(f"{path!r} of {type(root).__name__} is no number but {value!r}")
    return value


def set_attribute(root: object, path: str, value: Any) -> None:
    """Set what `get_attribute` gets, which keeps its kind; arrays keep their shape, too.

    Raises:
        ValueError: there is no such attribute, it cannot be set, or the value does not fit.
    """
    old = get_attribute(root, path)
    if np.shape(value) != np.shape(old):
        raise ValueError(
            f"{path!r} of {type(root).__name__} has the shape {np.shape(old)}, "
            f"the task's value {value!r} has {np.shape(value)}"
            + (f"; {path}[0] is one element" if np.ndim(value) == 0 else "")
        )
    new: Any
    if isinstance(old, np.ndarray):
        new = np.asarray(value, old.dtype)
    else:
        new = _as_kind(old, value, path)
    try:
        _put(root, path, new)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{path!r} of {type(root).__name__} cannot be set: {error}") from None


def _as_kind(old: Any, value: Any, path: str) -> Any:
    """A value as one of the kind that an attribute has; a whole number may become any number."""
    if isinstance(old, bool | np.bool_) and value in (True, False):
        return bool(value)
    if isinstance(old, str) and isinstance(value, str):
        return value
    if isinstance(old, bool | np.bool_ | str) or isinstance(value, bool | str):
        raise ValueError(f"{path!r} is {old!r}, the task's value {value!r} is of another kind")
    whole = isinstance(old, int | np.integer) and float(value).is_integer()
    return int(value) if whole else float(value)


def _put(root: object, path: str, value: object) -> None:
    """Elements are set in a copy of their array, which environments of a class may share."""
    owner, last = _walk(root, path)
    if isinstance(last, int):
        array = owner.copy()
        array[last] = value
        _put(root, path[: path.rindex("[")], array)
    else:
        setattr(owner, last, value)


def _walk(root: object, path: str) -> tuple[Any, str | int]:
    """The object that holds the last step of a path, and that step."""
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} is no attribute; write length or model.opt.gravity[2]")
    steps: list[str | int] = [name or int(index) for name, index in _STEP.findall(path)]
    owner = root
    for step in steps[:-1]:
        owner = _get(owner, step, path)
    return owner, steps[-1]


def _get(owner: Any, step: str | int, path: str) -> Any:
    try:
        return owner[step] if isinstance(step, int) else getattr(owner, step)
    except (AttributeError, IndexError, TypeError):
        if isinstance(step, int) or isinstance(owner, np.ndarray):
            raise ValueError(f"{path!r} does not exist: what it leads to is {owner!r}") from None
        known = ", ".join(numbers(owner)) or "none"
        raise ValueError(
            f"{type(owner).__name__} has no {step!r} (of {path!r}); its numbers are: {known}"
        ) from None


def own_limit(env: Env) -> int | None:
    """The time limit of a made environment: the one it was registered with, or the shortest."""
    limits = [] if env.spec is None else [env.spec.max_episode_steps]
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            limits.append(env._max_episode_steps)
        env = env.env
    return min((limit for limit in limits if limit is not None), default=None)


Apply = Way | Callable[[Env, "Task"], None]
"""How a task reaches the environment: one of `WAYS`, or a function that sets it."""

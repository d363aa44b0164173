"""Families that are not built in: from a module, a file, a Gymnasium id or a run's description."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium

from metarl.tasks.assumed import assumed_horizon
from metarl.tasks.custom.definition import CustomDefinition
from metarl.tasks.custom.setters import Way, numbers
from metarl.tasks.distributions.grammar import VARY, from_json, parse_vary
from metarl.tasks.engines.vector.subprocess import in_subprocess
from metarl.tasks.family import TaskFamily
from metarl.tasks.guard import guarded
from metarl.tasks.modules import file_module, find_modules_here
from metarl.tasks.moved import FamilyNotFoundError
from metarl.tasks.registry import family_names, make_family
from metarl.tasks.task import task_at, unknown

TRIED = 8
"""Tasks that are told at the start to an environment that is made anew for each."""


def load_family(
    spec: str,
    preset: str | None = None,
    horizon: int | None = None,
    vary: Sequence[str] = (),
    workers: int = 0,
    tried: bool = True,
    apply: Way = "attributes",
) -> TaskFamily:
    """The family that `--env` and `--vary` name.

    Args:
        spec: a registered name, `my_module:my_family`, `path/to/file.py:my_family`, or a Gymnasium
            id, with `vary` or of an environment that draws its own tasks.
        preset: of the family.
        horizon: steps of an episode; the family's if not given.
        vary: `name=uniform(low,high)` or `name=choice(a,b,…)` each.
        workers: where there are to be any, no environment is tried in this process.
        apply: how what varies reaches the environment.
        tried: make an environment, so that what is wrong with it is said here.

    Raises:
        ValueError: it cannot be found, imported or made; says what to do.
        EnvironmentFailure: an environment that is tried in a worker hangs or dies.
    """
    find_modules_here()
    if apply != "attributes" and not vary:
        raise ValueError(f"--apply {apply} says how what --vary names is set: give --vary, too")
    if vary:
        if spec in family_names() or ".py:" in spec:
            raise ValueError(f"--vary is for Gymnasium environments; {spec} is a family already")
        family = TaskFamily(
            env=spec, parameters=parse_vary(vary), horizon=horizon or 0, apply=apply
        )
    elif spec in gymnasium.registry:
        family = _of_own_tasks(spec, horizon, workers)
    elif ":" in spec and spec not in family_names():
        with assumed_horizon(horizon or 0):
            family = _imported(spec, horizon, workers)
    else:
        family = make_family(spec)
    family = family.with_options(preset, horizon)
    return _checked(family, workers) if tried else family


def family_from_json(described: Mapping[str, Any], workers: int = 0) -> TaskFamily:
    """The family that `TaskFamily.to_json` described; a module's is imported again.

    Raises:
        ValueError: it cannot be made again.
    """
    name, preset, horizon = (described[key] for key in ("name", "preset", "horizon"))
    if "source" in described:
        return load_family(described["source"], preset, horizon, workers=workers)
    if "env" in described:
        find_modules_here()
        family = TaskFamily(
            name=name,
            env=described["env"],
            apply=described["apply"],
            parameters={k: from_json(v) for k, v in described["parameters"].items()},
            horizon=horizon,
        )
        return _checked(family, workers)
    return _checked(make_family(name, preset, horizon), workers)


def _checked(family: TaskFamily, workers: int) -> TaskFamily:
    """One environment is made and told a task, so that what is wrong is said before a start."""
    if isinstance(family.definition, CustomDefinition):
        spaces = in_subprocess(_spaces, family) if workers else _spaces(family)
        vars(family.definition)["spaces"] = spaces  # nobody need make one again to know them
    return family


def _spaces(family: TaskFamily) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    assert isinstance(family.definition, CustomDefinition)
    # what is made anew may have other spaces for another task
    number = TRIED if family.definition.apply == "constructor" else 1

    def tell(env: gymnasium.Env[Any, Any]) -> None:
        drawn = family.split("train").sample(number, 0)
        for i in range(number):
            env.reset(seed=0, options={"task": task_at(drawn, i)})

    def look() -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        env = family.make()
        try:
            guarded(lambda: tell(env), f"telling an environment of {family.name} a task")
        finally:
            env.close()
        return env.observation_space, env.action_space

    return guarded(look, f"making an environment of {family.name}")


def _of_own_tasks(env_id: str, horizon: int | None, workers: int) -> TaskFamily:
    """A Gymnasium environment that draws its own tasks."""
    one = TaskFamily(env=env_id, horizon=1)
    if known := in_subprocess(_if_drawn_by_others, one) if workers else _if_drawn_by_others(one):
        raise ValueError(
            f"{env_id} is a Gymnasium environment without sample_tasks(n), not a family: say what "
            f"varies with --vary; {VARY}; its numbers are: {known}"
        )
    return TaskFamily(env=env_id, horizon=horizon or 0)


def _if_drawn_by_others(family: TaskFamily) -> str:
    """The numbers of an environment without tasks of its own; empty if it has them."""
    definition = family.definition
    assert isinstance(definition, CustomDefinition)

    def look() -> str:
        env = definition.build()
        known = ", ".join(numbers(env.unwrapped)) or "none"
        own = env.has_wrapper_attr("sample_tasks")
        env.close()
        return "" if own else known

    return guarded(look, f"making {family.name}")


def _imported(spec: str, horizon: int | None, workers: int) -> TaskFamily:
    """`my_module:my_family`, `path/to/file.py:my_family`, or `my_module:Registered-v0`."""
    where, _, attribute = spec.rpartition(":")
    if not (where and attribute):
        raise ValueError(
            f"{spec!r} names no family: write my_module:my_family or path/to/file.py:my_family, "
            "the name of an metarl.tasks.TaskFamily in it"
        )
    source = spec
    if where.endswith(".py"):
        path = Path(where).resolve()
        if not path.is_file():
            raise FamilyNotFoundError(f"{spec}: there is no file {path}")
        source = f"{path}:{attribute}"
        module = file_module(path)
    else:
        module = guarded(lambda: _module(where, spec), f"importing {where}")
    if not hasattr(module, attribute):
        if attribute in gymnasium.registry and not where.endswith(".py"):
            return _of_own_tasks(spec, horizon, workers)
        families = [k for k, v in vars(module).items() if isinstance(v, TaskFamily)]
        raise ValueError(unknown("family", attribute, families, of=where))
    family = getattr(module, attribute)
    if not isinstance(family, TaskFamily):
        raise ValueError(f"{spec} is no metarl.tasks.TaskFamily, but {type(family).__name__}")
    return replace(family, source=source)


def _module(where: str, spec: str) -> ModuleType:
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        if not (error.name and f"{where}.".startswith(f"{error.name}.")):
            raise  # it is there, but needs what is not
        raise FamilyNotFoundError(f"{spec}: there is no module {error.name} on the path") from None

"""Families that are not built in: from a module, a file, a Gymnasium id or a run's description."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium

from envs.custom import CustomDefinition
from envs.dialects import numbers
from envs.family import TaskFamily, unknown
from envs.grammar import VARY, from_json, parse_vary
from envs.guard import guarded
from envs.registry import family_names, make_family


def load_family(
    spec: str,
    preset: str | None = None,
    horizon: int | None = None,
    vary: Sequence[str] = (),
) -> TaskFamily:
    """The family that `--env` and `--vary` name.

    Args:
        spec: a registered name, `my_module:my_family`, `path/to/file.py:my_family`, or with
            `vary` a Gymnasium id.
        preset: of the family.
        horizon: steps of an episode; the family's if not given.
        vary: `name=uniform(low,high)` or `name=choice(a,b,…)` each.

    Raises:
        ValueError: it cannot be found, imported or made; says what to do.
    """
    if vary:
        if spec in family_names():
            raise ValueError(f"--vary is for Gymnasium environments; {spec} is a family already")
        family = TaskFamily(
            env=spec, parameters=parse_vary(vary), horizon=horizon or 0, apply="attributes"
        )
        return _checked(family).with_options(preset, horizon)
    if spec in family_names() or not (":" in spec or spec in gymnasium.registry):
        return make_family(spec, preset, horizon)
    if spec in gymnasium.registry:
        env = CustomDefinition(spec).build()
        known = ", ".join(numbers(env.unwrapped))
        env.close()
        raise ValueError(
            f"{spec} is a Gymnasium environment, not a family: say what varies with --vary; "
            f"{VARY}; its numbers are: {known}"
        )
    return _checked(_imported(spec)).with_options(preset, horizon)


def family_from_json(described: Mapping[str, Any]) -> TaskFamily:
    """The family that `TaskFamily.to_json` described; a module's is imported again.

    Raises:
        ValueError: it cannot be made again.
    """
    name, preset, horizon = (described[key] for key in ("name", "preset", "horizon"))
    if "source" in described:
        return load_family(described["source"], preset, horizon)
    if "env" in described:
        return TaskFamily(
            name=name,
            env=described["env"],
            apply=described["apply"],
            parameters={k: from_json(v) for k, v in described["parameters"].items()},
            horizon=horizon,
        )
    return make_family(name, preset, horizon)


def _checked(family: TaskFamily) -> TaskFamily:
    """One environment is made, so that what is wrong with it is said before anything starts."""
    guarded(lambda: family.make().close(), f"making an environment of {family.name}")
    return family


def _imported(spec: str) -> TaskFamily:
    """`my_module:my_family` or `path/to/file.py:my_family`."""
    where, _, attribute = spec.rpartition(":")
    source = spec
    if where.endswith(".py"):
        path = Path(where).resolve()
        if not path.is_file():
            raise ValueError(f"--env {spec}: there is no file {path}")
        source = f"{path}:{attribute}"
        module = _file_module(path)
    else:
        if str(Path.cwd()) not in sys.path and "" not in sys.path:
            sys.path.append(str(Path.cwd()))
        module = guarded(lambda: importlib.import_module(where), f"importing {where}")
    if not hasattr(module, attribute):
        families = [k for k, v in vars(module).items() if isinstance(v, TaskFamily)]
        raise ValueError(unknown("family", attribute, families, of=where))
    family = getattr(module, attribute)
    if not isinstance(family, TaskFamily):
        raise ValueError(f"{spec} is no envs.TaskFamily, but {type(family).__name__}")
    return replace(family, source=source)


def _file_module(path: Path) -> ModuleType:
    """A file as a module that worker processes can import by its name, too."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = guarded(lambda: importlib.import_module(path.stem), f"importing {path}")
    found = getattr(module, "__file__", None)
    if found is None or Path(found).resolve() != path:
        raise ValueError(
            f"{path} cannot be imported as {path.stem!r}: another module of that name is found "
            f"first ({found or 'built in'}); rename the file"
        )
    return module

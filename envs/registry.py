"""All families by name."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points

from envs.acrobot import ACROBOT
from envs.bandit import BANDITS
from envs.control import CONTROL
from envs.family import TaskFamily
from envs.grid import GRID_NAVI
from envs.guard import guarded
from envs.locomotion import LOCOMOTION
from envs.metaworld import PREFIX, metaworld_family
from envs.navigation import POINT_NAV, POINT_NAV_SPARSE
from envs.physics import PHYSICS
from envs.tabular import TABULAR_MDP
from envs.task import unknown

GROUP = "metarl.families"
"""Entry points of this group in an installed package are families, under their names."""
_FAMILIES: dict[str, TaskFamily] = {}


def register_family(family: TaskFamily) -> None:
    """Make a family known by its name, for `make_family` and `--env`.

    Raises:
        ValueError: the name is taken.
    """
    if family.name in _FAMILIES:
        raise ValueError(f"a family named {family.name!r} is already registered")
    _FAMILIES[family.name] = family


def family_names() -> list[str]:
    """The names of all families, sorted: built in, registered and of installed packages; those of
    Meta-World (`envs.metaworld.NAMES`) are known without being listed.
    """
    return sorted({*_FAMILIES, *_installed()})


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def make_family(name: str, preset: str | None = None, horizon: int | None = None) -> TaskFamily:
    """The family `name`, as `preset` defines it.

    Raises:
        ValueError: an unknown name or preset (with the nearest ones), a bad horizon, a family of
            Meta-World's where that is not installed, or an installed package whose entry point is
            no family.
    """
    if name.startswith(PREFIX):
        return metaworld_family(name).with_options(preset, horizon)
    if name not in family_names():
        raise ValueError(
            unknown("env", name, family_names())
            + "; --list-envs shows them all; your own is my_module:my_family or file.py:my_family"
        )
    family = _FAMILIES[name] if name in _FAMILIES else _loaded(_installed()[name])
    return family.with_options(preset, horizon)


def _loaded(entry: EntryPoint) -> TaskFamily:
    """The family of an installed package, under the name that its entry point gives it."""
    try:
        family = guarded(entry.load, f"importing {entry.value}")
    except ValueError as error:
        raise ValueError(
            f"the family {entry.name!r} of an installed package cannot be loaded: {error}"
        ) from None
    if not isinstance(family, TaskFamily):
        raise ValueError(f"{entry.value} is no envs.TaskFamily, but {type(family).__name__}")
    return replace(family, name=entry.name)


BUILT_IN = (
    *LOCOMOTION,
    *PHYSICS,
    POINT_NAV,
    POINT_NAV_SPARSE,
    *BANDITS,
    TABULAR_MDP,
    GRID_NAVI,
    *CONTROL,
    ACROBOT,
)
for _family in BUILT_IN:
    register_family(_family)

"""All families by name."""

from __future__ import annotations

from envs.acrobot import ACROBOT
from envs.bandit import BANDITS
from envs.control import CONTROL
from envs.family import TaskFamily, unknown
from envs.grid import GRID_NAVI
from envs.locomotion import LOCOMOTION
from envs.navigation import POINT_NAV, POINT_NAV_SPARSE
from envs.physics import PHYSICS
from envs.tabular import TABULAR_MDP

_FAMILIES: dict[str, TaskFamily] = {}


def register_family(family: TaskFamily) -> None:
    """Make a family known by its name.

    Raises:
        ValueError: the name is taken.
    """
    if family.name in _FAMILIES:
        raise ValueError(f"a family named {family.name!r} is already registered")
    _FAMILIES[family.name] = family


def family_names() -> list[str]:
    """The names of all families, sorted."""
    return sorted(_FAMILIES)


def make_family(name: str, preset: str | None = None, horizon: int | None = None) -> TaskFamily:
    """The family `name`, as `preset` defines it.

    Raises:
        ValueError: an unknown name or preset (with the nearest ones), or a bad horizon.
    """
    if name not in _FAMILIES:
        raise ValueError(unknown("env", name, family_names()) + "; --list-envs shows them all")
    return _FAMILIES[name].with_options(preset, horizon)


_BUILT_IN = (
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
for _family in _BUILT_IN:
    register_family(_family)

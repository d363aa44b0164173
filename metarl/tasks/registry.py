"""All families by name: registered in this process, or of installed packages."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

import gymnasium

from metarl.tasks.family import TaskFamily
from metarl.tasks.guard import guarded
from metarl.tasks.protocols import Family
from metarl.tasks.single import FamilyEnv
from metarl.tasks.task import unknown

GROUP = "metarl.families"
"""Entry points of this group in an installed package: an object that is called `catalogue` is one;
any other is a family, under the entry point's name."""
_FAMILIES: dict[str, TaskFamily] = {}


class Catalogue(Protocol):
    """The families of an installed package; making a catalogue imports none of them."""

    @property
    def unlisted(self) -> str:
        """Families that `names` does not list, for people; empty where there are none."""

    def names(self) -> Sequence[str]:
        """The names that `make` knows, but for those that are a pattern."""

    def env_ids(self) -> Mapping[str, str]:
        """Gymnasium id of a plain environment → name of its family."""

    def hints(self, name: str) -> Mapping[str, Any] | None:
        """Hyper-parameters that a family suggests to every algorithm whose presets do not name it;
        None where the catalogue has no family of that name.
        """

    def make(self, name: str) -> Family | None:
        """The `TaskFamily` of that name; None where the catalogue has none."""


def register_family(family: TaskFamily) -> None:
    """Make a family known by its name, for `make_family` and `--env`.

    Raises:
        ValueError: the name is taken.
    """
    if family.name in {*_FAMILIES, *_catalogued()}:
        raise ValueError(f"a family named {family.name!r} is already registered")
    _FAMILIES[family.name] = family


def family_names() -> list[str]:
    """The names of all families that can be listed, sorted; see `unlisted` for the others."""
    return sorted({*_FAMILIES, *_catalogued(), *_installed()})


def unlisted() -> list[str]:
    """Collect what catalogues say of families that are patterns of names."""
    return [each.unlisted for each in catalogues() if each.unlisted]


def hints(name: str) -> Mapping[str, Any] | None:
    """Return the hyper-parameters that a catalogue's family suggests; None of a user's."""
    found = (each.hints(name) for each in catalogues())
    return next((suggested for suggested in found if suggested is not None), None)


def make_family(name: str, preset: str | None = None, horizon: int | None = None) -> TaskFamily:
    """The family `name`, as `preset` defines it.

    Raises:
        ValueError: an unknown name or preset (with the nearest ones), a bad horizon, a family
            whose package is not installed, or an installed package whose entry point is no family.
    """
    family = _FAMILIES.get(name) or _from_catalogues(name)
    if family is None and name in (points := _installed()):
        family = _loaded(points[name])
    if family is None:
        raise ValueError(
            unknown("env", name, family_names())
            + "; --list-envs shows them all; your own is my_module:my_family or file.py:my_family"
            + ("" if catalogues() else "; metarl's own are not installed: pip install -e .")
        )
    return family.with_options(preset, horizon)


def make_env(name: str, render_mode: str | None = None) -> FamilyEnv:
    """The plain environment of a family, for `gymnasium.make`."""
    return FamilyEnv(make_family(name), render_mode)


def register_with_gymnasium() -> None:
    """Make the environments of all catalogues known to Gymnasium, without importing a family."""
    for each in catalogues():
        for env_id, name in each.env_ids().items():
            if env_id not in gymnasium.registry:
                gymnasium.register(
                    env_id,
                    entry_point=f"{__name__}:make_env",
                    kwargs={"name": name},
                    disable_env_checker=True,  # a refused first reset leaves Gymnasium's broken
                )


@cache
def catalogues() -> tuple[Catalogue, ...]:
    """Load those of installed packages; one that cannot be imported is warned of and left out."""
    found: list[Catalogue] = []
    for entry in entry_points(group=GROUP):
        if entry.attr == "catalogue":
            try:
                found.append(guarded(entry.load, f"importing {entry.value}"))
            except ValueError as error:
                warnings.warn(
                    f"families of an installed package are missing: {error}", stacklevel=2
                )
    return tuple(found)


def _catalogued() -> list[str]:
    return [name for each in catalogues() for name in each.names()]


def _from_catalogues(name: str) -> TaskFamily | None:
    for each in catalogues():
        if isinstance(family := each.make(name), TaskFamily):
            return family
    return None


def _installed() -> dict[str, EntryPoint]:
    """Entry points that are one family each."""
    return {e.name: e for e in entry_points(group=GROUP) if e.attr != "catalogue"}


def _loaded(entry: EntryPoint) -> TaskFamily:
    """The family of an installed package, under the name that its entry point gives it."""
    try:
        family: Any = guarded(entry.load, f"importing {entry.value}")
    except ValueError as error:
        raise ValueError(
            f"the family {entry.name!r} of an installed package cannot be loaded: {error}"
        ) from None
    if not isinstance(family, TaskFamily):
        raise ValueError(
            f"{entry.value} is no metarl.tasks.TaskFamily, but {type(family).__name__}"
        )
    return replace(family, name=entry.name)

"""All families of tasks as a table: what varies and how, horizon, spaces and presets."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from functools import partial
from typing import Any

import gymnasium
from rich import box
from rich.console import Console
from rich.table import Table

from metarl.tasks import TaskFamily, family_names, guarded, make_family
from metarl.tasks.registry import unlisted

Presets = Mapping[str, Container[str]]  # preset -> the families that it has hyper-parameters for


def show_families(console: Console, algorithms: Mapping[str, Presets]) -> int:
    """Print every family.

    Args:
        console: where to.
        algorithms: name → its presets.

    Returns:
        The exit code, 0.
    """
    table = Table(
        "env", "task", "meaning", "range", "H", "obs", "action", box=box.SIMPLE_HEAD, padding=(0, 1)
    )
    presets = Table("env", "tasks", "presets", box=box.SIMPLE_HEAD, padding=(0, 1))
    families = list(_families(console))
    for family in families:
        spaces = _space(family.observation_space), _space(family.action_space)
        first: tuple[str, tuple[str, ...]] = (family.name, (str(family.horizon), *spaces))
        for parameter, distribution in family.parameters.items():
            name, last = first
            meaning = family.meaning.get(parameter, "")
            table.add_row(name, parameter, meaning, str(distribution), *last)
            first = ("", ())
        name = family.name
        for tasks, named in _presets(family, algorithms).items():
            presets.add_row(name, tasks, named)
            name = ""
    console.print(table)
    console.print(presets)
    finite = ", ".join(f"{family.name} ({family.number})" for family in families if family.finite)
    console.print(
        "H is the horizon in steps; box n is n real numbers, one of n a choice. --preset chooses a "
        "preset, whose tasks differ as shown; tasks only are those without hyper-parameters here; "
        "families that are not named have the preset default alone. Families with finitely many "
        f"tasks meet their training tasks again at test: {finite}. There are also "
        f"{'; '.join(unlisted())}. Definitions and sources: docs/families.md",
        markup=False,
        highlight=False,
    )
    return 0


def _families(console: Console) -> Iterator[TaskFamily]:
    """All that can be loaded; what an installed package breaks must not hide the others."""
    for name in family_names():
        try:
            family = make_family(name)
            making = f"making an environment of {name}"
            guarded(partial(getattr, family, "observation_space"), making)
        except ValueError as error:
            console.print(str(error), markup=False, highlight=False)
        else:
            yield family


def _space(space: gymnasium.Space[Any]) -> str:
    if isinstance(space, gymnasium.spaces.Discrete):
        return f"one of {space.n}"
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return "one each of " + "×".join(str(n) for n in space.nvec)
    return "box " + "×".join(str(n) for n in space.shape or ())


def _presets(family: TaskFamily, algorithms: Mapping[str, Presets]) -> dict[str, str]:
    """Presets of the same tasks, by how these differ from the family's own.

    By algorithm, then those that define tasks but no hyper-parameters.
    """
    own = ["default", *family.presets]
    found: dict[str, dict[str, list[str]]] = {}
    for preset in own:
        for algorithm in _algorithms(family, preset, algorithms):
            tasks = _difference(family, family.with_options(preset))
            found.setdefault(tasks, {}).setdefault(algorithm, []).append(preset)
    return {
        tasks: "; ".join(f"{algorithm}: {', '.join(named)}" for algorithm, named in by.items())
        for tasks, by in found.items()
    }


def _algorithms(family: TaskFamily, preset: str, algorithms: Mapping[str, Presets]) -> list[str]:
    """Name those that have hyper-parameters of a preset for a family, or say "tasks only"."""
    named = [
        algorithm
        for algorithm, presets in algorithms.items()
        if family.name in presets.get(preset, ())
    ]
    return named or ([] if preset == "default" else ["tasks only"])


def _difference(family: TaskFamily, other: TaskFamily) -> str:
    """Say what the tasks of a preset have that the family's have not."""
    parts = [
        str(distribution)
        for name, distribution in other.parameters.items()
        if distribution != family.parameters[name]
    ]
    if other.horizon != family.horizon:
        parts.append(f"H {other.horizon}")
    if other.observation_space != family.observation_space:
        parts.append(_space(other.observation_space))
    elif other.definition is not family.definition:
        parts.append("another reward")
    return ", ".join(parts) or "as above"

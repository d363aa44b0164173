"""Held-out tasks that are not new: a fixed list of tasks gives those of training again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from metarl.tasks.family import TaskFamily
from metarl.tasks.task import Tasks


class Repeats(NamedTuple):
    """These numbers say how new some held-out tasks are."""

    tasks: int  # drawn to be held out
    different: int  # of them
    trained: int  # of them, met among the tasks of a training iteration, too


def repeats(held_out: Mapping[str, np.ndarray], trained: Mapping[str, np.ndarray]) -> Repeats:
    """Count how many held-out tasks are different ones, and how many are tasks of training."""
    drawn, known = _rows(held_out), set(_rows(trained))
    return Repeats(len(drawn), len(set(drawn)), sum(row in known for row in drawn))


def _rows(tasks: Mapping[str, np.ndarray]) -> list[tuple[object, ...]]:
    """Every task as something that can be compared."""
    columns = [[_value(v) for v in np.asarray(tasks[name])] for name in sorted(tasks)]
    return list(zip(*columns, strict=True))


def _value(value: np.ndarray) -> object:
    """The bits of numbers, or what is shown of anything else."""
    found = np.asarray(value)
    return repr(value) if found.dtype == object else found.tobytes()


def repeats_advice(family: TaskFamily, held_out: Tasks, trained: Tasks) -> str:
    """Say what to know of held-out tasks that are not new; nothing where they are.

    Args:
        family: of the tasks.
        held_out: drawn from one of its splits, to be evaluated on.
        trained: those of a training iteration.
    """
    if family.finite:
        return (
            f"{family.name} has {family.number} tasks in all: its splits coincide, so that the "
            f"{len(_rows(held_out))} held-out tasks are tasks of training"
        )
    found = repeats(held_out, trained)
    if found.different == found.tasks and not found.trained:
        return ""
    return (
        f"the {found.tasks} held-out tasks of {family.name} are {found.different} different ones, "
        f"and {found.trained} of them are among the {len(_rows(trained))} of a training iteration: "
        "tasks from a fixed list are no new ones; test_parameters of a family can hold some out"
    )

"""Held-out tasks that are not new: a fixed list of tasks gives those of training again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from metarl.tasks.family import TaskFamily
from metarl.tasks.task import Tasks
from metarl.tasks.values import value_at

MOST = 50
"""Iterations of training that held-out tasks are compared with: every draw makes an environment."""


class Repeats(NamedTuple):
    """These numbers say how new some held-out tasks are."""

    tasks: int  # drawn to be held out
    different: int  # of them
    trained: int  # of them, met among the tasks of training, too


def compared(family: TaskFamily, iterations: int) -> int:
    """Say how many iterations of training held-out tasks are compared with.

    One is enough where the tasks come from distributions that hardly give one twice.

    Args:
        family: of the tasks.
        iterations: of training.
    """
    listed = not family.parameters or family.number is not None
    return max(1, min(iterations, MOST)) if listed else 1


def repeats(held_out: Tasks, trained: Sequence[Tasks]) -> Repeats:
    """Count how many held-out tasks are different ones, and how many are tasks of training."""
    drawn, known = _rows(held_out), {row for tasks in trained for row in _rows(tasks)}
    return Repeats(len(drawn), len(set(drawn)), sum(row in known for row in drawn))


def _rows(tasks: Mapping[str, np.ndarray]) -> list[tuple[object, ...]]:
    """Every task as something that can be compared."""
    columns = [
        [_comparable(value_at(values, i)) for i in range(len(values))]
        for _, values in sorted(tasks.items())
    ]
    return list(zip(*columns, strict=True))


def _comparable(value: object) -> object:
    """The same value as one that a set can hold; what is shown of it where there is none."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return frozenset((key, _comparable(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_comparable, value))
    if isinstance(value, set):
        return frozenset(map(_comparable, value))
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def repeats_advice(family: TaskFamily, held_out: Tasks, trained: Sequence[Tasks]) -> str:
    """Say what to know of held-out tasks that are not new; nothing where they are.

    Args:
        family: of the tasks.
        held_out: drawn from one of its splits, to be evaluated on.
        trained: those of each of the first iterations of training, see `compared`.
    """
    if family.finite:
        return (
            f"{family.name} has {family.number} tasks in all: its splits coincide, so that the "
            f"{len(_rows(held_out))} held-out tasks are tasks of training"
        )
    found = repeats(held_out, trained)
    if found.different == found.tasks and not found.trained:
        return ""
    known = sum(len(_rows(tasks)) for tasks in trained)
    many = f"the first {len(trained)} iterations of training"
    where = many if len(trained) > 1 else "a training iteration"
    return (
        f"the {found.tasks} held-out tasks of {family.name} are {found.different} different ones, "
        f"and {found.trained} of them are among the {known} of {where}: "
        "tasks from a fixed list are no new ones; test_parameters of a family can hold some out"
    )

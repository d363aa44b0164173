"""Tasks that an environment draws itself: what its author draws is what the environment is told.

A batch of tasks is a dictionary of arrays. Numbers, and vectors of them, are arrays of numbers;
whatever else a task holds stays as it is, in an array of objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from metarl.tasks.custom.setters import Env
from metarl.tasks.values import LONE, as_drawn, column, equal, leaves, value_at

if TYPE_CHECKING:  # families make definitions that draw tasks
    from metarl.tasks.task import Tasks


class UnfitTasks(ValueError):
    """Tasks would not come back as they were drawn, however many there are."""


def own_tasks(env: Env, n: int, seed: int) -> list[Any]:
    """`n` tasks that an environment draws after a reset with a seed, as its author draws them.

    Raises:
        ValueError: it gives no list of `n` tasks.
    """
    env.reset(seed=seed)
    drawn, owner = env.get_wrapper_attr("sample_tasks")(n), type(env.unwrapped).__name__
    if isinstance(drawn, Mapping | str) or not isinstance(drawn, Iterable):
        raise ValueError(
            f"sample_tasks({n}) of {owner} gives a {type(drawn).__name__!r}; a list of tasks is "
            "needed, each a value or a dictionary of values"
        )
    tasks = list(drawn)
    if len(tasks) != n:
        raise ValueError(f"sample_tasks({n}) of {owner} gives {len(tasks)} tasks")
    return tasks


def draw(env: Env, n: int, seed: int, owner: str) -> tuple[Tasks, Any]:
    """`n` tasks of an environment as arrays, and the first of them as it was drawn.

    Raises:
        ValueError: it draws none.
        UnfitTasks: it cannot be seeded, or its tasks would not come back equal.
    """
    if not env.has_wrapper_attr("sample_tasks"):
        raise ValueError(
            f"{owner} has no sample_tasks(n); say what varies: "
            'parameters={"name": Uniform(low, high)}'
        )
    drawn, again = (own_tasks(env, n, seed) for _ in range(2))
    columns = as_columns(drawn, owner)
    if not equal(drawn, again):
        if kind := _without_equality(drawn, again):
            raise UnfitTasks(
                f"sample_tasks of {owner} gives objects of {kind}, which has no ==, so that its "
                f"tasks cannot be compared: give {kind} an __eq__, as a dataclass has, or let "
                "tasks be numbers or dictionaries of them"
            )
        raise UnfitTasks(
            f"sample_tasks of {owner} gives other tasks for the same reset seed: let it draw from "
            "self.np_random, or declare the parameters of the family"
        )
    return columns, drawn[0]


def _without_equality(drawn: list[Any], again: list[Any]) -> str:
    """Name the class of the first values that differ, if two of it never are the same."""
    pairs = zip(leaves(drawn), leaves(again), strict=False)
    one, other = next((pair for pair in pairs if not equal(*pair)), (None, None))
    lone = type(one).__eq__ is not object.__eq__ or one is None or isinstance(one, Enum)
    return "" if lone or type(one) is not type(other) else type(one).__name__


def as_columns(tasks: list[Any], owner: str) -> Tasks:
    """A list of tasks as arrays with a leading axis; tasks without names are called `task`.

    Raises:
        UnfitTasks: they have different names, or one would not come back equal.
    """
    rows = [task if isinstance(task, Mapping) else {LONE: task} for task in tasks]
    names = list(rows[0])
    if any(set(row) != set(names) for row in rows):
        raise UnfitTasks(
            f"sample_tasks of {owner} gives tasks with different names: "
            f"{', '.join(map(str, sorted({str(sorted(map(str, row))) for row in rows})))}"
        )
    columns = {name: column([row[name] for row in rows]) for name in names}
    for i, task in enumerate(tasks):
        row = {name: value_at(values, i) for name, values in columns.items()}
        if not equal(as_drawn(row, tasks[0]), task):
            if any(isinstance(x, float | np.floating) and np.isnan(x) for x in leaves(task)):
                raise UnfitTasks(
                    f"sample_tasks of {owner} gives {task!r}: NaN equals nothing, not even itself, "
                    "so that the task cannot be compared; let it draw another number, or None"
                )
            raise UnfitTasks(
                f"sample_tasks of {owner} gives {tasks[0]!r} and {task!r}: let all its tasks be of "
                "one kind, with the same names, and let what is no number compare by =="
            )
    return columns

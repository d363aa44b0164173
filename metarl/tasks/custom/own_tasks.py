"""Tasks that an environment draws itself: what its author draws is what the environment is told.

A batch of tasks is a dictionary of arrays. Numbers, and vectors of them, are arrays of numbers;
whatever else a task holds stays as it is, in an array of objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from metarl.tasks.custom.setters import Env
from metarl.tasks.values import LONE, as_drawn, column, equal, value_at

if TYPE_CHECKING:  # families make definitions that draw tasks
    from metarl.tasks.task import Tasks


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
        ValueError: it draws none, cannot be seeded, or its tasks would not come back equal.
    """
    if not env.has_wrapper_attr("sample_tasks"):
        raise ValueError(
            f"{owner} has no sample_tasks(n); say what varies: "
            'parameters={"name": Uniform(low, high)}'
        )
    drawn, again = (own_tasks(env, n, seed) for _ in range(2))
    columns = as_columns(drawn, owner)
    if not equal(drawn, again):
        raise ValueError(
            f"sample_tasks of {owner} gives other tasks for the same reset seed: let it draw from "
            "self.np_random, or declare the parameters of the family"
        )
    return columns, drawn[0]


def as_columns(tasks: list[Any], owner: str) -> Tasks:
    """A list of tasks as arrays with a leading axis; tasks without names are called `task`.

    Raises:
        ValueError: they have different names, or one would not come back equal.
    """
    rows = [task if isinstance(task, Mapping) else {LONE: task} for task in tasks]
    names = list(rows[0])
    if any(set(row) != set(names) for row in rows):
        raise ValueError(
            f"sample_tasks of {owner} gives tasks with different names: "
            f"{', '.join(map(str, sorted({str(sorted(map(str, row))) for row in rows})))}"
        )
    columns = {name: column([row[name] for row in rows]) for name in names}
    for i, task in enumerate(tasks):
        row = {name: value_at(values, i) for name, values in columns.items()}
        if not equal(as_drawn(row, tasks[0]), task):
            raise ValueError(
                f"sample_tasks of {owner} gives {tasks[0]!r} and {task!r}: let all its tasks be of "
                "one kind, with the same names, and let what is no number compare by =="
            )
    return columns

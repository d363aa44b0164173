"""Tasks as values: one of them, a batch of them, and messages about unknown names.

A task is a flat dictionary such as `{"velocity": 1.3}`. A batch of tasks is the same dictionary
with arrays that have a leading axis `[T, …]`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from metarl.tasks.values import stacked, value_at

Task = dict[str, Any]
"""One value per parameter: a number, or a list of numbers; JSON-able."""


Tasks = dict[str, np.ndarray]
"""The same with a leading task axis `[T, …]`."""


def task_at(tasks: Mapping[str, np.ndarray], i: int) -> Task:
    """The i-th task of a batch, its numbers as those of Python."""
    return {name: value_at(values, i) for name, values in tasks.items()}


def stack_tasks(tasks: Iterable[Task]) -> Tasks:
    """The inverse of `task_at`."""
    rows = list(tasks)
    return {name: stacked([row[name] for row in rows]) for name in rows[0]}


def unknown(what: str, name: str, known: list[str], of: str = "") -> str:
    """A message that names an unknown value, the nearest valid ones and all of them."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    owner = f" of {of}" if of else ""
    return f"unknown {what}{owner} {name!r}{hint} (known: {', '.join(known) or 'none'})"

"""Rows of numbers as regression tasks."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from metarl.fewshot.data.classes import distinct_up_to
from metarl.fewshot.data.holdout import HoldOut, Need, with_enough
from metarl.fewshot.data.scaling import Scaling, Standard
from metarl.fewshot.data.spellings import refuse_spellings
from metarl.fewshot.data.storage import OnDevice, digest
from metarl.fewshot.data.task import PARTS, Examples, Kind, Part, Split


@dataclass(frozen=True)
class RowSource:
    """Regression tasks out of a table: the rows of one task each. A `Source`.

    Inputs and targets are standardised with mean and deviation of the training tasks' rows.
    """

    name: str
    x: torch.Tensor  # [M, D] float32, the rows of a task side by side
    y: torch.Tensor  # [M, C] float32
    first: torch.Tensor  # [tasks] int64
    count: torch.Tensor  # [tasks] int64
    names: tuple[str, ...]  # of the tasks
    parts: dict[str, np.ndarray]  # part -> tasks
    units: Scaling  # of the table
    protocol: dict[str, Any] = field(default_factory=dict)
    kind: Kind = "regression"

    @property
    def x_shape(self) -> tuple[int, ...]:
        """One input has this shape."""
        return (self.x.shape[1],)

    @property
    def outputs(self) -> int:
        """Numbers per target."""
        return self.y.shape[1]

    def describe(self) -> dict[str, Any]:
        """The protocol; `tasks_sha256` tells which tasks are in which part."""
        listed = {part: [self.names[i] for i in self.parts[part]] for part in PARTS}
        return {
            "data": self.name,
            "tasks": {part: len(self.parts[part]) for part in PARTS},
            "tasks_sha256": hashlib.sha256(json.dumps(listed).encode()).hexdigest(),
            "target_scale": self.units.y.deviation[0],
            **self.protocol,
        }

    def require(self, shots: int, queries: int) -> None:
        """Refuse tasks with fewer rows than are asked for; raises ValueError."""
        least = int(self.count.argmin())
        if self.count[least] < shots + queries:
            raise ValueError(
                f"{shots} shots and {queries} queries need {shots + queries} rows of every task, "
                f"but {self.names[least]!r} of {self.name} has {int(self.count[least])}; lower "
                "--shots or --queries"
            )

    def sample(
        self, tasks: int, shots: int, queries: int, part: Part, generator: torch.Generator
    ) -> Split:
        """Rows of random tasks of a part; see `Source.sample`."""
        return self.drawn(tasks, shots, queries, part, generator)[0]

    def drawn(
        self, tasks: int, shots: int, queries: int, part: Part, generator: torch.Generator
    ) -> tuple[Split, torch.Tensor]:
        """Draw what `sample` gives, and say which tasks of the part they are, `[T]`."""
        device = generator.device
        x, y, first, count, *pools = self._held(device)
        pool = pools[PARTS.index(part)]
        if not len(pool):
            raise ValueError(f"{self.name} has no tasks for {part}: its split has left none")
        which = torch.randint(len(pool), (tasks,), generator=generator, device=device)
        chosen = pool[which]
        rows = distinct_up_to(count[chosen], shots + queries, generator)
        rows = rows + first[chosen].unsqueeze(-1)
        x, y = x[rows], y[rows]
        support = Examples(x[:, :shots], y[:, :shots])
        return Split(support, Examples(x[:, shots:], y[:, shots:])), which

    @cached_property
    def _held(self) -> OnDevice:
        """Rows, where each task begins, how many it has, and the tasks of every part."""
        pools = (torch.from_numpy(self.parts[part]) for part in PARTS)
        return OnDevice(self.x, self.y, self.first, self.count, *pools)


def row_source(
    name: str, x: np.ndarray, y: np.ndarray, task: list[str], hold: HoldOut, **protocol: Any
) -> RowSource:
    """Tasks of the rows of `x` `[M, D]` and `y` `[M, C]` that have one value of `task` `[M]`.

    Raises:
        ValueError: too few tasks (says what would fit), or two names that are one.
    """
    names = sorted(set(task), key=lambda value: (len(value), value))
    refuse_spellings(name, names, "tasks")
    number = {value: i for i, value in enumerate(names)}
    labels = np.array([number[value] for value in task])
    stay, labels, names = with_enough(name, labels, names, hold.least, "tasks")
    x, y = x[stay], y[stay]
    order = np.argsort(labels, kind="stable")
    x, y, labels = x[order], y[order], labels[order]
    parts = hold.parts(name, len(names), Need(1, 1))
    seen = np.isin(labels, parts["train"])
    units = Scaling(Standard.of(x[seen]), Standard.of(y[seen]))
    count = np.bincount(labels, minlength=len(names)).astype(np.int64)
    return RowSource(
        name,
        units.x.inwards(torch.from_numpy(x)),
        units.y.inwards(torch.from_numpy(y)),
        torch.from_numpy(np.concatenate([[0], np.cumsum(count)[:-1]])),
        torch.from_numpy(count),
        tuple(names),
        parts,
        units,
        {
            "split": "random tasks",
            **hold.describe(),
            "data_sha256": digest(x, y, labels),
            **protocol,
        },
    )

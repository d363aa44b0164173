"""Tables as tasks: classes of rows, or a regression task per value of a column."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from metarl.fewshot.classes import (
    ClassSource,
    Ways,
    distinct_up_to,
    random_classes,
    split_classes,
)
from metarl.fewshot.data import PARTS, Examples, Kind, Part, Split
from metarl.fewshot.storage import OnDevice, digest
from metarl.fewshot.units import Standard, Units


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
    units: Units  # of the table
    protocol: dict[str, Any] = field(default_factory=dict)
    kind: Kind = "regression"

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Of one input."""
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
        """Raises ValueError where a task has fewer rows than are asked for."""
        least = int(self.count.argmin())
        if self.count[least] < shots + queries:
            raise ValueError(
                f"{shots} shots and {queries} queries need {shots + queries} rows of every task, "
                f"but {self.names[least]} of {self.name} has {int(self.count[least])}"
            )

    def sample(
        self, tasks: int, shots: int, queries: int, part: Part, generator: torch.Generator
    ) -> Split:
        """Rows of random tasks of a part; see `Source.sample`."""
        return self.drawn(tasks, shots, queries, part, generator)[0]

    def drawn(
        self, tasks: int, shots: int, queries: int, part: Part, generator: torch.Generator
    ) -> tuple[Split, torch.Tensor]:
        """What `sample` gives, and which tasks of the part they are, `[T]`."""
        device = generator.device
        x, y, first, count, *pools = self._held(device)
        pool = pools[PARTS.index(part)]
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


class Table(NamedTuple):
    """A CSV file with a header."""

    path: Path
    header: list[str]
    rows: list[tuple[int, list[str]]]  # the line in the file, and as many values as the header

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read a file; blank lines are passed over.

        Raises:
            ValueError: an unreadable file, no rows, a row of another length, or two columns of one
                name.
        """
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.reader(file)
                lines = [(reader.line_num, row) for row in reader if row]
        except (OSError, ValueError, csv.Error) as error:
            raise ValueError(f"{path} cannot be read as a table with a header: {error}") from None
        if len(lines) < 2:
            raise ValueError(f"{path} has no {'rows' if lines else 'header: it is empty'}")
        (_, header), *rows = lines
        twice = [column for column, times in Counter(header).items() if times > 1]
        if twice:
            raise ValueError(f"{path} has the column {twice[0]!r} twice: rename one")
        for line, row in rows:
            if len(row) != len(header):
                raise ValueError(
                    f"{path}: line {line} has {len(row)} values, the header {len(header)}"
                )
        return cls(path, header, rows)

    def numbers(self, column: str) -> list[float]:
        """Of every row.

        Raises:
            ValueError: one is not a finite number (line and column).
        """
        return [self._number(line, column, text) for line, text in self._cells(column)]

    def labels(self, column: str) -> list[str]:
        """Of every row.

        Raises:
            ValueError: one is missing (line and column).
        """
        cells = self._cells(column)
        for line, text in cells:
            if text.strip().lower() in ("", "nan"):
                raise ValueError(f"{self.path}: line {line}, column {column!r}: no value: {text!r}")
        return [text for _, text in cells]

    def _cells(self, column: str) -> list[tuple[int, str]]:
        """Lines and values."""
        place = self.header.index(column)
        return [(line, row[place]) for line, row in self.rows]

    def _number(self, line: int, column: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise ValueError(
                f"{self.path}: line {line}, column {column!r}: not a finite number: {text!r}"
            )
        return value


def row_source(
    name: str, x: np.ndarray, y: np.ndarray, task: list[str], seed: int, **protocol: Any
) -> RowSource:
    """Tasks of the rows of `x` `[M, D]` and `y` `[M, C]` that have one value of `task` `[M]`.

    Raises:
        ValueError: fewer than three tasks.
    """
    names = sorted(set(task), key=lambda value: (len(value), value))
    if len(names) < 3:
        raise ValueError(f"{name} has {len(names)} tasks; train, validation and test need three")
    number = {value: i for i, value in enumerate(names)}
    labels = np.array([number[value] for value in task])
    order = np.argsort(labels, kind="stable")
    x, y, labels = x[order], y[order], labels[order]
    parts = split_classes(len(names), seed)
    seen = np.isin(labels, parts["train"])
    units = Units(Standard.of(x[seen]), Standard.of(y[seen]))
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
            "split_seed": seed,
            "data_sha256": digest(x, y, labels),
            **protocol,
        },
    )


def csv_source(
    path: Path, target: str, task: str, ways: Ways, seed: int, drop: tuple[str, ...] = ()
) -> ClassSource | RowSource:
    """A table with a header: regression of `target` with a task per value of the column `task`,
    or, without one, classification by the values of `target`.

    All other columns but those of `drop` are inputs.

    Raises:
        ValueError: an unreadable file, an unknown column (says which there are), or a value that
            is missing or not a finite number (line and column).
    """
    table = Table.read(path)
    for column in (target, *([task] if task else []), *drop):
        if column not in table.header:
            raise ValueError(f"{path} has no column {column!r}; it has {', '.join(table.header)}")
    if target == task:
        raise ValueError(f"--target and --task are both {target!r}: they must be two columns")
    inputs = [c for c in table.header if c not in (target, task, *drop)]
    if not inputs:
        raise ValueError(f"{path} has no columns left for the inputs")
    if not task:
        names, labels = _classes(table, target)
    x = np.array([table.numbers(column) for column in inputs]).T
    if task:
        y = np.array(table.numbers(target))[:, None]
        return row_source(path.stem, x, y, table.labels(task), seed, target=target)
    return random_classes(path.stem, x, labels, names, ways, seed, target=target)


def _classes(table: Table, target: str) -> tuple[list[str], np.ndarray]:
    """The names of the classes, and the class of every row.

    Raises:
        ValueError: the column holds numbers that are no classes.
    """
    values = table.labels(target)
    names, labels = np.unique(values, return_inverse=True)
    if any(_has_fraction(name) for name in names) or 2 * len(names) > len(values):
        raise ValueError(
            f"{table.path}: column {target!r} has {len(names)} different values in {len(values)} "
            "rows, too many or too fine for classes; to predict a number, say with --task COLUMN "
            "which rows are a task"
        )
    return [str(name) for name in names], labels


def _has_fraction(text: str) -> bool:
    try:
        return not float(text).is_integer()
    except ValueError:
        return False


def parkinsons_source(folder: Path, target: str, seed: int) -> RowSource:
    """Parkinsons Telemonitoring (Tsanas and Little 2009, UCI): a patient is a task.

    16 features of a voice recording → `target`, motor_UPDRS or total_UPDRS. Age, sex and the time
    of the recording are left out, for they tell patients apart.

    Raises:
        ValueError: the file is missing, or an unknown target.
    """
    path = folder / "parkinsons_updrs.data"
    if not path.is_file():
        raise ValueError(f"{path} is missing: give the folder that holds it with --data-dir")
    targets = ("motor_UPDRS", "total_UPDRS")
    if target not in targets:
        raise ValueError(f"--target must be {' or '.join(targets)}, got {target!r}")
    (other,) = set(targets) - {target}
    source = csv_source(path, target, "subject#", Ways(2), seed, ("age", "sex", "test_time", other))
    assert isinstance(source, RowSource)
    return source

"""Arrays and tables as tasks: classes of rows, or a regression task per value of a column."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metarl.fewshot.classes import ClassSource, Stock, Ways, distinct_up_to, split_classes
from metarl.fewshot.data import PARTS, Examples, Kind, Part, Split


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
    target_scale: float  # of one unit of y, in the table's units
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
            "target_scale": self.target_scale,
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
        device = generator.device
        pool = torch.from_numpy(self.parts[part]).to(device)
        chosen = pool[torch.randint(len(pool), (tasks,), generator=generator, device=device)]
        rows = distinct_up_to(self.count.to(device)[chosen], shots + queries, generator)
        rows = rows + self.first.to(device)[chosen].unsqueeze(-1)
        x, y = self.x.to(device)[rows], self.y.to(device)[rows]
        support = Examples(x[:, :shots], y[:, :shots])
        return Split(support, Examples(x[:, shots:], y[:, shots:]))


def row_source(
    name: str, x: np.ndarray, y: np.ndarray, task: list[str], seed: int, **protocol: Any
) -> RowSource:
    """Tasks of the rows of `x` `[M, D]` and `y` `[M]` that have one value of `task` `[M]`.

    Raises:
        ValueError: fewer than three tasks.
    """
    names = sorted(set(task), key=lambda value: (len(value), value))
    if len(names) < 3:
        raise ValueError(f"{name} has {len(names)} tasks; train, validation and test need three")
    labels = np.array([names.index(value) for value in task])
    order = np.argsort(labels, kind="stable")
    x, y, labels = x[order], y[order], labels[order]
    parts = split_classes(len(names), seed)
    seen = np.isin(labels, parts["train"])
    spread = x[seen].std(0)
    x = (x - x[seen].mean(0)) / np.where(spread > 0, spread, 1.0)
    scale = float(y[seen].std()) or 1.0
    count = np.bincount(labels, minlength=len(names)).astype(np.int64)
    return RowSource(
        name,
        torch.from_numpy(x.astype(np.float32)),
        torch.from_numpy(((y - y[seen].mean()) / scale).astype(np.float32)).unsqueeze(-1),
        torch.from_numpy(np.concatenate([[0], np.cumsum(count)[:-1]])),
        torch.from_numpy(count),
        tuple(names),
        parts,
        scale,
        {"split": "random tasks", "split_seed": seed, **protocol},
    )


def npz_source(path: Path, ways: Ways, seed: int) -> ClassSource:
    """Classification of the arrays x `[M, …]` and y `[M]` (integers or strings) of a .npz file.

    Images are `[M, height, width]` or `[M, height, width, channels]` of uint8.

    Raises:
        ValueError: an unreadable file, a missing array, NaN (its row), or labels that are numbers
            with fractions.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("x", "y") if name in file}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as .npz: {error}") from None
    if missing := {"x", "y"} - set(arrays):
        raise ValueError(f"{path} has no array {' and no array '.join(sorted(missing))}")
    x, y = arrays["x"], arrays["y"]
    if y.ndim != 1 or len(x) != len(y):
        raise ValueError(f"{path}: y must be [M] for x [M, …], got {y.shape} and {x.shape}")
    if y.dtype.kind not in "iuUS":
        raise ValueError(
            f"{path}: y must be classes (integers or strings), got {y.dtype}; regression needs a "
            "table with tasks: --data csv:FILE --target COLUMN --task COLUMN"
        )
    if x.dtype == np.uint8 and x.ndim in (3, 4):
        x = x[:, None] if x.ndim == 3 else np.moveaxis(x, -1, 1)
    else:
        x = x.astype(np.float32)
        bad = ~np.isfinite(x.reshape(len(x), -1)).all(1)
        if bad.any():
            raise ValueError(f"{path}: x is not finite in row {int(bad.argmax())}")
    values, labels = np.unique(y, return_inverse=True)
    names = [str(value) for value in values]
    parts = split_classes(len(names), seed, least=ways.held_out)
    protocol = {"split": "random classes", "split_seed": seed}
    return ClassSource(path.stem, Stock.of(x, labels, names), parts, ways, protocol=protocol)


def csv_source(
    path: Path, target: str, task: str, ways: Ways, seed: int, drop: tuple[str, ...] = ()
) -> ClassSource | RowSource:
    """A table with a header: regression of `target` with a task per value of the column `task`,
    or, without one, classification by the values of `target`.

    All other columns but those of `drop` are inputs.

    Raises:
        ValueError: an unreadable file, an unknown column (says which there are), or a value that
            is not a finite number (row and column).
    """
    header, rows = _read_csv(path)
    for column in (target, *([task] if task else []), *drop):
        if column not in header:
            raise ValueError(f"{path} has no column {column!r}; it has {', '.join(header)}")
    inputs = [c for c in header if c not in (target, task, *drop)]
    if not inputs:
        raise ValueError(f"{path} has no columns left for the inputs")
    x = np.array([[_number(path, row, i, header, c) for c in inputs] for i, row in enumerate(rows)])
    values = [row[header.index(target)] for row in rows]
    if task:
        y = np.array([_number(path, row, i, header, target) for i, row in enumerate(rows)])
        tasks = [row[header.index(task)] for row in rows]
        return row_source(path.stem, x, y, tasks, seed, target=target)
    names = sorted(set(values))
    labels = np.array([names.index(value) for value in values])
    parts = split_classes(len(names), seed, least=ways.held_out)
    seen = np.isin(labels, parts["train"])
    spread = x[seen].std(0)
    x = (x - x[seen].mean(0)) / np.where(spread > 0, spread, 1.0)
    stock = Stock.of(x.astype(np.float32), labels, names)
    protocol = {"split": "random classes", "split_seed": seed, "target": target}
    return ClassSource(path.stem, stock, parts, ways, protocol=protocol)


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


def _read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows; every row has as many values as the header."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = [row for row in csv.reader(file) if row]
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a table with a header: {error}") from None
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"{path}: row {i + 1} has {len(row)} values, the header {len(header)}")
    if not rows:
        raise ValueError(f"{path} has no rows")
    return header, rows


def _number(path: Path, row: list[str], i: int, header: list[str], column: str) -> float:
    """A finite number of row i (counted from 0)."""
    text = row[header.index(column)]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise ValueError(f"{path}: row {i + 1}, column {column!r}: not a finite number: {text!r}")
    return value

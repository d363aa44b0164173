"""Tables as tasks: classes of rows, or a regression task per value of a column."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metarl.fewshot.data.classes import ClassSource, Ways, random_classes
from metarl.fewshot.data.doubts import warn_of_answers
from metarl.fewshot.data.holdout import HoldOut
from metarl.fewshot.data.rows import RowSource, row_source
from metarl.fewshot.data.spellings import as_number
from metarl.fewshot.data.task import DataWarning


class Table(NamedTuple):
    """A CSV file with a header."""

    path: Path
    header: list[str]
    rows: list[tuple[int, list[str]]]  # the line in the file, and as many values as the header

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read a file; blank lines are passed over, and so are blanks around a column's name.

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
        (_, first), *rows = lines
        header = [column.strip() for column in first]
        twice = [c for c, times in Counter(header).items() if times > 1 and c]
        if twice:
            raise ValueError(f"{path} has the column {twice[0]!r} twice: rename one")
        for line, row in rows:
            if len(row) != len(header):
                raise ValueError(
                    f"{path}: line {line} has {len(row)} values, the header {len(header)}"
                )
        return cls(path, header, rows)

    def numbers(self, column: str) -> list[float]:
        """Return the numbers of every row.

        Raises:
            ValueError: one is not a finite number (line and column).
        """
        return [self._number(line, column, text) for line, text in self._cells(column)]

    def labels(self, column: str) -> list[str]:
        """Return the label of every row, without the blanks around it.

        Raises:
            ValueError: one is missing (line and column).
        """
        cells = self._cells(column)
        for line, text in cells:
            if text.strip().lower() in ("", "nan"):
                raise ValueError(f"{self.path}: line {line}, column {column!r}: no value: {text!r}")
        return [text.strip() for _, text in cells]

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


def csv_source(
    path: Path, target: str, task: str, ways: Ways, hold: HoldOut, drop: tuple[str, ...] = ()
) -> ClassSource | RowSource:
    """A table with a header: regression of `target` with a task per value of the column `task`,
    or, without one, classification by the values of `target`.

    All other columns that have a name are inputs, but for those of `drop`.

    Raises:
        ValueError: an unreadable file, an unknown column (says which there are), a value that is
            missing or not a finite number (line and column), or two labels that are one.

    Warns:
        DataWarning: a column without a name, or one that gives the answer away.
    """
    table = Table.read(path)
    inputs = _inputs(table, target.strip(), task.strip(), [column.strip() for column in drop])
    target, task = target.strip(), task.strip()
    if not task:
        names, labels = _classes(table, target)
    x = np.array([table.numbers(column) for column in inputs]).T
    source: ClassSource | RowSource
    if task:
        answers = np.array(table.numbers(target))[:, None]
        source = row_source(path.stem, x, answers, table.labels(task), hold, target=target)
    else:
        answers = labels
        source = random_classes(path.stem, x, labels, names, ways, hold, target=target)
    drop_them = "leave out what is not known of new rows with --drop COLUMN"
    warn_of_answers(str(path), [repr(column) for column in inputs], x, answers, drop_them)
    return source


def _inputs(table: Table, target: str, task: str, drop: list[str]) -> list[str]:
    """The columns that are inputs.

    Raises:
        ValueError: an unknown column, one that is two things at once, or none is left.

    Warns:
        DataWarning: there are columns without a name.
    """
    path, named = table.path, [column for column in table.header if column]
    for column in (target, *([task] if task else []), *drop):
        if column not in named:
            known = ", ".join(map(repr, named))
            raise ValueError(f"{path} has no column {column!r}; it has {known}")
    if target == task:
        raise ValueError(f"--target and --task are both {target!r}: they must be two columns")
    for column in drop:
        if column in (target, task):
            option = "--target" if column == target else "--task"
            raise ValueError(f"--drop and {option} are both {column!r}: it cannot be left out")
    nameless = [str(i) for i, column in enumerate(table.header, start=1) if not column]
    if nameless:
        which = (
            f"column {nameless[0]} has"
            if len(nameless) == 1
            else (f"columns {', '.join(nameless)} have")
        )
        warnings.warn(
            f"{path}: {which} no name and no part in the inputs; a name in the header gives it one",
            DataWarning,
            stacklevel=3,
        )
    inputs = [column for column in named if column not in (target, task, *drop)]
    if not inputs:
        raise ValueError(f"{path} has no columns left for the inputs")
    return inputs


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
    number = as_number(text)
    return number is not None and number != number.to_integral_value()


def parkinsons_source(folder: Path, target: str, hold: HoldOut) -> RowSource:
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
    others = ("age", "sex", "test_time", other)
    source = csv_source(path, target, "subject#", Ways(2), hold, others)
    assert isinstance(source, RowSource)
    return source

"""Writers for Stable-Baselines3's logger that can go on where an interrupted run stopped.

SB3's own CSV writer empties the file when it opens it and its TensorBoard writer cannot purge
events, so after a resume iterations would be missing or there twice.
"""

from __future__ import annotations

import contextlib
import csv
import io
import numbers
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import HParam, KVWriter, filter_excluded_keys
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from metarl.experiment.files import write_text

STEP = "iteration"
"""The first column of progress.csv."""


class CsvWriter(KVWriter):
    """One row per iteration, one column per metric; empty where an iteration lacks the metric."""

    def __init__(self, path: Path, *, resume_at: int = 0) -> None:
        """Open the file and drop the rows of iterations that will be done again.

        Args:
            path: created when missing.
            resume_at: the first iteration that will be written; rows from it on are dropped.

        Raises:
            ValueError: the file is not a progress table; names file and line.
        """
        self._path = path
        self._columns: list[str] = [STEP]
        self._rows: list[dict[str, str]] = []
        if path.exists():
            self._read(resume_at)
            self._rewrite()

    def write(
        self,
        key_values: Mapping[str, Any],
        key_excluded: Mapping[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Append the row of iteration `step` and flush it to disk; SB3's `Logger.dump` calls it.

        Raises:
            ValueError: the iteration is not after the last one, or a value is not a number.
        """
        kept = filter_excluded_keys(dict(key_values), dict(key_excluded), "csv")
        row = {STEP: str(step)}
        row |= {key: _number(key, value) for key, value in sorted(kept.items())}
        if len(row) == 1:
            return
        if self._rows and step <= int(self._rows[-1][STEP]):
            last = self._rows[-1][STEP]
            raise ValueError(f"iteration {step} was logged after iteration {last}")
        self._rows.append(row)
        new = [key for key in row if key not in self._columns]
        self._columns += new
        if new:
            self._rewrite()
        else:
            self._append(row)

    def close(self) -> None:
        """Nothing is held open between rows."""

    def _read(self, resume_at: int) -> None:
        """Read the rows before `resume_at`; a last line cut short by a crash is not a row."""
        text = self._path.read_text(encoding="utf-8")
        table = list(csv.reader(io.StringIO(text)))
        if table and not text.endswith("\n"):
            table.pop()
        if not table:
            return
        self._columns = table[0]
        if self._columns[:1] != [STEP]:
            raise ValueError(f"{self._path} is not a progress table: no column {STEP!r} at first")
        for line, cells in enumerate(table[1:], start=2):
            if len(cells) != len(self._columns) or not cells[0].isdecimal():
                raise ValueError(f"{self._path}, line {line} is not a row of the table: {cells}")
            row = {k: cell for k, cell in zip(self._columns, cells, strict=True) if cell}
            if int(cells[0]) < resume_at:
                self._rows.append(row)

    def _rewrite(self) -> None:
        """Replace the file: the columns or the old rows have changed."""
        lines = [self._columns, *([row.get(c, "") for c in self._columns] for row in self._rows)]
        write_text(self._path, "".join(_line(cells) for cells in lines))

    def _append(self, row: Mapping[str, str]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line([row.get(column, "") for column in self._columns]))
            file.flush()
            os.fsync(file.fileno())


class TensorBoardWriter(KVWriter):
    """Scalars and hyper-parameters as TensorBoard events, all in the run's own folder."""

    def __init__(self, folder: Path, *, resume_at: int = 0) -> None:
        """Start an event file.

        Args:
            folder: of the run.
            resume_at: the first iteration that will be written; TensorBoard forgets the events
                from it on that earlier event files of the folder hold.
        """
        self._writer = SummaryWriter(str(folder), purge_step=resume_at)

    def write(
        self,
        key_values: Mapping[str, Any],
        key_excluded: Mapping[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Write scalars and `HParam`s; SB3's `Logger.dump` calls it.

        Raises:
            ValueError: a value is neither a number nor an `HParam`.
        """
        kept = filter_excluded_keys(dict(key_values), dict(key_excluded), "tensorboard")
        for key, value in sorted(kept.items()):
            if isinstance(value, HParam):
                self._write_hparams(value, step)
            else:
                self._writer.add_scalar(key, float(_number(key, value)), step)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        with contextlib.suppress(OSError):  # `write` has flushed all, or said why it cannot
            self._writer.close()

    def _write_hparams(self, value: HParam, step: int) -> None:
        """Write what the HPARAMS tab reads: the options once, the metrics as ordinary scalars.

        `SummaryWriter.add_hparams` would open a second run in a sub-folder.
        """
        options, metrics = dict(value.hparam_dict), dict(value.metric_dict)
        events: Any = self._writer.file_writer
        for summary in hparams(options, metrics):  # type: ignore[no-untyped-call]
            events.add_summary(summary)
        for name, metric in metrics.items():
            self._writer.add_scalar(name, metric, step)


def _number(key: str, value: Any) -> str:
    """A metric as text that reads back to the same float."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return str(int(value))
    if not isinstance(value, numbers.Real):
        raise ValueError(f"the metric {key!r} must be a number, got {value!r}")
    return repr(value)


def _line(cells: list[str]) -> str:
    """One CSV line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()

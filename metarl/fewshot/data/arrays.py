"""Arrays as classes (images or rows of numbers), or as regression tasks."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from metarl.fewshot.data.classes import ClassSource, Ways, random_classes
from metarl.fewshot.data.doubts import warn_of_answers
from metarl.fewshot.data.holdout import HoldOut
from metarl.fewshot.data.rows import RowSource, row_source


def npz_source(path: Path, ways: Ways, hold: HoldOut, rotations: bool) -> ClassSource | RowSource:
    """Classification of the arrays x and y `[M]` (integers or strings) of a .npz file, or, where
    y has more axes, a regression task per row.

    In classification x is rows of numbers `[M, D]`, or images `[M, height, width]` or
    `[M, height, width, channels ≤ 4]`, of uint8 or between 0 and 1. In regression it is
    `[tasks, n, d]`, and y `[tasks, n]` or `[tasks, n, c]`.

    Raises:
        ValueError: an unreadable file, a missing array, a shape or type that is neither, NaN (its
            row), labels that are numbers with fractions, or two labels that are one.

    Warns:
        DataWarning: a column of rows of numbers gives the answer away.
    """
    arrays = _read(path)
    x, y = arrays["x"], arrays["y"]
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{path}: x must be numbers, got {x.dtype}")
    if y.ndim > 1:
        return _regression(path, x, y, hold)
    if y.ndim != 1 or x.ndim < 1 or len(x) != len(y) or not x.size:
        raise ValueError(f"{path}: y must be [M] for x [M, …], got {y.shape} and {x.shape}")
    if y.dtype.kind not in "iuUS":
        raise ValueError(
            f"{path}: y must be classes (integers or strings), got {y.dtype}; regression needs "
            "tasks: x [tasks, n, d] and y [tasks, n], or a table, --data csv:FILE --target COLUMN "
            "--task COLUMN"
        )
    _refuse_non_finite(path, "x", x)
    values, labels = np.unique(
        np.strings.strip(y) if y.dtype.kind in "US" else y, return_inverse=True
    )
    names = [str(value) for value in values]
    rows = x.ndim == 2
    x = x.astype(np.float64) if rows else _images(path, x)
    source = random_classes(path.stem, x, labels, names, ways, hold, rotations=rotations)
    if rows:
        warn_of_answers(str(path), _columns(x), x, labels, _ADVICE)
    return source


_ADVICE = "leave what is not known of new examples out of x"


def _columns(x: np.ndarray) -> list[str]:
    return [f"column {i} of x" for i in range(x.shape[-1])]


def _refuse_non_finite(path: Path, name: str, values: np.ndarray) -> None:
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(1)
    if bad.any():
        raise ValueError(f"{path}: {name} is not finite in row {int(bad.argmax())}")


def _regression(path: Path, x: np.ndarray, y: np.ndarray, hold: HoldOut) -> RowSource:
    """A task per row of both arrays."""
    if y.ndim > 3 or x.ndim != 3 or x.shape[:2] != y.shape[:2] or not x.size or not y.size:
        raise ValueError(
            f"{path}: of regression x must be [tasks, n, d] and y [tasks, n] or [tasks, n, c], got "
            f"{x.shape} and {y.shape}; of classification y is [M]"
        )
    if y.dtype.kind not in "biuf":
        raise ValueError(f"{path}: y must be numbers in regression, got {y.dtype}")
    tasks, number, _ = x.shape
    _refuse_non_finite(path, "x", x)
    _refuse_non_finite(path, "y", y)
    rows = x.reshape(tasks * number, -1).astype(np.float64)
    answers = y.reshape(tasks * number, -1).astype(np.float64)
    names = [str(task) for task in range(tasks) for _ in range(number)]
    source = row_source(path.stem, rows, answers, names, hold)
    warn_of_answers(str(path), _columns(rows), rows, answers, _ADVICE)
    return source


def holds_images(path: Path) -> bool:
    """Say whether a .npz file is of classification, and x has more axes than rows of numbers.

    No file has none.
    """
    try:
        arrays = _read(path)
    except ValueError:  # `npz_source` says what is wrong
        return False
    return arrays["x"].ndim > 2 and arrays["y"].ndim == 1


def holds_tasks(path: Path) -> bool:
    """Say whether a .npz file is of regression; where there is no file, it is not."""
    try:
        return _read(path)["y"].ndim > 1
    except ValueError:
        return False


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays x and y."""
    try:
        with path.open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array; numpy.savez writes several")
            arrays = {name: file[name] for name in ("x", "y") if name in file}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as .npz: {error}") from None
    if missing := {"x", "y"} - set(arrays):
        raise ValueError(f"{path} has no array {' and no array '.join(sorted(missing))}")
    return arrays


def _images(path: Path, x: np.ndarray) -> np.ndarray:
    """`[M, channels, height, width]` of uint8, or of float32 between 0 and 1."""
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[-1] > 4):
        raise ValueError(
            f"{path}: x must be rows of numbers [M, D], or images [M, height, width] or [M, "
            f"height, width, channels] with at most 4 channels, got {x.shape}"
        )
    if x.dtype != np.uint8:
        if x.min() < 0 or x.max() > 1:
            raise ValueError(
                f"{path}: images must be uint8 or between 0 and 1, got {x.dtype} from {x.min():g} "
                f"to {x.max():g}; rows of numbers are [M, D]"
            )
        x = x.astype(np.float32)
    return x[:, None] if x.ndim == 3 else np.moveaxis(x, -1, 1)

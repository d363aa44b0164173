"""Arrays as classes: images or rows of numbers."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from metarl.fewshot.classes import ClassSource, Ways, random_classes


def npz_source(path: Path, ways: Ways, seed: int, rotations: bool) -> ClassSource:
    """Classification of the arrays x and y `[M]` (integers or strings) of a .npz file.

    x is rows of numbers `[M, D]`, or images `[M, height, width]` or
    `[M, height, width, channels ≤ 4]`, of uint8 or between 0 and 1.

    Raises:
        ValueError: an unreadable file, a missing array, a shape or type that is neither, NaN (its
            row), or labels that are numbers with fractions.
    """
    arrays = _read(path)
    x, y = arrays["x"], arrays["y"]
    if y.ndim != 1 or x.ndim < 1 or len(x) != len(y) or not x.size:
        raise ValueError(f"{path}: y must be [M] for x [M, …], got {y.shape} and {x.shape}")
    if y.dtype.kind not in "iuUS":
        raise ValueError(
            f"{path}: y must be classes (integers or strings), got {y.dtype}; regression needs a "
            "table with tasks: --data csv:FILE --target COLUMN --task COLUMN"
        )
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{path}: x must be numbers, got {x.dtype}")
    bad = ~np.isfinite(x.reshape(len(x), -1)).all(1)
    if bad.any():
        raise ValueError(f"{path}: x is not finite in row {int(bad.argmax())}")
    values, labels = np.unique(y, return_inverse=True)
    names = [str(value) for value in values]
    x = x.astype(np.float64) if x.ndim == 2 else _images(path, x)
    return random_classes(path.stem, x, labels, names, ways, seed, rotations=rotations)


def holds_images(path: Path) -> bool:
    """Whether x of a .npz file has more axes than rows of numbers; no file has none."""
    try:
        return _read(path)["x"].ndim > 2
    except ValueError:  # `npz_source` says what is wrong
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

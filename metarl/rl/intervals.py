"""Means and their intervals."""

from __future__ import annotations

import numpy as np


def interval(row: np.ndarray) -> tuple[float, float]:
    """The mean over tasks `[T]`, and 1.96 standard errors (nan for a single task)."""
    error = row.std(ddof=1) / np.sqrt(len(row)) if len(row) > 1 else np.nan
    return float(row.mean()), float(1.96 * error)

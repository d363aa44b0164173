"""What an environment's infos tell an engine: numbers by name, those of strangers set apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

SUCCESS = "success"
"""The metric that says whether a step has solved the task (above 0) or not."""
OTHERS = "info/"
"""How the metrics begin that are infos of somebody's environment, whatever these are called."""
_SOLVED = ("success", "is_success")
"""The infos that tell it, the first one that an environment has."""


def told(info: Mapping[Any, object], *, foreign: bool) -> dict[str, float]:
    """The numbers among a step's infos, by the names of their metrics.

    Args:
        info: as the environment returned it.
        foreign: the environment is somebody's, so that no name but that of success means
            anything; else a family's own, whose infos are its definition's metrics.
    """
    numbers = {name: n for name, value in info.items() if (n := _number(value)) is not None}
    if not foreign:
        return numbers
    found = {f"{OTHERS}{name}": n for name, n in numbers.items() if name not in _SOLVED}
    solved = [numbers[name] for name in _SOLVED if name in numbers]
    return found | ({SUCCESS: solved[0]} if solved else {})


def _number(value: object) -> float | None:
    """Return a number, or the only one of an array or list; None of anything else."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool | float):
        return float(value)
    if not (isinstance(value, int) or hasattr(value, "__array__")):
        return None
    try:
        array = np.asarray(value)
    except (RuntimeError, TypeError, ValueError):  # a tensor that numpy cannot see
        return None
    if array.size != 1 or array.dtype.kind not in "biuf":
        return None
    return float(array.reshape(()))

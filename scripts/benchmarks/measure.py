"""Rows of a benchmark: measured in turns, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

CORES = len(os.sched_getaffinity(0))


class Size(NamedTuple):
    """A size says how much is measured."""

    tasks: int  # T
    episodes: int  # E
    tiny: bool  # only show that it runs
    env: str = "half-cheetah-vel"  # what is sampled
    device: str = "cpu"  # of the rows that have a choice


class Clock(NamedTuple):
    """A repetition may return it, to say how long its parts took."""

    seconds: dict[str, float]


class Rate(NamedTuple):
    """The speed of a row."""

    per_second: float  # units of work
    seconds: float  # of a repetition
    shares: dict[str, float]  # of its time, by part; empty where the row does not tell


Row = tuple[str, Callable[[], Any], float]  # what, one repetition, units of work in it


def measure(rows: list[Row], repetitions: int) -> dict[str, Rate]:
    """The speed of every row, by the median of interleaved repetitions."""
    seconds: dict[str, list[float]] = {name: [] for name, _, _ in rows}
    parts: dict[str, list[dict[str, float]]] = {name: [] for name, _, _ in rows}
    for _, run, _ in rows:
        run()
    for _ in range(repetitions):
        for name, run, _ in rows:
            start = time.perf_counter()
            found = run()
            seconds[name].append(time.perf_counter() - start)
            if isinstance(found, Clock):
                parts[name].append(found.seconds)
    medians = {name: float(np.median(row)) for name, row in seconds.items()}
    return {
        name: Rate(work / medians[name], medians[name], _shares(parts[name], seconds[name]))
        for name, _, work in rows
    }


def _shares(parts: list[dict[str, float]], seconds: list[float]) -> dict[str, float]:
    """The median share of every part in the whole of its repetition."""
    return {
        part: float(np.median([row[part] / t for row, t in zip(parts, seconds, strict=True)]))
        for part in (parts[0] if parts else ())
    }

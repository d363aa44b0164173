"""Rows of a benchmark: measured in turns, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

CORES = len(os.sched_getaffinity(0))


class Size(NamedTuple):
    """How much is measured."""

    tasks: int  # T
    episodes: int  # E
    tiny: bool  # only show that it runs
    env: str = "half-cheetah-vel"  # what is sampled
    device: str = "cpu"  # of the rows that have a choice


Row = tuple[str, Callable[[], Any], float]  # what, one repetition, units of work in it


def measure(rows: list[Row], repetitions: int) -> dict[str, float]:
    """Units of work per second of every row, by the median of interleaved repetitions."""
    seconds: dict[str, list[float]] = {name: [] for name, _, _ in rows}
    for _, run, _ in rows:
        run()
    for _ in range(repetitions):
        for name, run, _ in rows:
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: work / float(np.median(seconds[name])) for name, _, work in rows}

"""Whole meta-iterations, and how they grow with the number of tasks."""

from __future__ import annotations

import multiprocessing
import resource
import time
from typing import NamedTuple

import numpy as np
import torch
from benchmarks.measure import CORES, Row, Size
from benchmarks.sampling import make_algorithm, sync_vector

from metarl.algorithms.maml_trpo.presets import maml_trpo_preset
from metarl.experiment.seeding import rng
from metarl.rl.rollout import rollout
from metarl.tasks import make_engine, make_family


def iteration(size: Size) -> list[Row]:
    """A whole meta-iteration of preset deleu2020 beside bare stepping in Gymnasium."""
    work = Work(size, compiled=True)
    return [
        sync_vector(work.controls()),
        (f"metarl, whole iteration of {work.steps:,} steps", work.run, work.steps),
    ]


class Work:
    """One meta-iteration of preset deleu2020."""

    def __init__(self, size: Size, *, compiled: bool) -> None:
        """Make an algorithm, and environments for it.

        Args:
            size: how many tasks and episodes.
            compiled: compile Fisher product and line search.
        """
        config = maml_trpo_preset("deleu2020", "half-cheetah-vel")
        family = make_family("half-cheetah-vel", "deleu2020", 5 if size.tiny else None)
        self._algorithm = make_algorithm(config, CORES, compiled=compiled)
        self._env = make_engine(family, size.tasks, size.episodes, threads=CORES)
        self._tasks = family.split("train").sample(size.tasks, 0)
        self._state = self._algorithm.init(0)
        self.steps = size.tasks * size.episodes * family.horizon * (config.inner_steps + 1)

    def run(self) -> None:
        """Sample, adapt, sample again, and step."""
        self._algorithm.iteration(self._state, self._env, self._tasks, lambda k: rng(0, k))

    def controls(self) -> np.ndarray:
        """Return what the policy does before adaptation, `[N, steps, nu]`."""
        learner, scaling = self._algorithm.learner(self._state), self._algorithm.scaling
        episodes, _ = rollout(
            learner,
            learner.start(self._env.num_tasks),
            self._env,
            self._tasks,
            rng(0),
            scaling=scaling,
            device=self._algorithm.device,
        )
        return scaling(episodes.action.flatten(0, 1)).clip(-1, 1)


class Growth(NamedTuple):
    """An iteration of so many tasks takes this."""

    tasks: int
    seconds: float
    peak_gib: float


def scaling(size: Size) -> list[Growth]:
    """Iterations with more and more tasks, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    numbers = (1, 2) if size.tiny else (10, 20, 40, 80)
    results = []
    for tasks in numbers:
        with context.Pool(1) as pool:
            results.append(pool.apply(_grow, (size._replace(tasks=tasks),)))
    return results


def _grow(size: Size) -> Growth:
    torch.set_num_threads(1)
    work = Work(size, compiled=not size.tiny)
    work.run()
    start = time.perf_counter()
    work.run()
    seconds = time.perf_counter() - start
    return Growth(size.tasks, seconds, peak_gib())


def peak_gib() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

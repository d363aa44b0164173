"""Evaluation on fewer environments than tasks: one batch of tasks after the other.

Each batch draws the noise of all tasks and keeps its own, so that a task meets the same episodes
whatever the batches are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

from metarl.protocols import EvalOptions, MakeEngine
from metarl.tasks.engines.base import EpisodeNoise

Evaluate = Callable[[Any, MakeEngine, EvalOptions], Any]
"""Of an algorithm, on engines and tasks."""


def in_batches(
    evaluate: Evaluate, algorithm: Any, make: MakeEngine, options: EvalOptions, size: int
) -> Iterator[Any]:
    """Yield what `evaluate` says of `size` tasks each; the first tasks fill the last batch up.

    Args:
        evaluate: a batch.
        algorithm: whose learner acts.
        make: T tasks × E episodes on the vector engine; called once, for all batches.
        options: with all tasks.
        size: tasks of a batch.
    """
    engines: list[Any] = []

    def made(num_tasks: int, num_episodes: int) -> Any:
        if not engines:
            engines.append(make(num_tasks, num_episodes))
        return engines[0]

    total = options.num_tasks
    try:
        for first in range(0, total, size):
            batch = _Batch(np.arange(first, first + size) % total, total)
            tasks = {name: values[batch.rows] for name, values in options.tasks.items()}
            yield evaluate(
                _Algorithm(algorithm, batch),
                lambda *shape, batch=batch: _Env(made(*shape), batch),
                options._replace(tasks=tasks, num_tasks=size),
            )
    finally:
        for engine in engines:
            engine.close()


class _Batch:
    """Some of all tasks."""

    def __init__(self, rows: np.ndarray, total: int) -> None:
        self.rows = rows
        self.total = total


class _Shown:
    """Something of a batch; what it does not say is the original's."""

    def __init__(self, original: Any, batch: _Batch) -> None:
        self._original = original
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


class _Env(_Shown):
    """An engine that draws the noise of all tasks, and outlives its batch."""

    def draw_noise(self, rng: np.random.Generator) -> EpisodeNoise:
        """Draw the noise of all tasks, and take that of the batch."""
        reset, step = self._original.draw_noise(rng, self._batch.total)
        return EpisodeNoise(reset[self._batch.rows], step[:, self._batch.rows])

    def close(self) -> None:
        """The next batch needs it."""


class _Algorithm(_Shown):
    """An algorithm whose learner draws the noise of all tasks."""

    def learner(self, state: Any) -> _Learner:
        """Return a learner that knows of the batch."""
        return _Learner(self._original.learner(state), self._batch)


class _Learner(_Shown):
    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
        """`[H, T, E, …]` of the batch."""
        horizon, _, *rest = shape
        everything = self._original.noise(rng, (horizon, self._batch.total, *rest))
        noise: Tensor = everything[:, self._batch.rows]
        return noise

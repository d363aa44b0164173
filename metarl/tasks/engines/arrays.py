"""Families that need no physics engine, as array operations over all environments."""

from __future__ import annotations

from typing import Any

import numpy as np

from metarl.tasks.engines.base import Engine, EpisodeNoise, StepOutput
from metarl.tasks.protocols import Family
from metarl.tasks.task import Tasks


class ArraysEngine(Engine):
    """Steps all environments by the family's own array functions, in numpy."""

    def __init__(self, family: Family, num_tasks: int, num_episodes: int) -> None:
        """Raises ValueError for a family whose definition is not made of array functions."""
        super().__init__(family, num_tasks, num_episodes)
        if family.definition.engine != "arrays":
            raise ValueError(
                f"the arrays engine cannot run {family.name}; "
                f"use --engine {family.definition.engine}"
            )
        self._definition = family.definition
        self._state: Any = None

    def draw_noise(self, rng: np.random.Generator) -> EpisodeNoise:
        """As the family defines it, first for resets, then for all steps."""
        reset = self._definition.draw_reset_noise(rng, self.shape)
        return EpisodeNoise(
            reset, self._definition.draw_step_noise(np, rng, (self.horizon, *self.shape))
        )

    def reset(self, tasks: Tasks, noise: Any, mask: np.ndarray | None = None) -> np.ndarray:
        """Start episodes where `mask` holds; observations `[T, E, O]`."""
        chosen = self._start(tasks, mask)
        start = self._definition.start(np, self._tasks, noise)
        start = np.broadcast_to(start, (*self.shape, start.shape[-1])).copy()
        if self._state is not None and mask is not None:
            start = np.where(chosen[..., None], start, self._state)
        self._state = start
        return self._observe()

    def step(self, action: Any, noise: Any) -> StepOutput:
        """One step of every environment."""
        self._state, reward, terminated, metrics = self._definition.step(
            np, self._state, self._fit(action), self._tasks, noise
        )
        return StepOutput(self._observe(), reward, terminated, self._truncated(), metrics)

    def picture(self) -> np.ndarray:
        """`[400, 400, 3]` uint8: the first environment, as the family draws it."""
        task = {name: values[0, 0] for name, values in self._tasks.items()}
        pixels: np.ndarray = self._definition.picture(self._state[0, 0], task)
        return pixels

    def _observe(self) -> np.ndarray:
        obs: np.ndarray = self._definition.observe(np, self._state).astype(np.float32)
        return obs

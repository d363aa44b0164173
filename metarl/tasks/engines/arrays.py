"""Families that need no physics engine, as array operations over all environments."""

from __future__ import annotations

import numpy as np

from metarl.tasks.engines.base import Engine, EpisodeNoise, StepOutput
from metarl.tasks.protocols import ArraysDefinition, Drawable, Family
from metarl.tasks.xp import Array, TaskArrays


class ArraysEngine(Engine):
    """Steps all environments by the family's own array functions, in numpy."""

    def __init__(self, family: Family, num_tasks: int, num_episodes: int) -> None:
        """Refuse a family whose definition is not made of array functions; raises ValueError."""
        super().__init__(family, num_tasks, num_episodes)
        definition = family.definition
        if definition.engine != "arrays":
            raise ValueError(
                f"the arrays engine cannot run {family.name}; use --engine {definition.engine}"
            )
        self._definition: ArraysDefinition = definition
        self._state: np.ndarray | None = None  # [T, E, S]

    def draw_noise(self, rng: np.random.Generator) -> EpisodeNoise:
        """Draw as the family defines it, first for resets, then for all steps."""
        reset = self._definition.draw_reset_noise(rng, self.shape)
        return EpisodeNoise(
            reset, self._definition.draw_step_noise(np, rng, (self.horizon, *self.shape))
        )

    def reset(self, tasks: TaskArrays, noise: Array, mask: Array | None = None) -> np.ndarray:
        """Start episodes where `mask` holds; observations `[T, E, O]`."""
        chosen = self._start(tasks, mask)
        start = self._definition.start(np, self._tasks, noise)
        start = np.broadcast_to(start, (*self.shape, start.shape[-1])).copy()
        if self._state is not None and mask is not None:
            start = np.where(chosen[..., None], start, self._state)
        self._state = start
        return self._observe(start)

    def step(self, action: Array, noise: Array) -> StepOutput:
        """One step of every environment."""
        assert self._state is not None, "reset first"
        self._state, reward, terminated, metrics = self._definition.step(
            np, self._state, self._fit(action), self._tasks, noise
        )
        obs = self._observe(self._state)
        return StepOutput(obs, reward, terminated, self._truncated(), metrics)

    def picture(self) -> np.ndarray:
        """`[400, 400, 3]` uint8: the first environment, as the family draws it."""
        if not isinstance(self._definition, Drawable):
            return super().picture()
        assert self._state is not None, "reset first"
        task = {name: values[0, 0] for name, values in self._tasks.items()}
        return self._definition.picture(self._state[0, 0], task)

    def _observe(self, state: np.ndarray) -> np.ndarray:
        return self._definition.observe(np, state).astype(np.float32)

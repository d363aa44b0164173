"""MuJoCo on all cores in one process: every control step is one `mujoco.rollout` call."""

from __future__ import annotations

import os
from typing import Any

import mujoco
import numpy as np
from mujoco import rollout

from envs.engines.base import Engine, Noise, StepOutput
from envs.family import TaskFamily, Tasks


class ThreadsEngine(Engine):
    """T × E copies of one model; results do not depend on the number of threads.

    MuJoCo's state vector (`mjSTATE_FULLPHYSICS`) starts with the time, then qpos and qvel. A
    rollout starts its solver cold at every control step (MuJoCo returns no warm start), so that
    trajectories differ from Gymnasium's by the solver's tolerance.
    """

    def __init__(
        self, family: TaskFamily, num_tasks: int, num_episodes: int, threads: int | None = None
    ) -> None:
        """Args:
        family: a MuJoCo family.
        num_tasks: T.
        num_episodes: E.
        threads: physics threads; all cores by default.

        Raises:
            ValueError: the family has no MuJoCo model, or a count is below 1.
        """
        super().__init__(family, num_tasks, num_episodes)
        if family.definition.engine != "threads":
            raise ValueError(
                f"the threads engine cannot run {family.name}, which has no MuJoCo model; "
                f"use --engine {family.definition.engine}"
            )
        threads = len(os.sched_getaffinity(0)) if threads is None else threads
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self._definition = family.definition
        self._model = family.definition.model
        self._pool = rollout.Rollout(nthread=threads)
        self._data = [mujoco.MjData(self._model) for _ in range(threads)]
        spec = mujoco.mjtState.mjSTATE_FULLPHYSICS
        size, skip = mujoco.mj_stateSize(self._model, spec), self._definition.frame_skip
        count = num_tasks * num_episodes
        self._states = np.zeros((count, skip, size))
        self._models = [self._model] * count
        self._state = np.zeros((count, size))
        self._controls = np.zeros((count, skip, self._model.nu))
        self._initial = self._initial_state(size, spec)

    def _initial_state(self, size: int, spec: Any) -> np.ndarray:
        data, state = mujoco.MjData(self._model), np.zeros(size)
        mujoco.mj_getState(self._model, data, state, spec)
        return state

    def draw_noise(self, rng: np.random.Generator) -> Noise:
        """Reset noise as the family defines it; steps need none."""
        reset = self._definition.draw_reset_noise(rng, self.shape)
        return Noise(reset, np.zeros((self.horizon, *self.shape, 0)))

    def reset(self, tasks: Tasks, noise: Any, mask: np.ndarray | None = None) -> np.ndarray:
        """Start episodes where `mask` holds; observations `[T, E, O]` float32."""
        chosen = self._start(tasks, mask).reshape(-1)
        start = np.tile(self._initial, (len(self._state), 1))
        nq, nv = self._model.nq, self._model.nv
        start[:, 1 : 1 + nq + nv] += np.asarray(noise).reshape(len(start), nq + nv)
        self._state = np.where(chosen[:, None], start, self._state)
        return self._observe(*self._positions(self._state))

    def step(self, action: Any, noise: Any) -> StepOutput:
        """One control step (frame_skip physics steps) of every environment."""
        clipped = self._fit(action)
        self._controls[:] = clipped.reshape(len(self._state), 1, -1)
        self._pool.rollout(
            self._models,
            self._data,
            self._state,
            self._controls,
            skip_checks=True,
            nstep=self._definition.frame_skip,
            state=self._states,
        )
        before, _ = self._positions(self._state)
        self._state = self._states[:, -1].copy()
        qpos, qvel = self._positions(self._state)
        reward, metrics = self._definition.reward(np, before, clipped, qpos, self._tasks)
        return StepOutput(
            self._observe(qpos, qvel),
            reward,
            np.zeros(self.shape, dtype=bool),
            self._truncated(),
            metrics,
        )

    def _positions(self, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """qpos `[T, E, nq]` and qvel `[T, E, nv]`, views of the states."""
        grid = state.reshape(*self.shape, -1)
        nq, nv = self._model.nq, self._model.nv
        return grid[..., 1 : 1 + nq], grid[..., 1 + nq : 1 + nq + nv]

    def _observe(self, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
        obs: np.ndarray = self._definition.observe(np, qpos, qvel).astype(np.float32)
        return obs

    def close(self) -> None:
        """End the physics threads."""
        self._pool.close()

"""Advance many MuJoCo states by one control step on all cores of this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np
from mujoco import rollout

Derived = dict[str, np.ndarray]


class Rollouts:
    """All states in one `mujoco.rollout` call; it returns states and nothing else.

    The solver starts cold at every control step (a rollout returns no warm start), so that
    trajectories differ from Gymnasium's by the solver's tolerance.
    """

    spec = mujoco.mjtState.mjSTATE_FULLPHYSICS

    def __init__(self, model: mujoco.MjModel, count: int, skip: int, threads: int) -> None:
        """Make room for the states, and threads.

        Args:
            model: any of the models; they share their sizes.
            count: how many states at most.
            skip: physics steps per control step.
            threads: physics threads.
        """
        self._pool = rollout.Rollout(nthread=threads)
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        self._states = np.zeros((count, skip, mujoco.mj_stateSize(model, self.spec)))
        self._controls = np.zeros((count, skip, model.nu))

    def forward(self, models: Sequence[mujoco.MjModel], states: np.ndarray) -> Derived:
        """Nothing is derived."""
        return {}

    def step(
        self, models: Sequence[mujoco.MjModel], states: np.ndarray, controls: np.ndarray
    ) -> tuple[np.ndarray, Derived]:
        """States `[N, S]` after a control step with controls `[N, nu]`."""
        count = len(states)
        self._controls[:count] = controls[:, None]
        self._pool.rollout(
            models,
            self._data,
            states,
            self._controls[:count],
            skip_checks=True,
            nstep=self._controls.shape[1],
            state=self._states[:count],
        )
        return self._states[:count, -1].copy(), {}

    def close(self) -> None:
        """End the physics threads."""
        self._pool.close()


class Loops:
    """One Python loop per thread over its share of the states, for fields that MuJoCo derives.

    The solver's warm start is part of the state, so that trajectories are Gymnasium's.
    """

    spec = mujoco.mjtState.mjSTATE_FULLPHYSICS | mujoco.mjtState.mjSTATE_WARMSTART

    def __init__(
        self, model: mujoco.MjModel, skip: int, threads: int, fields: Sequence[str]
    ) -> None:
        """Start threads, each with data of its own.

        Args:
            model: any of the models; they share their sizes.
            skip: physics steps per control step.
            threads: physics threads.
            fields: names of fields of MjData to be read after every control step.
        """
        self._skip = skip
        self._fields = fields
        self._pool = ThreadPoolExecutor(threads)
        self._data = [mujoco.MjData(model) for _ in range(threads)]

    def forward(self, models: Sequence[mujoco.MjModel], states: np.ndarray) -> Derived:
        """The fields, each `[N, n]`, of states `[N, S]` that no step led to."""

        def one(i: int, data: mujoco.MjData) -> None:
            data.ctrl[:] = 0.0
            mujoco.mj_forward(models[i], data)

        return self._each(models, states, one)

    def step(
        self, models: Sequence[mujoco.MjModel], states: np.ndarray, controls: np.ndarray
    ) -> tuple[np.ndarray, Derived]:
        """States `[N, S]` after a control step with controls `[N, nu]`, and the fields."""
        after = np.empty_like(states)

        def one(i: int, data: mujoco.MjData) -> None:
            data.ctrl[:] = controls[i]
            mujoco.mj_step(models[i], data, self._skip)
            mujoco.mj_getState(models[i], data, after[i], self.spec)

        return after, self._each(models, states, one)

    def _each(
        self,
        models: Sequence[mujoco.MjModel],
        states: np.ndarray,
        one: Callable[[int, mujoco.MjData], None],
    ) -> Derived:
        """Set every state, do `one` thing to it and read the fields."""
        count = len(states)
        found = {f: np.empty((count, getattr(self._data[0], f).size)) for f in self._fields}

        def work(data: mujoco.MjData, share: np.ndarray) -> None:
            for i in share:
                mujoco.mj_setState(models[i], data, states[i], self.spec)
                one(i, data)
                for field, values in found.items():
                    values[i] = getattr(data, field).ravel()

        shares = np.array_split(np.arange(count), len(self._data))
        for done in [self._pool.submit(work, *w) for w in zip(self._data, shares, strict=True)]:
            done.result()
        return found

    def close(self) -> None:
        """End the physics threads."""
        self._pool.shutdown()

"""MuJoCo on all cores in one process."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence

import mujoco
import numpy as np

from metarl.tasks.engines.base import Engine, EpisodeNoise, StepOutput
from metarl.tasks.engines.camera import MujocoCamera
from metarl.tasks.engines.simulate import Derived, Loops, Rollouts
from metarl.tasks.physics import Physics
from metarl.tasks.protocols import Family, MujocoDefinition
from metarl.tasks.task import task_at
from metarl.tasks.xp import Array, TaskArrays


class ThreadsEngine(Engine):
    """T × E copies of a model, or of one model per task where tasks change the physics.

    An environment whose episode has ended rests until it is reset. Results do not depend on the
    number of threads. MuJoCo's state vector starts with the time, then qpos and qvel.
    """

    def __init__(
        self, family: Family, num_tasks: int, num_episodes: int, threads: int | None = None
    ) -> None:
        """Make states and threads for all environments.

        Args:
            family: a MuJoCo family.
            num_tasks: T.
            num_episodes: E.
            threads: physics threads; all cores by default.

        Raises:
            ValueError: the family has no MuJoCo model, or a count is below 1.
        """
        super().__init__(family, num_tasks, num_episodes)
        definition = family.definition
        if definition.engine != "threads":
            raise ValueError(
                f"the threads engine cannot run {family.name}, which has no MuJoCo model; "
                f"use --engine {definition.engine}"
            )
        threads = len(os.sched_getaffinity(0)) if threads is None else threads
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self._threads = threads
        self._parts: list[ThreadsEngine] = []
        self._definition: MujocoDefinition = definition
        model, skip = self._definition.model, self._definition.frame_skip
        count, fields = num_tasks * num_episodes, self._definition.derived
        self._simulate = (
            Loops(model, skip, threads, fields) if fields else Rollouts(model, count, skip, threads)
        )
        self._models = [model] * count
        self._initial = self._initial_state(model)
        self._state = np.zeros((count, len(self._initial)))
        self._over = np.zeros(count, dtype=bool)
        self._derived: Derived = {}
        self._sizes = model.nq, model.nv
        self._camera: MujocoCamera | None = None

    @property
    def parts(self) -> Sequence[ThreadsEngine]:
        """An engine with half of the threads for each half of the tasks.

        While Python acts for one half, the other half is simulated. There are two whatever the
        number of threads, so that results do not depend on it.
        """
        if not self._parts and self.num_tasks > 1:
            first = self.num_tasks // 2
            self._parts = [
                ThreadsEngine(self.family, tasks, self.num_episodes, -(-self._threads // 2))
                for tasks in (first, self.num_tasks - first)
            ]
        return self._parts

    def _initial_state(self, model: mujoco.MjModel) -> np.ndarray:
        spec = self._simulate.spec
        data, state = mujoco.MjData(model), np.zeros(mujoco.mj_stateSize(model, spec))
        mujoco.mj_getState(model, data, state, spec)
        return state

    def draw_noise(self, rng: np.random.Generator) -> EpisodeNoise:
        """Reset noise as the family defines it; steps need none."""
        reset = self._definition.draw_reset_noise(rng, self.shape)
        return EpisodeNoise(reset, np.zeros((self.horizon, *self.shape, 0)))

    def reset(self, tasks: TaskArrays, noise: Array, mask: Array | None = None) -> np.ndarray:
        """Start episodes where `mask` holds; observations `[T, E, O]` float32."""
        chosen = self._start(tasks, mask).reshape(-1)
        if self._definition.changes_model:
            self._models = self._models_of(tasks)
        start = np.tile(self._initial, (len(self._state), 1))
        start[:, 1 : 1 + sum(self._sizes)] += np.asarray(noise).reshape(len(start), -1)
        self._state = np.where(chosen[:, None], start, self._state)
        self._over = self._over & ~chosen
        fresh = self._simulate.forward(self._models, self._state)
        self._derived = {
            name: np.where(chosen[:, None], values, self._derived.get(name, values))
            for name, values in fresh.items()
        }
        return self._observe(self._physics())

    @property
    def models(self) -> list[mujoco.MjModel]:
        """The MuJoCo model of every environment, T · E of them, those of a task in a row."""
        return self._models

    def _models_of(self, tasks: TaskArrays) -> list[mujoco.MjModel]:
        """One model per task, the same for all its episodes."""
        models: list[mujoco.MjModel] = []
        scratch = mujoco.MjData(self._definition.model)
        for i in range(self.num_tasks):
            model = copy.copy(self._definition.model)
            self._definition.apply(model, task_at(tasks, i))
            mujoco.mj_setConst(model, scratch)  # what follows from masses
            models += [model] * self.num_episodes
        return models

    def step(self, action: Array, noise: Array) -> StepOutput:
        """One control step (frame_skip physics steps) of every environment."""
        clipped = self._fit(action)
        before = self._physics()
        self._advance(clipped.reshape(len(self._state), -1))
        after = self._physics()
        reward, metrics = self._definition.reward(np, before, clipped, after, self._tasks)
        terminated, truncated = self._definition.terminated(np, after), self._truncated()
        self._over = self._over | (terminated | truncated).reshape(-1)
        return StepOutput(self._observe(after), reward, terminated, truncated, metrics)

    def _advance(self, controls: np.ndarray) -> None:
        """The physics of those whose episodes go on, with controls `[T · E, nu]` of all."""
        going = np.flatnonzero(~self._over)
        if len(going) == len(controls):
            self._state, self._derived = self._simulate.step(self._models, self._state, controls)
        elif len(going):
            models = [self._models[i] for i in going]
            state, derived = self._simulate.step(models, self._state[going], controls[going])
            self._state = _written(self._state, going, state)
            for name, values in derived.items():
                self._derived[name] = _written(self._derived[name], going, values)

    def _physics(self) -> Physics:
        """The states as `[T, E, …]`, without copies."""
        (nq, nv), grid = self._sizes, self._state.reshape(*self.shape, -1)
        derived = {k: values.reshape(*self.shape, -1) for k, values in self._derived.items()}
        return Physics(grid[..., 1 : 1 + nq], grid[..., 1 + nq : 1 + nq + nv], derived)

    def _observe(self, physics: Physics) -> np.ndarray:
        return self._definition.observe(np, physics).astype(np.float32)

    def picture(self) -> np.ndarray:
        """`[480, 480, 3]` uint8: the first environment, by the camera that follows it."""
        if self._camera is None:
            self._camera = MujocoCamera(self._definition.model, self._definition.camera)
        return self._camera.shoot(self._state[0], self._simulate.spec)

    def close(self) -> None:
        """End the physics threads, and the camera."""
        for part in self._parts:
            part.close()
        self._simulate.close()
        if self._camera is not None:
            self._camera.close()
            self._camera = None


def _written(all_rows: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A copy with some rows replaced: what was returned before keeps its values."""
    copied = all_rows.copy()
    copied[rows] = values
    return copied

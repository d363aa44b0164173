"""What every engine shares: shapes, the episode clock and the noise container."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import array_api_compat.numpy
import gymnasium
import numpy as np

from metarl.tasks.checking import check_tasks
from metarl.tasks.protocols import Family
from metarl.tasks.task import Tasks
from metarl.tasks.values import differing
from metarl.tasks.xp import Array, Metrics, TaskArrays, Xp


class EpisodeNoise(NamedTuple):
    """All the randomness of one episode of every environment."""

    reset: Array  # [T, E, …]
    step: Array  # [H, T, E, …]


class StepOutput(NamedTuple):
    """The result of one step; there is no autoreset, `obs` is the true successor."""

    obs: Array  # [T, E, O] float32
    reward: Array  # [T, E] float64, or float32 on a device
    terminated: Array  # [T, E] bool
    truncated: Array  # [T, E] bool
    metrics: Metrics  # each [T, E]; `info/…` are infos of somebody's environment


class EnvironmentFailure(RuntimeError):
    """An environment raised, died or hangs; the message says which one, and where it was."""


class Engine:
    """Spaces and clock of T tasks × E episodes of a family; a `protocols.EngineLike`."""

    xp: Xp = array_api_compat.numpy
    device: object = "cpu"

    def __init__(self, family: Family, num_tasks: int, num_episodes: int) -> None:
        """Refuse counts below 1; raises ValueError."""
        for name, count in (("tasks", num_tasks), ("episodes", num_episodes)):
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        self.family = family
        self.num_tasks = num_tasks
        self.num_episodes = num_episodes
        self.horizon = family.horizon
        self.observation_space = family.observation_space
        self.action_space = family.action_space
        self._elapsed = np.zeros((num_tasks, num_episodes), dtype=np.int64)
        self._tasks: Tasks = {}
        self._given: Tasks = {}

    @property
    def parts(self) -> Sequence[Engine]:
        """Engines for some of the tasks each that threads may step at once; none here."""
        return ()

    @property
    def ends_early(self) -> bool:
        """True where an episode may end before the horizon; any environment of somebody's may."""
        definition = self.family.definition
        return definition.engine == "vector" or definition.ends_early

    @property
    def score(self) -> str:
        """The metric that is each reward's expectation, where the definition declares one."""
        declared: str = getattr(self.family.definition, "score", "")
        return declared

    @property
    def shape(self) -> tuple[int, int]:
        """(T, E)."""
        return self.num_tasks, self.num_episodes

    def draw_noise(self, rng: np.random.Generator) -> EpisodeNoise:
        """All the randomness of one episode, in a fixed order."""
        raise NotImplementedError

    def reset(self, tasks: TaskArrays, noise: Array, mask: Array | None = None) -> Array:
        """Start episodes where `mask` holds; observations `[T, E, O]`."""
        raise NotImplementedError

    def step(self, action: Array, noise: Array) -> StepOutput:
        """One step of every environment."""
        raise NotImplementedError

    def _start(self, tasks: TaskArrays, mask: Array | None) -> np.ndarray:
        """Set the tasks, restart the masked clocks and return the mask `[T, E]`."""
        self._set_tasks(tasks, mask)
        chosen = np.ones(self.shape, dtype=bool) if mask is None else np.asarray(mask)
        self._elapsed[chosen] = 0
        return chosen

    def _set_tasks(self, tasks: TaskArrays, mask: Array | None) -> bool:
        """Copy and check tasks that are others than those of the last reset; whether they are.

        They are compared by value: what becomes of the caller's arrays changes no episode.
        """
        for name in self.family.parameters:
            if name not in tasks or len(tasks[name]) != self.num_tasks:
                raise ValueError(
                    f"{self.family.name} needs {self.num_tasks} values of the task parameter "
                    f"{name!r}, got {tasks.get(name)!r}"
                )
        changed = self._changed(tasks)
        if not changed.any():  # the episodes of a trial share their tasks
            return False
        check_tasks(self.family, tasks)
        if self._given and mask is not None:
            self._refuse_other_tasks(changed & ~self._on_host(mask).all(1))
        self._given = {name: copy.deepcopy(np.asarray(v)) for name, v in tasks.items()}
        self._tasks = self._over_episodes(tasks)
        return True

    def _changed(self, tasks: TaskArrays) -> np.ndarray:
        """Say which of the tasks are others than those of the last reset, `[T]` bool."""
        given = {name: np.asarray(values) for name, values in tasks.items()}
        if {k: v.shape for k, v in given.items()} != {k: v.shape for k, v in self._given.items()}:
            return np.ones(self.num_tasks, dtype=bool)
        changed = np.zeros(self.num_tasks, dtype=bool)
        for name, values in given.items():
            changed |= differing(values, self._given[name])
        return changed

    def _on_host(self, mask: Array) -> np.ndarray:
        return np.asarray(mask)

    def _refuse_other_tasks(self, changed: np.ndarray) -> None:
        """Refuse to change tasks `[T]` of which some episodes go on."""
        if changed.any():
            raise ValueError(
                f"task {int(changed.argmax())} of {self.family.name} may not change while "
                "episodes of it go on: reset all of its episodes, or keep it"
            )

    def _over_episodes(self, tasks: TaskArrays) -> Tasks:
        """`[T, …]` to `[T, 1, …]`, so that a task broadcasts over its episodes."""
        return {name: np.array(values, dtype=np.float64)[:, None] for name, values in tasks.items()}

    def _fit(self, action: Array) -> np.ndarray:
        """Actions clipped to a `Box`, in float64, or checked to be indices, in int64.

        Raises:
            ValueError: a discrete action that is not one of 0 … n − 1.
        """
        space, action = self.action_space, np.asarray(action)
        if isinstance(space, gymnasium.spaces.Box):
            clipped: np.ndarray = np.clip(action.astype(np.float64), space.low, space.high)
            return clipped
        assert isinstance(space, (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete))
        count = space.n if isinstance(space, gymnasium.spaces.Discrete) else space.nvec
        if action.dtype.kind not in "iu" or np.any((action < 0) | (action >= count)):
            raise ValueError(
                f"actions of {self.family.name} are integers from 0 to {count - 1}, got {action!r}"
            )
        indices: np.ndarray = action.astype(np.int64)
        return indices

    def _truncated(self) -> np.ndarray:
        """Advance the clock by a step; True where the horizon is reached."""
        self._elapsed += 1
        return self._elapsed >= self.horizon

    def picture(self) -> np.ndarray:
        """`[height, width, 3]` uint8: the first environment.

        Raises:
            ValueError: this engine draws no pictures.
        """
        raise ValueError(f"no pictures of {self.family.name} are drawn by {type(self).__name__}")

    def require_intact(self) -> None:
        """Nothing has room for less than all."""

    def close(self) -> None:
        """Nothing to free."""

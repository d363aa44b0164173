"""Any Gymnasium environment: T × E of them, in this process or in worker processes."""

from __future__ import annotations

import math
import traceback
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np

from metarl.tasks.engines.base import Engine, EnvironmentFailure, EpisodeNoise, StepOutput
from metarl.tasks.engines.vector.pool import Pool, WorkerError
from metarl.tasks.engines.vector.shared_memory import Metrics, layout, shared_arrays, size
from metarl.tasks.engines.vector.worker import WorkerEnvs
from metarl.tasks.protocols import Family
from metarl.tasks.task import Task, Tasks, task_at
from metarl.tasks.xp import Array, TaskArrays


class VectorEngine(Engine):
    """Steps each environment by its own `step`; results do not depend on the number of workers.

    The noise of an environment is one reset seed, from which it draws all else. Environments
    whose episode has ended are not stepped until they are reset: their observation stays, their
    reward is 0 and their metrics are nan.
    """

    def __init__(
        self,
        family: Family,
        num_tasks: int,
        num_episodes: int,
        workers: int = 0,
    ) -> None:
        """Make the environments, here or in worker processes.

        Args:
            family: any family.
            num_tasks: T.
            num_episodes: E.
            workers: worker processes; 0 steps all environments in this process.

        Raises:
            ValueError: a count is impossible, or the family cannot be sent to a worker.
            EnvironmentFailure: an environment cannot be made.
        """
        super().__init__(family, num_tasks, num_episodes)
        if workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}")
        count = num_tasks * num_episodes
        parts = max(1, min(workers, count))
        obs_dim = math.prod(self.observation_space.shape or ())
        fields = layout(count, obs_dim, _action_of(self.action_space), parts)
        self._bounds = [count * w // parts for w in range(parts + 1)]
        self._task_of: list[Task] = [{}] * count
        self._envs: WorkerEnvs | None = None
        self._pool: Pool | None = None
        self._arrays = shared_arrays(
            bytearray(sum(map(size, fields.values())) + 64 * len(fields)), fields
        )
        try:
            if workers:
                self._pool = Pool(family, fields, self._bounds)
                self._arrays = self._pool.arrays
            else:
                self._envs = WorkerEnvs(family, self._arrays, 0, 0, count)
        except WorkerError as error:
            raise self._failure("while it was made", error) from error
        except (Exception, SystemExit) as error:
            if workers or isinstance(error, ValueError):
                raise
            raise self._failure("while it was made", _here(error)) from error
        self._finished = np.ones(self.shape, dtype=bool)

    def draw_noise(self, rng: np.random.Generator, num_tasks: int | None = None) -> EpisodeNoise:
        """A reset seed per environment, `[T, E]`; steps need none. T may be given."""
        shape = (self.num_tasks if num_tasks is None else num_tasks, self.num_episodes)
        return EpisodeNoise(rng.integers(2**31, size=shape), np.zeros((self.horizon, *shape, 0)))

    def reset(self, tasks: TaskArrays, noise: Array, mask: Array | None = None) -> np.ndarray:
        """Start episodes where `mask` holds; observations `[T, E, O]` float32.

        Raises:
            EnvironmentFailure: an environment raised, died or hangs.
        """
        chosen = self._start(tasks, mask)
        self._finished[chosen] = False
        b, flat = self._arrays, chosen.reshape(-1)
        each = [task_at(tasks, t) for t in range(self.num_tasks)]
        for i in np.flatnonzero(flat):
            self._task_of[i] = each[i // self.num_episodes]
        b.seed[:] = np.asarray(noise).reshape(-1)
        b.chosen[:] = flat
        b.terminated[flat] = b.truncated[flat] = False
        self._call("reset", [(self._task_of[i:j],) for i, j in self._ranges()])
        return self._observations()

    def step(self, action: Array, noise: Array) -> StepOutput:
        """One step of every environment whose episode goes on.

        Raises:
            EnvironmentFailure: an environment raised, died or hangs.
        """
        b, running = self._arrays, ~self._finished
        b.chosen[:] = running.reshape(-1)
        b.action[:] = self._fit(action).reshape(b.action.shape)
        b.reward[~b.chosen] = 0.0
        replies = self._call("step", [()] * len(self._ranges()))
        self._elapsed[running] += 1
        truncated = b.truncated.reshape(self.shape) | (self._elapsed >= self.horizon)
        terminated = b.terminated.reshape(self.shape).copy()
        self._finished = terminated | truncated
        reward = b.reward.reshape(self.shape).copy()
        return StepOutput(
            self._observations(), reward, terminated, truncated, self._joined(replies)
        )

    def close(self) -> None:
        """Close the environments and end the workers."""
        if self._envs is not None:
            self._envs.close()
        if self._pool is not None:
            self._pool.close()

    def _call(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Metrics]:
        try:
            if self._pool is not None:
                return self._pool.call(name, arguments)
            return [getattr(self._envs, name)(*arguments[0])]
        except WorkerError as error:
            raise self._failure(f"in {name}", error) from error
        except (Exception, SystemExit) as error:
            raise self._failure(f"in {name}", _here(error)) from error

    def _over_episodes(self, tasks: TaskArrays) -> Tasks:
        """Keep them out: every environment is told its own task."""
        return {}

    def _failure(self, when: str, error: WorkerError) -> EnvironmentFailure:
        """Say which environment it was, of which task, where in its episode."""
        i = int(self._arrays.current[error.worker])
        task, episode = divmod(i, self.num_episodes)
        by = f" (worker {error.worker})" if self._pool is not None else ""
        named = f" {self._task_of[i]}" if self._task_of[i] else ""
        return EnvironmentFailure(
            f"environment {i} of {self.family.name}{by} {error.what} {when}: task {task}{named}, "
            f"episode {episode}, step {self._elapsed[task, episode]}"
            + (f"\n{error.details.rstrip()}" if error.details else "")
        )

    def _ranges(self) -> list[tuple[int, int]]:
        return list(pairwise(self._bounds))

    def _observations(self) -> np.ndarray:
        return self._arrays.obs.reshape(*self.shape, -1).copy()

    def _joined(self, replies: Sequence[Metrics]) -> Metrics:
        """Every worker's metrics, each `[T, E]`."""
        joined: Metrics = {}
        for (first, stop), metrics in zip(self._ranges(), replies, strict=True):
            for name, values in metrics.items():
                column = joined.setdefault(name, np.full(self._arrays.reward.shape, np.nan))
                column[first:stop] = values
        return {name: values.reshape(self.shape) for name, values in joined.items()}


def _action_of(space: gymnasium.Space[Any]) -> tuple[tuple[int, ...], str]:
    """Shape and type of one action."""
    assert space.shape is not None
    return space.shape, str(space.dtype) if isinstance(space, gymnasium.spaces.Box) else "int64"


def _here(error: BaseException) -> WorkerError:
    """An error of this process as a worker would tell it."""
    return WorkerError(0, "failed", "".join(traceback.format_exception(error)))

"""RL²'s trials: K episodes of one task as one long episode (arXiv 1611.02779, section 2.2).

What an agent sees at every step is one flat vector,

    [observation | previous action | previous reward | previous done],

so that a memory can tell what it has tried, what came of it and where episodes end. At the end of
an episode the next one starts at once: the agent sees its first observation together with the last
reward and done = 1. Before the first step of a trial all but the observation is zero.

A trial is a decision process of its own, which terminates after its K-th episode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import array_api_compat.numpy as _xp
import gymnasium
import numpy as np

from metarl.tasks.protocols import EngineLike
from metarl.tasks.task import Task
from metarl.tasks.views import ActionCode, History, action_size, join, trial_space
from metarl.tasks.xp import Array, Metrics, TaskArrays


class TrialNoise(NamedTuple):
    """All the randomness of one trial of every environment."""

    reset: Array  # [K, T, E, …]
    step: Array  # [K · H, T, E, …]


class TrialEngine:
    """T × E trials of K episodes each, on any engine that steps T × E environments.

    Speaks the engine's own protocol, with trials for episodes, in the engine's own arrays: on a
    GPU nothing is copied to the host, and nothing waits for the device. Episodes that end at
    different steps are restarted one by one, so that trials may have different lengths, K · H at
    most.
    """

    parts: Sequence[EngineLike] = ()  # acting for all at once

    def __init__(self, env: EngineLike, episodes: int, *, endless: bool = False) -> None:
        """Wrap an engine, so that an episode of it is a trial.

        Args:
            env: steps the episodes.
            episodes: K.
            endless: show after a trial's end how a further episode starts, again from the state in
                which its last one did, so that what it would be worth can be asked.

        Raises:
            ValueError: K below 1, no fixed horizon, or a space that does not fit.
        """
        _require_episodes(episodes)
        if not isinstance(env.horizon, int | np.integer) or env.horizon < 1:
            raise ValueError(f"a trial needs episodes of a fixed horizon, got {env.horizon!r}")
        self._env = env
        self._endless = endless
        self.episodes = episodes
        self.num_tasks = env.num_tasks
        self.num_episodes = env.num_episodes
        self.horizon = int(env.horizon) * episodes
        self.observation_space = trial_space(env.observation_space, env.action_space)
        self.action_space = env.action_space
        self._xp = xp = env.xp
        device = env.device
        self._host = str(device) == "cpu"
        self._encode = ActionCode(env.action_space, xp, device)
        shape = (self.num_tasks, self.num_episodes)
        self._rows = xp.arange(shape[0], device=device)[:, None], xp.arange(shape[1], device=device)
        # the episode that each trial is in, K where it is over
        self._episode = xp.zeros(shape, dtype=xp.int64, device=device)
        nothing = xp.zeros(shape, device=device)
        action = xp.zeros((*shape, action_size(env.action_space)), device=device)
        self._last = History(action, nothing, nothing)
        self._steps = 0  # since all trials were started together
        self._together = True

    @property
    def score(self) -> str:
        """It is the engine's."""
        return self._env.score

    def draw_noise(self, rng: np.random.Generator) -> TrialNoise:
        """Draw what K episodes need, one after the other."""
        parts = [self._env.draw_noise(rng) for _ in range(self.episodes)]
        return TrialNoise(
            self._xp.stack([part.reset for part in parts]),
            self._xp.concat([part.step for part in parts]),
        )

    def reset(self, tasks: TaskArrays, noise: Array, mask: Array | None = None) -> Array:
        """Start trials where `mask` holds (everywhere by default); `[T, E, O + A + 2]`.

        Args:
            tasks: each parameter `[T, …]`.
            noise: `[K, T, E, …]`, for the starts of all K episodes.
            mask: `[T, E]` bool.
        """
        xp = self._xp
        self._tasks = {name: np.array(values) for name, values in tasks.items()}
        self._noise = noise
        self._steps, self._together = 0, mask is None
        kept = xp.zeros_like(self._episode) if mask is None else xp.astype(~mask, xp.int64)
        self._episode = self._episode * kept
        obs = self._env.reset(tasks, noise[0], mask)
        action, reward, done = self._last
        self._last = History(action * kept[..., None], reward * kept, done * kept)
        return join(xp, obs, self._last)

    def step(self, action: Array, noise: Array) -> tuple[Array, Array, Array, Array, Metrics]:
        """One step of every trial.

        Returns:
            The agent's view (at the end of a trial with the true successor, not with another
            start, unless it is endless), reward, terminated (the trial's K-th episode has
            ended), truncated (never), and the metrics with `episode`, the number from 0 of the
            episode that the step belongs to (K after the trial's end). What is returned after a
            trial's end means nothing.
        """
        xp = self._xp
        obs, reward, terminated, truncated, metrics = self._env.step(action, noise)
        self._steps += 1
        ended = terminated | truncated
        episode = self._episode
        self._episode = xp.clip(episode + xp.astype(ended, xp.int64), max=self.episodes)
        over = self._episode == self.episodes
        again = ended if self._endless else ended & ~over
        if self._may_hold(again):
            obs = xp.where(again[..., None], self._restart(again), obs)
        self._last = History(self._encode(action), reward, xp.astype(ended, xp.float32))
        metrics = {**metrics, "episode": episode}
        return join(xp, obs, self._last), reward, over, over & ~over, metrics

    def _may_hold(self, again: Array) -> bool:
        """Say whether an episode may have to be restarted; asking a GPU would wait for it."""
        if self._host:
            return bool(again.any())
        apart = self._env.ends_early or not self._together
        return apart or self._steps % self._env.horizon == 0

    def _restart(self, mask: Array) -> Array:
        """Start the next episode where `mask` holds; observations `[T, E, O]`."""
        rows = self._xp.clip(self._episode, max=self.episodes - 1)
        return self._env.reset(self._tasks, self._noise[rows, *self._rows], mask)

    def require_intact(self) -> None:
        """Ask the engine for room."""
        self._env.require_intact()

    def close(self) -> None:
        """Free the engine."""
        self._env.close()


class TrialEnv(gymnasium.Wrapper[np.ndarray, Any, np.ndarray, Any]):
    """K episodes of one Gymnasium environment as one episode, with the agent's view.

    Any recurrent agent for Gymnasium, such as sb3-contrib's `RecurrentPPO`, becomes RL² on it.
    The task stays what the environment holds, or is drawn anew for every trial by `draw_task`.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        episodes: int,
        *,
        draw_task: Callable[[np.random.Generator], Task] | None = None,
        before: History | None = None,
    ) -> None:
        """Wrap an environment, so that an episode of it is a trial.

        Args:
            env: ends its episodes itself.
            episodes: K.
            draw_task: gives the task of the next trial, set by `reset(options={"task": …})`.
            before: what a trial starts with instead of zeros.

        Raises:
            ValueError: K below 1, or a space that does not fit.
        """
        super().__init__(env)
        _require_episodes(episodes)
        self.observation_space = trial_space(env.observation_space, env.action_space)
        self._episodes = episodes
        self._episode = 0
        self._draw_task = draw_task
        self._rng = _task_rng(None)
        self._encode = ActionCode(env.action_space)
        size = action_size(env.action_space)
        zero = History(np.zeros(size, np.float32), np.zeros(()), np.zeros(()))
        self._before = zero if before is None else before

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a trial."""
        if seed is not None:
            self._rng = _task_rng(seed)
        if self._draw_task is not None:
            options = {**(options or {}), "task": self._draw_task(self._rng)}
        obs, info = self.env.reset(seed=seed, options=options)
        self._episode = 0
        return join(_xp, obs, self._before), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step; `info["trial_episode"]` counts the episodes of the trial from 0."""
        code = self._encode(np.array(action))  # before the environment may change it
        obs, reward, terminated, truncated, info = self.env.step(action)
        info = {**info, "trial_episode": self._episode}
        ended = terminated or truncated
        self._episode += int(ended)
        over = self._episode >= self._episodes
        if ended and not over:
            obs, _ = self.env.reset()
        history = History(code, np.asarray(reward), np.asarray(ended))
        return join(_xp, obs, history), float(reward), over, False, info


def _task_rng(seed: int | None) -> np.random.Generator:
    """A stream apart from that of the environment, which has the same seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))


def _require_episodes(episodes: int) -> None:
    if episodes < 1:
        raise ValueError(f"--episodes must be at least 1 episode per trial, got {episodes}")

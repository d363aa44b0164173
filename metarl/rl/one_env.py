"""One plain Gymnasium environment as a batched one of one task and one episode."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import array_api_compat.numpy
import gymnasium
import numpy as np
import torch
from torch import Tensor

from metarl.rl.data import Episodes
from metarl.rl.predict import fit_action


class OneNoise(NamedTuple):
    """The noise of one episode: a seed, as the environment draws the rest itself."""

    reset: np.ndarray  # [1, 1]
    step: np.ndarray  # [H, 1, 1, 0]


class OneEnv:
    """A `BatchedEnv` of shape T = E = 1 over a user's environment, whose task it leaves alone."""

    num_tasks = 1
    num_episodes = 1
    parts = ()
    score = ""
    xp: ModuleType = array_api_compat.numpy
    device = "cpu"
    ends_early = True

    def __init__(self, env: gymnasium.Env[Any, Any], horizon: int) -> None:
        """Wrap an environment.

        Args:
            env: any Gymnasium environment; what its episodes return is passed on.
            horizon: steps after which an episode is truncated, if `env` has not ended it before.
        """
        self._env = env
        self._elapsed = 0
        self.horizon = horizon
        self.observation_space = env.observation_space
        self.action_space = env.action_space

    def draw_noise(self, rng: np.random.Generator) -> OneNoise:
        """A seed for the reset."""
        return OneNoise(rng.integers(2**31, size=(1, 1)), np.zeros((self.horizon, 1, 1, 0)))

    def reset(self, tasks: Any, noise: Any, mask: Any = None) -> Any:
        """Start an episode with the task that the environment holds; obs `[1, 1, O]`."""
        obs, _ = self._env.reset(seed=int(noise[0, 0]))
        self._elapsed = 0
        return _kept(obs)

    def step(self, action: Any, noise: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step with an action `[1, 1, A]` or `[1, 1]`, clipped to the action space."""
        obs, reward, terminated, truncated, _ = self._env.step(
            fit_action(self.action_space, action[0, 0].copy())
        )
        self._elapsed += 1
        return (
            _kept(obs),
            np.full((1, 1), float(reward)),
            np.full((1, 1), bool(terminated)),
            np.full((1, 1), bool(truncated) or self._elapsed >= self.horizon),
            {},
        )

    def require_intact(self) -> None:
        """A simulator of one environment loses nothing."""

    def close(self) -> None:
        """Nothing: the environment is the user's."""


def _kept(obs: Any) -> np.ndarray:
    """A copy `[1, 1, O]`: the environment may change its own array in place."""
    return np.array(obs, dtype=np.float32)[None, None]


def join(parts: list[Episodes]) -> Episodes:
    """Episodes that were collected one after the other, `[T, E_i, …]`, as `[T, ΣE_i, …]`."""

    def along_episodes(values: list[Any]) -> Any:
        if isinstance(values[0], Tensor):
            return torch.cat(values, 1)
        return {name: torch.cat([value[name] for value in values], 1) for name in values[0]}

    return Episodes(*(along_episodes(list(values)) for values in zip(*parts, strict=True)))

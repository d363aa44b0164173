"""One plain Gymnasium environment as a batched one of one task and one episode."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from metarl.rl.data import Noise, StepOutput, Tasks


class OneEnv:
    """A `BatchedEnv` of shape T = E = 1 over a user's environment, whose task it leaves alone."""

    num_tasks = 1
    num_episodes = 1

    def __init__(self, env: gymnasium.Env[Any, Any], horizon: int) -> None:
        """Args:
        env: any Gymnasium environment; what its episodes return is passed on.
        horizon: steps after which an episode is truncated, if `env` has not ended it before.
        """
        self._env = env
        self._elapsed = 0
        self.horizon = horizon
        self.observation_space = env.observation_space
        self.action_space = env.action_space

    def draw_noise(self, rng: np.random.Generator) -> Noise:
        """A seed for the reset `[1, 1]`; all other noise the environment draws itself."""
        return Noise(rng.integers(2**31, size=(1, 1)), np.zeros((self.horizon, 1, 1, 0)))

    def reset(self, tasks: Tasks, noise: Any, mask: Any = None) -> Any:
        """Start an episode with the task that the environment holds; obs `[1, 1, O]`."""
        obs, _ = self._env.reset(seed=int(noise[0, 0]))
        self._elapsed = 0
        return np.asarray(obs, dtype=np.float32)[None, None]

    def step(self, action: Any, noise: Any) -> StepOutput:
        """One step with an action `[1, 1, A]` or `[1, 1]`, clipped to the action space."""
        obs, reward, terminated, truncated, _ = self._env.step(
            fit_action(self.action_space, action[0, 0])
        )
        self._elapsed += 1
        return StepOutput(
            np.asarray(obs, dtype=np.float32)[None, None],
            np.full((1, 1), float(reward)),
            np.full((1, 1), bool(terminated)),
            np.full((1, 1), bool(truncated) or self._elapsed >= self.horizon),
            {},
        )

    def close(self) -> None:
        """Nothing: the environment is the user's."""


def fit_action(space: gymnasium.Space[Any], action: np.ndarray) -> np.ndarray:
    """Actions `[…, A]` clipped to a `Box` and cast to its type; discrete ones `[…]` stay."""
    if not isinstance(space, gymnasium.spaces.Box):
        return action
    fitted: np.ndarray = np.clip(action, space.low, space.high).astype(space.dtype)
    return fitted

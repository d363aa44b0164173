"""What adaptation leaves: a policy that acts, and no longer learns, on its task."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch

from metarl.core.one_thread import one_thread
from metarl.core.params import Params
from metarl.core.precision import products
from metarl.rl.policy import Policy, mode, sample
from metarl.rl.rollout import ActionScaling


class AdaptedPolicy:
    """A policy that has learnt a task; speaks Stable-Baselines3's `predict` protocol."""

    def __init__(
        self,
        policy: Policy,
        phi: Params,
        rng: np.random.Generator,
        *,
        observation_space: gymnasium.spaces.Box,
        action_space: gymnasium.Space[Any],
        scaling: ActionScaling,
    ) -> None:
        """Take a policy, and the φ that one task has adapted.

        Args:
            policy: who acts.
            phi: φ of one task, each `[1, …]`.
            rng: of stochastic actions.
            observation_space: of one environment.
            action_space: of one environment.
            scaling: the policy's units to the environment's.
        """
        self.observation_space = observation_space
        self.action_space = action_space
        self._policy = policy
        self._phi = phi
        self._rng = rng
        self._scaling = scaling

    def env(self, env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
        """The environment itself: this policy needs nothing but its observations."""
        return env

    @one_thread()
    @products("float32")
    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """The action for an observation `[O]`, or for a batch of them `[n, O]`.

        Args:
            observation: of the family's environment, or of a `VecEnv` of them.
            state: passed through; this policy has no memory.
            episode_start: ignored, for the same reason.
            deterministic: the distribution's mode instead of a sample.

        Returns:
            The action `[A]` or `[n, A]` in the action space, and `state`.

        Raises:
            ValueError: the observation's shape is not the environment's, or it is not finite.
        """
        shape = self.observation_space.shape
        obs = observed(observation, shape, "an observation")
        device = next(iter(self._phi.values())).device
        rows = torch.from_numpy(obs.reshape(1, -1, *shape)).to(device)  # [T = 1, n, O]
        with torch.no_grad():
            dist = self._policy.distribution(self._phi, rows)
            if deterministic:
                action = mode(dist)
            else:
                noise = self._policy.noise(self._rng, tuple(rows.shape[:2]), device)
                action = sample(dist, noise)
        fitted = fit_action(self.action_space, self._scaling(action[0]))
        return (fitted[0] if obs.shape == shape else fitted), state


def observed(observation: Any, shape: tuple[int, ...], what: str, advice: str = "") -> np.ndarray:
    """An observation of `shape`, or a batch of them, as float32.

    Args:
        observation: what the user gives.
        shape: of one.
        what: it is called in messages.
        advice: if its shape is another one.

    Raises:
        ValueError: no array, another shape, or a value that is not finite.
    """
    try:
        obs = np.asarray(observation, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(
            f"{what} is an array of numbers, got {observation!r}; env.reset() gives a pair of "
            "observation and info"
        ) from None
    if obs.shape != shape and obs.shape[1:] != shape:
        raise ValueError(
            f"{what} has the shape {shape}, or (n, {shape[0]}) in a batch, got {obs.shape}{advice}"
        )
    if not np.isfinite(obs).all():
        raise ValueError(f"{what} must be finite, got {observation}")
    return obs


def fit_action(space: gymnasium.Space[Any], action: np.ndarray) -> np.ndarray:
    """Actions `[…, A]` clipped to a `Box` and cast to its type; discrete ones `[…]` stay."""
    if not isinstance(space, gymnasium.spaces.Box):
        return action
    fitted: np.ndarray = np.clip(action, space.low, space.high).astype(space.dtype)
    return fitted

"""What RL² leaves after some episodes of a task: a policy that goes on from its memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch
from torch import Tensor

from metarl.core.one_thread import one_thread
from metarl.core.precision import products
from metarl.rl.cells import Memory
from metarl.rl.policy import mode, sample
from metarl.rl.predict import fit_action, observed
from metarl.rl.recurrent import Output
from metarl.rl.rollout import ActionScaling

Env = gymnasium.Env[Any, Any]


class _Actor(Protocol):
    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
        """The noise of actions."""

    def require_room(self, memory: Memory) -> None:
        """Refuse a step that the memory cannot hold; raises ValueError."""

    def output(self, memory: Memory, views: Tensor) -> Output:
        """Return what the policy says of views `[N, D]` that follow `memory`."""


class AdaptedMemory:
    """A recurrent policy that knows a task; speaks Stable-Baselines3's `predict` protocol.

    It must see its previous action, reward and done, which a plain environment does not show:
    predict on `adapted.env(env)`. Every episode starts from the adapted memory (when `state` is
    None or `episode_start` says so); within it the memory is passed on by `state`.
    """

    def __init__(
        self,
        learner: _Actor,
        memory: Memory,
        rng: np.random.Generator,
        *,
        observation_space: gymnasium.spaces.Box,
        action_space: gymnasium.Space[Any],
        scaling: ActionScaling,
        wrap: Callable[[Env], Env],
    ) -> None:
        """Take a learner, and its memory after adaptation.

        Args:
            learner: who acts.
            memory: after adaptation, each `[1, …]`.
            rng: of stochastic actions.
            observation_space: of a trial: `[observation | action | reward | done]`.
            action_space: of one environment.
            scaling: the policy's units to the environment's.
            wrap: shows an environment's previous action, reward and done, those of the last step of
                adaptation first.
        """
        self.observation_space = observation_space
        self.action_space = action_space
        self._learner = learner
        self._memory = memory
        self._rng = rng
        self._scaling = scaling
        self._wrap = wrap

    def env(self, env: Env) -> Env:
        """The environment with the observations that `predict` needs.

        Raises:
            ValueError: an environment with other spaces.
        """
        wrapped = self._wrap(env)
        if wrapped.observation_space != self.observation_space:
            raise ValueError(
                f"with previous action, reward and done an observation must be of "
                f"{self.observation_space}, but this environment gives {wrapped.observation_space}"
            )
        return wrapped

    @one_thread()
    @products("float32")
    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """The action for an observation `[D]`, or for a batch of them `[n, D]`.

        Args:
            observation: of `adapted.env(env)`, or of a `VecEnv` of such.
            state: what the last call returned, each `[n, …]`; None at the start.
            episode_start: `[n]` bool, where an episode starts from the adapted memory.
            deterministic: the distribution's mode instead of a sample.

        Returns:
            The action `[A]` or `[n, A]` in the action space, and the memory after it.

        Raises:
            ValueError: the observation is not finite or its shape not that of `adapted.env(env)`,
                or the episode is longer than what the memory can hold.
        """
        shape = self.observation_space.shape
        obs = observed(
            observation,
            shape,
            "an observation with its previous action, reward and done",
            ": wrap the environment with adapted.env(env)",
        )
        device = self._memory[0].device
        rows = torch.from_numpy(obs.reshape(-1, *shape)).to(device)
        with torch.no_grad():
            memory = self._resume(state, episode_start, len(rows))
            self._learner.require_room(memory)
            dist, _, memory = self._learner.output(memory, rows)
            if deterministic:
                action = mode(dist)
            else:
                action = sample(dist, self._learner.noise(self._rng, (len(rows),)))
        fitted = fit_action(self.action_space, self._scaling(action))
        after = tuple(m.cpu().numpy() for m in memory)
        return (fitted[0] if obs.shape == shape else fitted), after

    def _resume(
        self, state: tuple[np.ndarray, ...] | None, start: np.ndarray | None, count: int
    ) -> Memory:
        """The memory that `state` holds, and the adapted one where an episode starts."""
        adapted = tuple(m.expand(count, *m.shape[1:]).contiguous() for m in self._memory)
        if state is None:
            return adapted
        held = (torch.from_numpy(np.asarray(m)).to(self._memory[0].device) for m in state)
        if start is None:
            return tuple(held)
        fresh = torch.from_numpy(np.asarray(start, dtype=bool).reshape(-1)).to(adapted[0].device)
        return tuple(
            torch.where(fresh.view(-1, *[1] * (m.dim() - 1)), a, m)
            for a, m in zip(adapted, held, strict=True)
        )

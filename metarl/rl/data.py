"""What flows through reinforcement learning here; every field with its shape.

Axes: T tasks, E episodes, H steps, O observation and A action dimensions. Containers are
immutable and hold no `None`; raw and processed data are different types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from torch import Tensor

Tasks = Mapping[str, np.ndarray]
"""One value of every task parameter per task, each `[T, …]`."""


class Noise(Protocol):
    """All the randomness that one episode of every environment needs."""

    @property
    def reset(self) -> Any:
        """`[T, E, …]`."""

    @property
    def step(self) -> Any:
        """`[H, T, E, …]`."""


class BatchedEnv(Protocol):
    """T tasks × E episodes of one family, stepped together."""

    @property
    def num_tasks(self) -> int:
        """T."""

    @property
    def num_episodes(self) -> int:
        """E."""

    @property
    def horizon(self) -> int:
        """H, steps of an episode at most."""

    @property
    def observation_space(self) -> gymnasium.spaces.Space[Any]:
        """One environment has this space, a flat `Box`."""

    @property
    def action_space(self) -> gymnasium.spaces.Space[Any]:
        """One environment has this space: a `Box`, a `Discrete` or a `MultiDiscrete` from 0."""

    @property
    def parts(self) -> Sequence[BatchedEnv]:
        """Environments for some of the tasks each, in order, that threads may step at once.

        They are others than those that this one steps itself. Empty where it takes one thread.
        """

    @property
    def score(self) -> str:
        """The metric that is the expectation of each reward; empty where none is told."""

    def draw_noise(self, rng: np.random.Generator) -> Noise:
        """Draw what one episode needs, in a fixed order."""

    def reset(self, tasks: Any, noise: Any, mask: Any = None) -> Any:
        """Start an episode where `mask` `[T, E]` holds (everywhere by default); obs `[T, E, O]`."""

    def step(self, action: Any, noise: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step with actions `[T, E, A]` in the environment's units, or int64.

        Engines on a device take and return tensors there, the others numpy arrays.

        Returns:
            obs `[T, E, O]` (the true successor: there is no autoreset), reward, terminated,
            truncated (each `[T, E]`), and metrics by name; those that somebody's environment
            tells as infos begin with `info/`, but for `success`.
        """

    def require_intact(self) -> None:
        """Raise if the simulator has lost contacts for want of room since the last reset."""

    def close(self) -> None:
        """Free what the environments hold."""


class StepInput(NamedTuple):
    """All that an agent may see before it acts, each `[T, E, …]`."""

    obs: Tensor  # [T, E, O]
    prev_action: Tensor  # [T, E, A], or [T, E] or [T, E, K]; zero before the first step
    prev_reward: Tensor  # [T, E]
    prev_done: Tensor  # [T, E] bool


class Episodes(NamedTuple):
    """Raw experience, `[T, E, H, …]`; entries where `mask` is False hold no experience."""

    obs: Tensor  # [T, E, H, O]
    action: Tensor  # [T, E, H, A] in the policy's units, or [T, E, H] or [T, E, H, K] int64
    reward: Tensor  # [T, E, H]
    mask: Tensor  # [T, E, H] bool
    terminated: Tensor  # [T, E, H] bool
    truncated: Tensor  # [T, E, H] bool
    final_obs: Tensor  # [T, E, O], the true successor of the last step
    dist: dict[str, Tensor]  # parameters of the behaviour distribution, each [T, E, H, …]
    metrics: dict[str, Tensor]  # each [T, E, H]


class PolicyBatch(NamedTuple):
    """All that a policy loss may see, `[…, E, H, …]`: one task, or tasks with a leading axis.

    Where the mask is False every other field is zero.
    """

    obs: Tensor  # [E, H, O]
    action: Tensor  # [E, H, A], or [E, H] or [E, H, K] int64
    advantage: Tensor  # [E, H]
    mask: Tensor  # [E, H] bool
    dist: dict[str, Tensor]  # parameters of the behaviour distribution, each [E, H, …]

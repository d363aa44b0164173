"""MAML's learner: it acts with one policy per task and adapts them by gradient steps."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from metarl.algorithms.maml_trpo.objective import Losses
from metarl.algorithms.maml_trpo.state import MetaState
from metarl.core.adapt import adapt, adapt_values
from metarl.core.mapping import Workers, over_tasks
from metarl.core.one_thread import one_thread
from metarl.core.params import Params, broadcast, detach
from metarl.rl.data import Episodes, PolicyBatch, StepInput
from metarl.rl.policy import Policy, sample
from metarl.rl.rollout import Action


class Adapting(NamedTuple):
    """A learner knows this of T tasks."""

    phi: Params  # [T, …]
    updates: int  # how many made it from θ


class InnerLoop(Protocol):
    """The learner needs this of the algorithm: the inner problem, and how it is spread."""

    @property
    def device(self) -> torch.device:
        """The tensors live on this device."""

    @property
    def losses(self) -> Losses:
        """The inner loss among them."""

    @property
    def stacked(self) -> bool:
        """It is true where all tasks are one batch, as on a GPU."""

    @property
    def workers(self) -> Workers:
        """Threads over tasks."""

    def policy(self, state: MetaState) -> Policy:
        """A pure function of φ."""

    def batch(self, state: MetaState, episodes: Episodes) -> tuple[PolicyBatch, Tensor]:
        """Return what the losses learn from, and the baseline's explained variance `[T]`."""

    def inner(self, batch: PolicyBatch, step: int) -> PolicyBatch:
        """Return what the inner loss learns from in a step, counted from 0."""


class MamlLearner:
    """A `Learner` that learns by gradient steps."""

    def __init__(self, algorithm: InnerLoop, state: MetaState) -> None:
        """Adapts from `state` with the inner loop of `algorithm`."""
        self._algorithm = algorithm
        self._state = state
        self.policy = algorithm.policy(state)

    def start(self, num_tasks: int) -> Adapting:
        """φ = θ for every task."""
        return Adapting(broadcast(self._state.theta, num_tasks), 0)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
        """The noise of actions, `shape` + the noise of one."""
        return self.policy.noise(rng, shape, self._algorithm.device)

    @one_thread()
    @torch.no_grad()
    def act(self, state: Adapting, inputs: StepInput, noise: Tensor) -> tuple[Action, Adapting]:
        """Draw one action `[T, E, …]` per environment from π_φ; φ stays."""
        dist = self.policy.distribution(state.phi, inputs.obs)
        return Action(sample(dist, noise), dist), state

    @one_thread()
    def adapt(self, state: Adapting, episodes: Episodes) -> Adapting:
        """One inner step per task on its own episodes."""
        algorithm, rates = self._algorithm, self._state.rates
        batch = algorithm.inner(algorithm.batch(self._state, episodes)[0], state.updates)
        one_step = adapt if algorithm.stacked else adapt_values
        step = over_tasks(
            lambda params, data: one_step(params, [data], algorithm.losses.inner, rates),
            how="vmap" if algorithm.stacked else "threads",
            workers=algorithm.workers,
        )
        return Adapting(detach(step(state.phi, batch)), state.updates + 1)

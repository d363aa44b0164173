"""RL²'s learner: its memory is all that it learns a task with."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from metarl.algorithms.rl2.state import Rl2State
from metarl.core.one_thread import one_thread
from metarl.rl.cells import Memory
from metarl.rl.data import Episodes, StepInput
from metarl.rl.policy import sample
from metarl.rl.recurrent import Output, RecurrentPolicy
from metarl.rl.rollout import Action
from metarl.rl.transformer import Transformer, require_context


class Acting(Protocol):
    """The learner needs this of the algorithm: how its policy is asked, and where."""

    @property
    def policy(self) -> RecurrentPolicy:
        """A pure function of the parameters."""

    @property
    def device(self) -> torch.device:
        """Memories live on this device."""

    def shown(self, state: Rl2State, views: Tensor) -> Tensor:
        """Views `[…, D]` as the policy sees them."""


class Rl2Learner:
    """A `Learner` whose state is its memory, each `[N, …]`: it learns by acting, not by `adapt`.

    Its environments are trials. It is also the `TrialAgent` that training samples with.
    """

    def __init__(self, algorithm: Acting, state: Rl2State) -> None:
        """Acts with the parameters of `state`."""
        self._algorithm = algorithm
        self._state = state

    def start(self, num_tasks: int) -> Memory:
        """An empty memory for one trial per task."""
        return self.fresh(num_tasks)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
        """The noise of actions, `shape` + the noise of one."""
        return self._algorithm.policy.noise(rng, shape, self._algorithm.device)

    def fresh(self, num_trials: int) -> Memory:
        """An empty memory for every trial."""
        return self._algorithm.policy.start(num_trials, self._algorithm.device)

    def require_room(self, memory: Memory) -> None:
        """Refuse a memory that cannot hold another step; it waits for the device.

        Trials are measured before they begin; steps that others ask for are not.

        Raises:
            ValueError: says what context it needs.
        """
        cell = self._algorithm.policy.cell
        if isinstance(cell, Transformer):
            *_, length = memory
            require_context(cell.context, int(length.max()) + 1)

    @one_thread()
    def output(self, memory: Memory, views: Tensor) -> Output:
        """Return what the policy says of views `[N, D]` that follow `memory`."""
        shown = self._algorithm.shown(self._state, views)
        return self._algorithm.policy.step(self._state.params, shown, memory)

    @one_thread()
    @torch.no_grad()
    def act(self, memory: Memory, inputs: StepInput, noise: Tensor) -> tuple[Action, Memory]:
        """Draw one action `[T, E, …]` per trial; the memory of N = T · E trials moves on."""
        shape = inputs.obs.shape[:-1]
        trials = shape.numel()
        if len(memory[0]) != trials:  # several trials of a task start with the same memory
            memory = tuple(m.repeat_interleave(trials // len(m), 0) for m in memory)
        dist, _, memory = self.output(memory, inputs.obs.flatten(0, 1))
        dist = {name: p.view(*shape, *p.shape[1:]) for name, p in dist.items()}
        return Action(sample(dist, noise), dist), memory

    def adapt(self, memory: Memory, episodes: Episodes) -> Memory:
        """The memory: it has learnt already."""
        return memory

"""Recurrent policies and values as pure functions of their parameters; time-major `[S, N, …]`.

    view ─ embeddings ─ cell ─┬─ actor's layers ─ distribution
                              └─ critic's layers ─ value          (or with a cell of its own)

A view is a trial's flat vector `[observation | previous action | previous reward | done]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.rl.cells import Cell, Memory, orthogonal
from metarl.rl.noise import CPU, normal, uniform
from metarl.rl.policy import Activation, Dist, choices_of, in_parts

_OUTPUT_GAIN = 0.01  # the first distributions are close to uniform, or to zero mean
_HIDDEN_GAIN = math.sqrt(2)


class Output(NamedTuple):
    """A policy says this of every step `[S, N]`, or of one step `[N]`."""

    dist: Dist  # parameters of the action's distribution, each [S, N, …]
    value: Tensor  # [S, N]
    memory: Memory  # after the last step, each [N, …]


class Embeddings(NamedTuple):
    """Widths of the linear layers that a view's parts pass first; all zero for none."""

    obs: int = 0
    action: int = 0
    reward: int = 0  # of reward and done together


NO_EMBEDDINGS = Embeddings()


class View(NamedTuple):
    """The parts of a view are this long."""

    obs: int
    action: int

    @classmethod
    def of(cls, space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]) -> View:
        """The parts of a trial's observation space.

        Raises:
            ValueError: the spaces do not belong to a trial.
        """
        size = _num_actions(action_space)
        if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
            raise ValueError(f"a recurrent policy needs the flat views of a trial, got {space}")
        if space.shape[0] < size + 2:
            raise ValueError(
                f"a trial's view has {size} + 2 entries after the observation, got {space}"
            )
        return cls(space.shape[0] - size - 2, size)

    @property
    def parts(self) -> tuple[int, int, int]:
        """Lengths of observation, action, and reward with done."""
        return self.obs, self.action, 2


@dataclass(frozen=True)
class RecurrentPolicy:
    """An actor and a critic with memory."""

    view: View
    discrete: bool
    cell: Cell
    embeddings: Embeddings = NO_EMBEDDINGS
    head: tuple[int, ...] = ()
    activation: Activation = "tanh"
    separate_critic: bool = False
    initial_std: float = 1.0
    min_std: float = 1e-6
    transitions: bool = False
    """Each step sees the observation before too, and so a whole transition (o, a, r, o')."""
    predicts: bool = False
    """There is a head that expects the reward of every action, which must be discrete."""
    choices: tuple[int, ...] = ()
    """How many values each part of a discrete action of several parts has; empty for others."""

    def init(self, generator: torch.Generator) -> Params:
        """Orthogonal weights and zero biases; the same generator state gives the same bits."""
        params: Params = {}
        for branch, outputs, gain in (
            ("actor", self.view.action, _OUTPUT_GAIN),
            ("critic", 1, 1.0),
        ):
            if branch == "actor" or self.separate_critic:
                params |= self._init_memory(branch, generator)
            widths = (self.cell.hidden, *self.head, outputs)
            for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
                last = i == len(self.head)
                weight = orthogonal(fan_out, fan_in, generator, gain if last else _HIDDEN_GAIN)
                params |= {f"{branch}.{i}.weight": weight, f"{branch}.{i}.bias": _zeros(fan_out)}
        if self.predicts:
            weight = orthogonal(self.view.action, self.cell.hidden, generator, _OUTPUT_GAIN)
            params |= {"reward.weight": weight, "reward.bias": _zeros(self.view.action)}
        if not self.discrete:
            params["log_std"] = torch.full((self.view.action,), math.log(self.initial_std))
        return params

    def start(self, num_trials: int, device: torch.device) -> Memory:
        """The memory before a trial, each `[N, …]`.

        The last observation (with `transitions`), the actor's memory, and a separate critic's.
        """
        memory: Memory = ()
        if self.transitions:
            memory = (torch.zeros(num_trials, self.view.obs, device=device),)
        for _ in range(1 + self.separate_critic):
            memory += self.cell.start(num_trials, device)
        return memory

    def unroll(self, params: Params, views: Tensor, memory: Memory) -> Output:
        """Distributions and values of views `[S, N, D]` that follow `memory`."""
        return self._unroll(params, views, memory)[0]

    def expect(
        self, params: Params, views: Tensor, memory: Memory, action: Tensor
    ) -> tuple[Output, Tensor]:
        """The same, and the rewards `[S, N]` that are expected of actions `[S, N]` int64.

        Of actions of K parts, `[S, N, K]`, it is the sum of what is expected of each.
        """
        output, features = self._unroll(params, views, memory)
        expected = _linear(params, "reward", features)
        if not self.choices:
            return output, expected.gather(-1, action.unsqueeze(-1)).squeeze(-1)
        parts = in_parts(expected, self.choices)
        return output, parts.gather(-1, action.unsqueeze(-1)).squeeze(-1).sum(-1)

    def _unroll(self, params: Params, views: Tensor, memory: Memory) -> tuple[Output, Tensor]:
        """The output, and the actor's features `[S, N, hidden]`."""
        first: Memory = ()
        if self.transitions:
            obs = views[..., : self.view.obs]
            before = torch.cat([memory[0].unsqueeze(0), obs[:-1]])
            views, first, memory = torch.cat([before, views], -1), (obs[-1],), memory[1:]
        own = len(memory) // 2 if self.separate_critic else len(memory)
        features, after = self._remember("actor", params, views, memory[:own])
        heard = features
        if self.separate_critic:
            heard, more = self._remember("critic", params, views, memory[own:])
            after += more
        after = first + after
        out = self._head("actor", params, features)
        value = self._head("critic", params, heard).squeeze(-1)
        if self.choices:
            return Output({"parts": in_parts(out, self.choices)}, value, after), features
        if self.discrete:
            return Output({"logits": out}, value, after), features
        log_std = params["log_std"].clamp(min=math.log(self.min_std)).expand_as(out)
        return Output({"mean": out, "log_std": log_std}, value, after), features

    def step(self, params: Params, views: Tensor, memory: Memory) -> Output:
        """The same for one step: views `[N, D]`, results without the time axis."""
        dist, value, after = self.unroll(params, views.unsqueeze(0), memory)
        return Output({k: p.squeeze(0) for k, p in dist.items()}, value.squeeze(0), after)

    def noise(
        self, rng: np.random.Generator, shape: tuple[int, ...], device: torch.device = CPU
    ) -> Tensor:
        """Draw what `sample` needs: uniform `[*shape(, K)]`, or normal `[*shape, A]`."""
        if self.discrete:
            return uniform(rng, (*shape, len(self.choices)) if self.choices else shape, device)
        return normal(rng, (*shape, self.view.action), device)

    @property
    def _parts(self) -> tuple[int, int, int]:
        """Lengths of what the memory is fed: observations, action, and reward with done."""
        obs, action, rest = self.view.parts
        return obs * (1 + self.transitions), action, rest

    def _init_memory(self, branch: str, generator: torch.Generator) -> Params:
        params: Params = {}
        inputs = sum(self._parts)
        if any(self.embeddings):
            inputs = sum(self.embeddings)
            for name, fan_in, fan_out in zip(
                Embeddings._fields, self._parts, self.embeddings, strict=True
            ):
                weight = orthogonal(fan_out, fan_in, generator, _HIDDEN_GAIN)
                prefix = f"{branch}.embed_{name}"
                params |= {f"{prefix}.weight": weight, f"{prefix}.bias": _zeros(fan_out)}
        cell = self.cell.init(inputs, generator)
        return params | {f"{branch}.cell.{name}": p for name, p in cell.items()}

    def _remember(
        self, branch: str, params: Params, views: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Features `[S, N, hidden]` of a branch, and its memory after them."""
        x = views
        if any(self.embeddings):
            split = torch.split(views, list(self._parts), -1)
            parts = zip(Embeddings._fields, split, strict=True)
            embed = [_linear(params, f"{branch}.embed_{name}", part) for name, part in parts]
            x = self._squash(torch.cat(embed, -1))
        prefix = f"{branch}.cell."
        cell = {k.removeprefix(prefix): p for k, p in params.items() if k.startswith(prefix)}
        return self.cell.unroll(cell, x, memory)

    def _head(self, branch: str, params: Params, x: Tensor) -> Tensor:
        for i in range(len(self.head)):
            x = self._squash(_linear(params, f"{branch}.{i}", x))
        return _linear(params, f"{branch}.{len(self.head)}", x)

    @property
    def _squash(self) -> Callable[[Tensor], Tensor]:
        return torch.tanh if self.activation == "tanh" else functional.relu


def _linear(params: Params, name: str, x: Tensor) -> Tensor:
    return functional.linear(x, params[f"{name}.weight"], params[f"{name}.bias"])


def _zeros(size: int) -> Tensor:
    return torch.zeros(size)


def _num_actions(space: gymnasium.Space[Any]) -> int:
    if isinstance(space, gymnasium.spaces.Discrete) and space.start == 0:
        return int(space.n)
    if isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1:
        return space.shape[0]
    if choices := choices_of(space):
        return sum(choices)
    raise ValueError(
        f"actions must be a flat Box, or a Discrete or a flat MultiDiscrete from 0, got {space}"
    )

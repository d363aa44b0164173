"""Stochastic policies as pure functions of their parameters.

A distribution is a dictionary of tensors, `{"mean", "log_std"}` (a diagonal Gaussian),
`{"logits"}` (categorical) or `{"parts"}` (K independent categoricals, their logits `[…, K, N]`
filled up with `IMPOSSIBLE`), so that it can be stored, detached and compared like any data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Protocol

import gymnasium
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.rl.noise import CPU, normal, uniform

Activation = Literal["tanh", "relu"]
Dist = dict[str, Tensor]
IMPOSSIBLE = -1e9
"""The logit of an action that there is not: its probability is 0, and 0 · log 0 stays 0."""


class Policy(Protocol):
    """A family of action distributions π_φ(a | s)."""

    def init(self, generator: torch.Generator) -> Params:
        """Fresh parameters; the same generator state gives the same bits."""

    def distribution(self, params: Params, obs: Tensor) -> Dist:
        """π(· | obs): obs `[…, O]`; parameters may carry one leading task axis `[T, …]`."""

    def noise(
        self, rng: np.random.Generator, shape: tuple[int, ...], device: torch.device = CPU
    ) -> Tensor:
        """The noise that `sample` needs for `shape` actions."""


def sample(dist: Dist, noise: Tensor) -> Tensor:
    """Draw actions: mean + σ ε (ε standard normal), or the inverse distribution function.

    Args:
        dist: parameters `[…, A]`, or logits `[…, N]` or `[…, K, N]`.
        noise: `[…, A]` standard normal, or `[…]` or `[…, K]` uniform in [0, 1).
    """
    if "mean" in dist:
        return dist["mean"] + dist["log_std"].exp() * noise
    logits = _logits(dist)
    cumulative = torch.softmax(logits.double(), -1).cumsum(-1)
    below = (cumulative <= noise.double().unsqueeze(-1)).sum(-1)
    last = (logits > IMPOSSIBLE).sum(-1) - 1  # rounding may leave the sum below the noise
    return torch.minimum(below, last)


def mode(dist: Dist) -> Tensor:
    """The most likely action."""
    return dist["mean"] if "mean" in dist else _logits(dist).argmax(-1)


def log_prob(dist: Dist, action: Tensor) -> Tensor:
    """log π(a), `[…]`: the joint one, summed over action dimensions."""
    if "mean" in dist:
        z = (action - dist["mean"]) * (-dist["log_std"]).exp()
        return (-0.5 * z.square() - dist["log_std"] - 0.5 * math.log(2 * math.pi)).sum(-1)
    return _taken(dist, torch.log_softmax(_logits(dist), -1), action)


def kl_divergence(old: Dist, new: Dist) -> Tensor:
    """KL(old ‖ new), `[…]`, in closed form."""
    if "mean" in old:
        ratio = (2 * (old["log_std"] - new["log_std"])).exp()
        shift = (old["mean"] - new["mean"]).square() * (-2 * new["log_std"]).exp()
        return (new["log_std"] - old["log_std"] + 0.5 * (ratio + shift - 1)).sum(-1)
    old_log = torch.log_softmax(_logits(old), -1)
    new_log = torch.log_softmax(_logits(new), -1)
    return _joint(old, (old_log.exp() * (old_log - new_log)).sum(-1))


def entropy(dist: Dist) -> Tensor:
    """−E[log π], `[…]`."""
    if "mean" in dist:
        return (dist["log_std"] + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)
    return _spread(dist, torch.log_softmax(_logits(dist), -1))


def log_prob_and_entropy(dist: Dist, action: Tensor) -> tuple[Tensor, Tensor]:
    """Both, `[…]` each, at the price of one softmax."""
    if "mean" in dist:
        return log_prob(dist, action), entropy(dist)
    log_probs = torch.log_softmax(_logits(dist), -1)
    return _taken(dist, log_probs, action), _spread(dist, log_probs)


def in_parts(values: Tensor, choices: tuple[int, ...]) -> Tensor:
    """`[…, Σ choices]` as `[…, K, max(choices)]`, filled up with `IMPOSSIBLE`."""
    widest = max(choices)
    parts = [
        functional.pad(part, (0, widest - part.shape[-1]), value=IMPOSSIBLE)
        for part in torch.split(values, list(choices), -1)
    ]
    return torch.stack(parts, -2)


def _logits(dist: Dist) -> Tensor:
    return dist["logits"] if "logits" in dist else dist["parts"]


def _taken(dist: Dist, log_probs: Tensor, action: Tensor) -> Tensor:
    return _joint(dist, log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1))


def _spread(dist: Dist, log_probs: Tensor) -> Tensor:
    return _joint(dist, -(log_probs.exp() * log_probs).sum(-1))


def _joint(dist: Dist, values: Tensor) -> Tensor:
    """Add up independent parts, `[…]`."""
    return values if "logits" in dist else values.sum(-1)


@dataclass(frozen=True)
class GaussianMlpPolicy:
    """A diagonal Gaussian; an MLP gives its mean, free parameters its log standard deviation."""

    obs_dim: int
    action_dim: int
    hidden: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"
    initial_std: float = 1.0
    min_std: float = 1e-6
    output_gain: float = 1.0

    def init(self, generator: torch.Generator) -> Params:
        """Xavier-uniform weights (the last layer's × `output_gain`), zero biases, σ₀."""
        params = _init_mlp((self.obs_dim, *self.hidden, self.action_dim), generator)
        params[f"{len(self.hidden)}.weight"] *= self.output_gain
        params["log_std"] = torch.full((self.action_dim,), math.log(self.initial_std))
        return params

    def distribution(self, params: Params, obs: Tensor) -> Dist:
        """`{"mean", "log_std"}`, both `[…, A]`."""
        mean = _mlp(params, obs, len(self.hidden) + 1, self.activation)
        log_std = params["log_std"].clamp(min=math.log(self.min_std))
        if log_std.dim() == 2:
            log_std = log_std.view(len(log_std), *[1] * (mean.dim() - 2), -1)
        return {"mean": mean, "log_std": log_std.expand_as(mean)}

    def noise(
        self, rng: np.random.Generator, shape: tuple[int, ...], device: torch.device = CPU
    ) -> Tensor:
        """Standard normal, `[*shape, A]`."""
        return normal(rng, (*shape, self.action_dim), device)


@dataclass(frozen=True)
class CategoricalMlpPolicy:
    """A categorical distribution whose logits an MLP gives."""

    obs_dim: int
    num_actions: int
    hidden: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"
    output_gain: float = 1.0

    def init(self, generator: torch.Generator) -> Params:
        """Xavier-uniform weights (the last layer's × `output_gain`), zero biases."""
        params = _init_mlp((self.obs_dim, *self.hidden, self.num_actions), generator)
        params[f"{len(self.hidden)}.weight"] *= self.output_gain
        return params

    def distribution(self, params: Params, obs: Tensor) -> Dist:
        """`{"logits"}`, `[…, N]`."""
        return {"logits": _mlp(params, obs, len(self.hidden) + 1, self.activation)}

    def noise(
        self, rng: np.random.Generator, shape: tuple[int, ...], device: torch.device = CPU
    ) -> Tensor:
        """Uniform in [0, 1), `[*shape]`."""
        return uniform(rng, shape, device)


@dataclass(frozen=True)
class MultiCategoricalMlpPolicy:
    """K independent categorical distributions, action k of `choices[k]`, with one MLP."""

    obs_dim: int
    choices: tuple[int, ...]
    hidden: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"
    output_gain: float = 1.0

    def init(self, generator: torch.Generator) -> Params:
        """Xavier-uniform weights (the last layer's × `output_gain`), zero biases."""
        params = _init_mlp((self.obs_dim, *self.hidden, sum(self.choices)), generator)
        params[f"{len(self.hidden)}.weight"] *= self.output_gain
        return params

    def distribution(self, params: Params, obs: Tensor) -> Dist:
        """`{"parts"}`, `[…, K, max(choices)]`."""
        logits = _mlp(params, obs, len(self.hidden) + 1, self.activation)
        return {"parts": in_parts(logits, self.choices)}

    def noise(
        self, rng: np.random.Generator, shape: tuple[int, ...], device: torch.device = CPU
    ) -> Tensor:
        """Uniform in [0, 1), `[*shape, K]`."""
        return uniform(rng, (*shape, len(self.choices)), device)


def make_policy(
    observation_space: gymnasium.Space[Any],
    action_space: gymnasium.Space[Any],
    *,
    hidden: tuple[int, ...],
    activation: Activation,
    initial_std: float,
    min_std: float,
    output_gain: float = 1.0,
) -> Policy:
    """The MLP policy that fits the spaces of one environment.

    Raises:
        ValueError: names the space that is neither a flat `Box` (observations) nor a flat `Box`,
            a `Discrete` or a `MultiDiscrete` (actions).
    """
    box = gymnasium.spaces.Box
    if not isinstance(observation_space, box) or len(observation_space.shape) != 1:
        raise ValueError(
            f"observations must be a flat Box, got {observation_space}; flatten them with "
            "gymnasium.wrappers.FlattenObservation, or encode images before the policy sees them"
        )
    obs_dim = observation_space.shape[0]
    if isinstance(action_space, gymnasium.spaces.Discrete) and action_space.start == 0:
        return CategoricalMlpPolicy(obs_dim, int(action_space.n), hidden, activation, output_gain)
    if isinstance(action_space, box) and len(action_space.shape) == 1:
        return GaussianMlpPolicy(
            obs_dim, action_space.shape[0], hidden, activation, initial_std, min_std, output_gain
        )
    choices = choices_of(action_space)
    if choices:
        return MultiCategoricalMlpPolicy(obs_dim, choices, hidden, activation, output_gain)
    raise ValueError(
        f"actions must be a flat Box, or a Discrete or a flat MultiDiscrete from 0, "
        f"got {action_space}"
    )


def choices_of(space: gymnasium.Space[Any]) -> tuple[int, ...]:
    """Count the values of every part of a flat `MultiDiscrete` from 0; other spaces have none."""
    multi = gymnasium.spaces.MultiDiscrete
    if not isinstance(space, multi) or len(space.shape) != 1 or space.start.any():
        return ()
    return tuple(int(n) for n in space.nvec)


def _init_mlp(sizes: tuple[int, ...], generator: torch.Generator) -> Params:
    params: Params = {}
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        bound = math.sqrt(6 / (fan_in + fan_out))
        uniform = torch.rand(fan_out, fan_in, generator=generator)
        params[f"{i}.weight"] = bound * (2 * uniform - 1)
        params[f"{i}.bias"] = torch.zeros(fan_out)
    return params


def _mlp(params: Params, x: Tensor, layers: int, activation: Activation) -> Tensor:
    squash = torch.tanh if activation == "tanh" else functional.relu
    for i in range(layers):
        x = _linear(x, params[f"{i}.weight"], params[f"{i}.bias"])
        if i < layers - 1:
            x = squash(x)
    return x


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if weight.dim() == 2:
        return functional.linear(x, weight, bias)
    rows = x.reshape(len(weight), -1, x.shape[-1])  # [T, N, in], one matrix product per task
    y = torch.baddbmm(bias.unsqueeze(1), rows, weight.transpose(1, 2))
    return y.view(*x.shape[:-1], -1)

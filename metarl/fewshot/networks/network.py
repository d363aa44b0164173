"""Networks as pure functions of their parameters: `network(params, x)`."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.fewshot.networks.choices import Norm

HEAD = "head"
"""Prefix of the last layer's parameters."""
KEEP = "keep"
"""Suffix of what a layer's features are multiplied by, if it is among the parameters (dropout)."""

_ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}


class Network(Protocol):
    """Features, and a linear head on them."""

    @property
    def width(self) -> int:
        """There are so many features."""

    @property
    def outputs(self) -> int:
        """C: numbers per target, or ways."""

    @property
    def norm(self) -> Norm:
        """Between a layer and its activation."""

    @property
    def widths(self) -> dict[str, int]:
        """Features or channels of every hidden layer, by its name."""

    def init(self, generator: torch.Generator) -> Params:
        """Fresh parameters."""

    def features(self, params: Params, x: Tensor) -> Tensor:
        """`[N, width]` of inputs `[N, …]`."""

    def activations(self, params: Params, x: Tensor) -> dict[str, Tensor]:
        """The outputs of every layer by its name, flattened to `[N, …]`."""

    def __call__(self, params: Params, x: Tensor) -> Tensor:
        """Outputs `[N, C]` of inputs `[N, …]`."""


def head(params: Params, features: Tensor) -> Tensor:
    """The linear layer on top."""
    return functional.linear(features, params[f"{HEAD}.weight"], params[f"{HEAD}.bias"])


def dropout(network: Network, share: float, tasks: int, generator: torch.Generator) -> Params:
    """Draw what every task's features are multiplied by, `[T, width]` for each hidden layer.

    A task does without the same features in its support and query set: of each layer it keeps
    every feature with the probability 1 − `share`, and divides by it (arXiv 1207.0580). Added to
    the parameters, a network applies it.
    """
    if share == 0.0:
        return {}
    masks = {}
    for name, width in network.widths.items():
        noise = torch.rand(tasks, width, generator=generator, device=generator.device)
        masks[f"{name}.{KEEP}"] = (noise >= share).float() / (1 - share)
    return masks


def _thinned(params: Params, name: str, x: Tensor) -> Tensor:
    """Features `[N, C, …]` of a layer without those that the task does without."""
    keep = params.get(f"{name}.{KEEP}")
    return x if keep is None else x * keep.view(-1, *[1] * (x.dim() - 2))


def _named(params: Params, layers: list[Tensor]) -> dict[str, Tensor]:
    """Hidden layers, without the inputs, and the head on the last of them."""
    hidden = {f"layer{i}": layer for i, layer in enumerate(layers[1:])}
    return hidden | {HEAD: head(params, layers[-1])}


def without_head(params: Params) -> Params:
    """All weights but the last layer's."""
    return {name: p for name, p in params.items() if not name.startswith(f"{HEAD}.")}


def weights(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Params:
    """Weight `shape` and bias of a layer, uniform within ±1/√fan-in as torch's own."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return {
        f"{name}.weight": _uniform(shape, bound, generator),
        f"{name}.bias": _uniform(shape[:1], bound, generator),
    }


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)

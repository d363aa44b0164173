"""Networks as pure functions of their parameters: `network(params, x)`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.fewshot import norms
from metarl.fewshot.norms import Norm

Activation = Literal["relu", "tanh"]
HEAD = "head"
"""Prefix of the last layer's parameters."""
KEEP = "keep"
"""Suffix of what a layer's features are multiplied by, if it is among the parameters (dropout)."""

_ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}


class Network(Protocol):
    """Features, and a linear head on them."""

    @property
    def width(self) -> int:
        """Of the features."""

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


@dataclass(frozen=True)
class Mlp:
    """Linear layers with a norm and an activation after each but the last."""

    inputs: int
    outputs: int
    hidden: tuple[int, ...] = (40, 40)
    activation: Activation = "relu"
    norm: Norm = "none"

    @property
    def width(self) -> int:
        """Of the features."""
        return self.hidden[-1] if self.hidden else self.inputs

    @property
    def widths(self) -> dict[str, int]:
        """Features of every hidden layer, by its name."""
        return {f"layer{i}": width for i, width in enumerate(self.hidden)}

    def init(self, generator: torch.Generator) -> Params:
        """Uniform within ±1/√fan-in, as torch's own layers."""
        params: Params = {}
        width = self.inputs
        for i, wider in enumerate(self.hidden):
            params |= weights(f"layer{i}", (wider, width), generator)
            params |= norms.init(self.norm, wider, f"layer{i}")
            width = wider
        return params | weights(HEAD, (self.outputs, width), generator)

    def features(self, params: Params, x: Tensor) -> Tensor:
        """`[N, width]` of inputs `[N, …]`, which are flattened."""
        return self._layers(params, x)[-1]

    def activations(self, params: Params, x: Tensor) -> dict[str, Tensor]:
        """The outputs of every layer by its name, each `[N, …]`."""
        return _named(params, self._layers(params, x))

    def _layers(self, params: Params, x: Tensor) -> list[Tensor]:
        """The inputs, flattened, and what every hidden layer makes of them."""
        layers = [x.flatten(1)]
        for i in range(len(self.hidden)):
            name = f"layer{i}"
            x = functional.linear(layers[-1], params[f"{name}.weight"], params[f"{name}.bias"])
            x = _ACTIVATIONS[self.activation](norms.apply(self.norm, params, name, x))
            layers.append(_thinned(params, name, x))
        return layers

    def __call__(self, params: Params, x: Tensor) -> Tensor:
        """Outputs `[N, C]` of inputs `[N, …]`."""
        return head(params, self.features(params, x))


@dataclass(frozen=True)
class Conv4:
    """Four 3 × 3 convolutions, each halving the image, for small pictures.

    By strides as in MAML's Omniglot network (arXiv 1703.03400, appendix A.1) or by 2 × 2
    max-pooling as in matching and prototypical networks (1606.04080, 1703.05175).
    """

    x_shape: tuple[int, ...]  # (channels, height, width)
    outputs: int
    filters: int = 64
    pooling: Literal["stride", "max"] = "stride"
    norm: Norm = "batch"

    def __post_init__(self) -> None:
        """Raises ValueError for images of which nothing would be left."""
        if self.width < 1:
            raise ValueError(
                f"--pooling max halves images four times, which leaves nothing of "
                f"{self.x_shape[1]} × {self.x_shape[2]} pixels: use --pooling stride, or images "
                "of at least 16 × 16"
            )

    @property
    def width(self) -> int:
        """Of the features."""
        height, width = self.x_shape[1:]
        for _ in range(4):
            spare = 1 if self.pooling == "stride" else 0
            height, width = (height + spare) // 2, (width + spare) // 2
        return self.filters * height * width

    @property
    def widths(self) -> dict[str, int]:
        """Channels of every convolution, by its name."""
        return {f"layer{i}": self.filters for i in range(4)}

    def init(self, generator: torch.Generator) -> Params:
        """Uniform within ±1/√fan-in, as torch's own layers."""
        params: Params = {}
        channels = self.x_shape[0]
        for i in range(4):
            params |= weights(f"layer{i}", (self.filters, channels, 3, 3), generator)
            params |= norms.init(self.norm, self.filters, f"layer{i}")
            channels = self.filters
        return params | weights(HEAD, (self.outputs, self.width), generator)

    def features(self, params: Params, x: Tensor) -> Tensor:
        """`[N, width]` of images `[N, channels, height, width]`."""
        return self._layers(params, x)[-1].flatten(1)

    def activations(self, params: Params, x: Tensor) -> dict[str, Tensor]:
        """The outputs of every layer by its name, flattened to `[N, …]`."""
        return _named(params, [layer.flatten(1) for layer in self._layers(params, x)])

    def _layers(self, params: Params, x: Tensor) -> list[Tensor]:
        """The images and what every convolution makes of them, `[N, channels, height, width]`."""
        layers = [x]
        for i in range(4):
            name = f"layer{i}"
            weight, bias = params[f"{name}.weight"], params[f"{name}.bias"]
            stride = 2 if self.pooling == "stride" else 1
            x = functional.conv2d(layers[-1], weight, bias, stride=stride, padding=1)
            x = _thinned(params, name, torch.relu(norms.apply(self.norm, params, name, x)))
            layers.append(functional.max_pool2d(x, 2) if self.pooling == "max" else x)
        return layers

    def __call__(self, params: Params, x: Tensor) -> Tensor:
        """Outputs `[N, C]` of images `[N, channels, height, width]`."""
        return head(params, self.features(params, x))


def head(params: Params, features: Tensor) -> Tensor:
    """The linear layer on top."""
    return functional.linear(features, params[f"{HEAD}.weight"], params[f"{HEAD}.bias"])


def dropout(network: Network, share: float, tasks: int, generator: torch.Generator) -> Params:
    """What every task's features are multiplied by, `[T, width]` for each hidden layer.

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

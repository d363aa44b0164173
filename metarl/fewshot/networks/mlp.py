"""A multi-layer perceptron as a pure function of its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.fewshot.networks import norms
from metarl.fewshot.networks.choices import Activation, Norm
from metarl.fewshot.networks.network import _ACTIVATIONS, HEAD, _named, _thinned, head, weights


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
        """There are so many features."""
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

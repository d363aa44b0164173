"""Four convolutions as a pure function of their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.fewshot.networks import norms
from metarl.fewshot.networks.choices import Norm
from metarl.fewshot.networks.network import HEAD, _named, _thinned, head, weights


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
        """Refuse images of which nothing would be left; raises ValueError."""
        if self.width < 1:
            raise ValueError(
                f"--pooling max halves images four times, which leaves nothing of "
                f"{self.x_shape[1]} × {self.x_shape[2]} pixels: use --pooling stride, or images "
                "of at least 16 × 16"
            )

    @property
    def width(self) -> int:
        """There are so many features."""
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

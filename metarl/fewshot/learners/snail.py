"""SNAIL: temporal convolutions and attention over the support set as a sequence.

Mishra et al. 2018 (arXiv 1707.03141): the examples with their targets, then one query without its
own. Blocks are causal, dense convolutions with gated activation, dilated by 1, 2, 4, … over the
sequence, and soft attention to all that came before.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.fewshot import losses
from metarl.fewshot.data.task import Examples, Kind, Split
from metarl.fewshot.learners.configs import SnailConfig
from metarl.fewshot.learners.on_network import OnNetwork, refuse_unused
from metarl.fewshot.networks.mlp import Mlp
from metarl.fewshot.networks.network import Network, weights, without_head


class Snail(OnNetwork[SnailConfig]):
    """A learner whose adapted state is the embedded support sequence `[S, width]`."""

    def __init__(self, config: SnailConfig, kind: Kind, network: Network) -> None:
        """See `OnNetwork`; a network for images embeds them, other inputs are taken as they are.

        Raises:
            ValueError: an option of the embedding, for inputs that have none.
        """
        super().__init__(config, kind, network)
        self._plain = isinstance(network, Mlp)
        if self._plain:
            refuse_unused(config, type(self).__name__, "hidden", "norm", "dropout", "activation")
        self._embedding = network.inputs if isinstance(network, Mlp) else network.width
        examples = config.shots * (network.outputs if kind == "classification" else 1)
        self._dilations = [2**i for i in range(max(1, math.ceil(math.log2(examples + 1))))]

    def init(self, generator: torch.Generator) -> Params:
        """Weights of the embedding, the blocks and the last layer."""
        c, params = self.config, Params()
        if not self._plain:
            params |= without_head(self.network.init(generator))
        width = self._embedding + self.network.outputs + 1
        for b in range(c.blocks):
            width = self._init_attention(params, f"block{b}.attention", width, generator)
            for d in self._dilations:
                name = f"block{b}.conv{d}"
                params |= weights(name, (2 * c.channels, width, 2), generator)
                width += c.channels
        width = self._init_attention(params, "last.attention", width, generator)
        return params | weights("head", (self.network.outputs, width), generator)

    def loss(self, theta: Params, task: Split) -> Tensor:
        """Compute the loss of the queries, a scalar."""
        outputs = self.predict(theta, self.adapt(theta, task.support), task.query.x)
        return losses.loss(self.kind, outputs, task.query.y)

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Tensor:
        """The examples beside their targets, `[S, width]`."""
        x, y = self._embedded(theta, support.x), support.y
        if self.kind == "classification":
            y = functional.one_hot(y, self.network.outputs).to(x.dtype)
        return torch.cat([x, y, torch.zeros_like(x[:, :1])], -1)

    def predict(self, theta: Params, adapted: Tensor, x: Tensor) -> Tensor:
        """Outputs `[N, C]`: every query is the end of a sequence of its own."""
        x = self._embedded(theta, x)
        asks = torch.ones_like(x[:, :1])
        query = torch.cat([x, x.new_zeros(x.shape[0], self.network.outputs), asks], -1)
        sequence = torch.cat([adapted.expand(x.shape[0], *adapted.shape), query.unsqueeze(1)], 1)
        for b in range(self.config.blocks):
            sequence = self._attention(theta, f"block{b}.attention", sequence)
            for d in self._dilations:
                sequence = self._convolution(theta, f"block{b}.conv{d}", sequence, d)
        last = self._attention(theta, "last.attention", sequence)[:, -1]
        return functional.linear(last, theta["head.weight"], theta["head.bias"])

    def _init_attention(
        self, params: Params, name: str, width: int, generator: torch.Generator
    ) -> int:
        """Weights of queries, keys and values; the width after it."""
        for part in ("query", "key", "value"):
            params |= weights(f"{name}.{part}", (self.config.keys, width), generator)
        return width + self.config.keys

    def _attention(self, theta: Params, name: str, x: Tensor) -> Tensor:
        """x beside what it attends to at and before each place, `[N, S, width + keys]`."""
        query, key, value = (
            functional.linear(x, theta[f"{name}.{part}.weight"], theta[f"{name}.{part}.bias"])
            for part in ("query", "key", "value")
        )
        logits = query @ key.transpose(-1, -2) / math.sqrt(self.config.keys)
        length = x.shape[-2]
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        seen = torch.softmax(logits.masked_fill(later, -torch.inf), -1) @ value
        return torch.cat([x, seen], -1)

    def _convolution(self, theta: Params, name: str, x: Tensor, dilation: int) -> Tensor:
        """x beside tanh(f) σ(g) of it and what was `dilation` places before."""
        before = functional.pad(x, (0, 0, dilation, 0))[..., : x.shape[-2], :]
        weight, bias = theta[f"{name}.weight"], theta[f"{name}.bias"]
        sums = before @ weight[..., 0].T + x @ weight[..., 1].T + bias
        f, g = sums.chunk(2, -1)
        return torch.cat([x, f.tanh() * g.sigmoid()], -1)

    def _embedded(self, theta: Params, x: Tensor) -> Tensor:
        return x.flatten(1) if self._plain else self.network.features(theta, x)

"""Conditional neural processes: the support set becomes one vector that the answer depends on.

Garnelo et al. 2018 (arXiv 1807.01613): r = mean_i h(x_i, y_i), then a normal distribution, or
classes, g(x, r). In classification r has a part for every class, the mean over its examples.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.fewshot import losses
from metarl.fewshot.data.task import Examples, Kind, Split
from metarl.fewshot.learners.configs import CnpConfig
from metarl.fewshot.learners.on_network import OnNetwork, refuse_unused
from metarl.fewshot.networks.mlp import Mlp
from metarl.fewshot.networks.network import Network, without_head

_MIN_STD = 0.1


class Cnp(OnNetwork[CnpConfig]):
    """A learner whose adapted state is r."""

    def __init__(self, config: CnpConfig, kind: Kind, network: Network) -> None:
        """See `OnNetwork`; a network for images embeds them, other inputs are taken as they are.

        Raises:
            ValueError: an option of the embedding, for inputs that have none.
        """
        super().__init__(config, kind, network)
        self._plain = isinstance(network, Mlp)
        if self._plain:
            refuse_unused(config, type(self).__name__, "hidden", "norm", "dropout")
        width = network.inputs if isinstance(network, Mlp) else network.width
        outputs = network.outputs
        shown = width + (outputs if kind == "regression" else 0)
        codes = config.code * (1 if kind == "regression" else outputs)
        numbers = outputs * (2 if kind == "regression" else 1)  # mean and deviation, or logits
        self._encoder = Mlp(shown, config.code, config.encoder, config.activation)
        self._decoder = Mlp(codes + width, numbers, config.decoder, config.activation)

    def init(self, generator: torch.Generator) -> Params:
        """Weights of the embedding, of h and of g."""
        parts = {"encoder": self._encoder, "decoder": self._decoder}
        params = {
            f"{part}.{name}": p
            for part, network in parts.items()
            for name, p in network.init(generator).items()
        }
        return params if self._plain else params | without_head(self.network.init(generator))

    def loss(self, theta: Params, task: Split) -> Tensor:
        """−log N(y; mean, deviation), or cross-entropy, of queries and support; a scalar."""
        code = self.adapt(theta, task.support)
        x = torch.cat([task.support.x, task.query.x])
        y = torch.cat([task.support.y, task.query.y])
        outputs = self._decoded(theta, code, x)
        if self.kind == "classification":
            return losses.loss(self.kind, outputs, y)
        mean, raw = outputs.chunk(2, -1)
        std = _MIN_STD + (1 - _MIN_STD) * functional.softplus(raw)
        return (0.5 * ((y - mean) / std).square() + std.log()).mean()

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Tensor:
        """r, `[code]`, or of all classes side by side."""
        x = self._embedded(theta, support.x)
        if self.kind == "regression":
            return self._encoder(part_of(theta, "encoder"), torch.cat([x, support.y], -1)).mean(0)
        codes = self._encoder(part_of(theta, "encoder"), x)
        member = functional.one_hot(support.y, self.network.outputs).to(codes.dtype)
        return ((member.T @ codes) / member.sum(0).clamp(min=1).unsqueeze(-1)).flatten()

    def predict(self, theta: Params, adapted: Tensor, x: Tensor) -> Tensor:
        """Means `[N, C]`, or logits."""
        outputs = self._decoded(theta, adapted, x)
        return outputs if self.kind == "classification" else outputs.chunk(2, -1)[0]

    def deviation(self, theta: Params, adapted: Tensor, x: Tensor) -> Tensor:
        """Return that of the predictive normal distributions, `[N, C]`; in regression."""
        raw = self._decoded(theta, adapted, x).chunk(2, -1)[1]
        return _MIN_STD + (1 - _MIN_STD) * functional.softplus(raw)

    def _decoded(self, theta: Params, code: Tensor, x: Tensor) -> Tensor:
        x = self._embedded(theta, x)
        given = torch.cat([code.expand(x.shape[0], -1), x], -1)
        return self._decoder(part_of(theta, "decoder"), given)

    def _embedded(self, theta: Params, x: Tensor) -> Tensor:
        return x.flatten(1) if self._plain else self.network.features(theta, x)


def part_of(theta: Params, part: str) -> Params:
    """The weights of one network, whose names begin with `part.`."""
    prefix = f"{part}."
    return {k.removeprefix(prefix): p for k, p in theta.items() if k.startswith(prefix)}

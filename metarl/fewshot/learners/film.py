"""A network whose norms are set by the support set (FiLM by a hyper-network).

Perez et al. 2018 (arXiv 1709.07871), conditioned on tasks as in CNAPs (Requeima et al. 2019, arXiv
1906.07697): a set encoder turns the support set into a code, and a hyper-network turns the code
into the scale and shift of every norm and into the weights of the last layer. So every task is
answered by a network of its own, made in one forward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.fewshot import losses
from metarl.fewshot.data.task import Examples, Kind, Split
from metarl.fewshot.learners.cnp import part_of
from metarl.fewshot.learners.configs import FilmConfig
from metarl.fewshot.learners.on_network import OnNetwork
from metarl.fewshot.networks.mlp import Mlp
from metarl.fewshot.networks.network import HEAD, Network, without_head


class Film(OnNetwork[FilmConfig]):
    """A learner whose adapted state is φ, the weights of one task's network."""

    def __init__(self, config: FilmConfig, kind: Kind, network: Network) -> None:
        """See `OnNetwork`; a network for images embeds them, other inputs are taken as they are."""
        super().__init__(config, kind, network)
        self._plain = isinstance(network, Mlp)
        width = network.inputs if isinstance(network, Mlp) else network.width
        shapes = {k: p.shape for k, p in network.init(torch.Generator()).items()}
        norms = (".scale", ".shift")
        self._made = {k: s for k, s in shapes.items() if k.endswith(norms)}
        shown = width + (network.outputs if kind == "regression" else 0)
        self._encoder = Mlp(shown, config.code, config.encoder, config.activation)
        numbers = sum(s.numel() for s in self._made.values())
        if kind == "regression":
            self._made |= {k: s for k, s in shapes.items() if k.startswith(f"{HEAD}.")}
            numbers = sum(s.numel() for s in self._made.values())
        self._hyper = Mlp(config.code, numbers, config.encoder, config.activation)
        # of a class: its row of the last layer, from its own code
        self._row = Mlp(config.code, network.width + 1, config.encoder, config.activation)

    def init(self, generator: torch.Generator) -> Params:
        """Weights of the network, of the set encoder and of the hyper-networks."""
        params = self.network.init(generator)
        if self.kind == "classification":
            params = without_head(params)
        parts = {"encoder": self._encoder, "hyper": self._hyper}
        if self.kind == "classification":
            parts["row"] = self._row
        for part, network in parts.items():
            params |= {f"{part}.{name}": p for name, p in network.init(generator).items()}
        return params

    def loss(self, theta: Params, task: Split) -> Tensor:
        """Compute the loss of the queries, a scalar."""
        outputs = self.predict(theta, self.adapt(theta, task.support), task.query.x)
        return losses.loss(self.kind, outputs, task.query.y)

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Params:
        """φ: what is generated is added to what all tasks share."""
        own = ("encoder.", "hyper.", "row.")
        phi = {name: p for name, p in theta.items() if not name.startswith(own)}
        x, encoder = self._shown(theta, support), part_of(theta, "encoder")
        codes = self._encoder(encoder, x)
        made = self._hyper(part_of(theta, "hyper"), codes.mean(0, keepdim=True))[0]
        pieces = torch.split(made, [shape.numel() for shape in self._made.values()])
        for (name, shape), piece in zip(self._made.items(), pieces, strict=True):
            phi[name] = phi[name] + piece.view(shape)
        if self.kind == "classification":
            member = functional.one_hot(support.y, self.network.outputs).to(codes.dtype)
            by_class = (member.T @ codes) / member.sum(0).clamp(min=1).unsqueeze(-1)
            rows = self._row(part_of(theta, "row"), by_class)
            phi |= {f"{HEAD}.weight": rows[:, :-1], f"{HEAD}.bias": rows[:, -1]}
        return phi

    def predict(self, theta: Params, adapted: Params, x: Tensor) -> Tensor:
        """Outputs `[N, C]` of inputs `[N, …]`."""
        return self.network(adapted, x)

    def _shown(self, theta: Params, support: Examples) -> Tensor:
        """Return what the set encoder sees of each example."""
        x = support.x.flatten(1) if self._plain else self.network.features(theta, support.x)
        return torch.cat([x, support.y], -1) if self.kind == "regression" else x

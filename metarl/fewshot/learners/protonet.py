"""Prototypical networks: a class is the mean of its examples' features.

Snell, Swersky and Zemel 2017 (arXiv 1703.05175): p(y = k | x) ∝ exp(−‖f(x) − c_k‖²).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.fewshot import losses
from metarl.fewshot.data.task import Examples, Split
from metarl.fewshot.learners.configs import ProtoNetConfig
from metarl.fewshot.learners.on_network import OnNetwork
from metarl.fewshot.networks.network import without_head


class Prototypes(NamedTuple):
    """A prototypical network knows this of a task."""

    means: Tensor  # [C, width]
    there: Tensor  # [C] bool: classes that have examples


class ProtoNet(OnNetwork[ProtoNetConfig]):
    """A learner whose adapted state is the prototypes; classification only."""

    any_ways = True
    classifies_only = True

    def init(self, generator: torch.Generator) -> Params:
        """The network's weights without its head."""
        return without_head(self.network.init(generator))

    def loss(self, theta: Params, task: Split) -> Tensor:
        """Cross-entropy of the queries; a scalar."""
        logits = self.predict(theta, self.adapt(theta, task.support), task.query.x)
        return losses.loss(self.kind, logits, task.query.y)

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Prototypes:
        """The mean features of every class."""
        features = self.network.features(theta, support.x)
        member = functional.one_hot(support.y, self.network.outputs).to(features.dtype)
        count = member.sum(0)
        return Prototypes((member.T @ features) / count.clamp(min=1).unsqueeze(-1), count > 0)

    def predict(self, theta: Params, adapted: Prototypes, x: Tensor) -> Tensor:
        """Logits `[N, C]`: minus the distances; a class without examples is never the answer."""
        features, means = self.network.features(theta, x), adapted.means
        if self.config.distance == "cosine":
            logits = 10 * functional.normalize(features) @ functional.normalize(means).T
        else:
            squares = means.square().sum(-1) + features.square().sum(-1, keepdim=True)
            logits = 2 * features @ means.T - squares
        return losses.among(adapted.there, logits)

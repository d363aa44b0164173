"""Matching networks: a query's class is a weighted vote of the support set.

Vinyals et al. 2016 (arXiv 1606.04080), without full context embeddings:
p(y | x) = Σ_i a(x, x_i) y_i with a = softmax over the support set of the scaled cosine.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.fewshot import losses
from metarl.fewshot.data.task import Examples, Split
from metarl.fewshot.learners.configs import MatchingNetConfig
from metarl.fewshot.learners.on_network import OnNetwork
from metarl.fewshot.networks.network import without_head

_EPS = 1e-6


class Memory(NamedTuple):
    """A support set, embedded."""

    features: Tensor  # [S, width], of norm 1
    member: Tensor  # [S, C], one-hot classes


class MatchingNet(OnNetwork[MatchingNetConfig]):
    """A learner whose adapted state is the embedded support set; classification only."""

    any_ways = True
    classifies_only = True

    def init(self, generator: torch.Generator) -> Params:
        """The network's weights without its head, and the logarithm of the cosine's scale."""
        params = without_head(self.network.init(generator))
        return params | {"log_scale": torch.tensor(self.config.cosine_scale).log()}

    def loss(self, theta: Params, task: Split) -> Tensor:
        """Cross-entropy of the queries; a scalar."""
        logits = self.predict(theta, self.adapt(theta, task.support), task.query.x)
        return losses.loss(self.kind, logits, task.query.y)

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Memory:
        """Embed the support set."""
        features = functional.normalize(self.network.features(theta, support.x))
        member = functional.one_hot(support.y, self.network.outputs).to(features.dtype)
        return Memory(features, member)

    def attention(self, theta: Params, adapted: Memory, x: Tensor) -> Tensor:
        """a(x, x_i), `[N, S]`: how much each example counts in each answer."""
        features = functional.normalize(self.network.features(theta, x))
        return torch.softmax(theta["log_scale"].exp() * features @ adapted.features.T, -1)

    def predict(self, theta: Params, adapted: Memory, x: Tensor) -> Tensor:
        """Logits `[N, C]`: the logarithms of the votes."""
        votes = self.attention(theta, adapted, x) @ adapted.member
        return torch.log(votes + _EPS)

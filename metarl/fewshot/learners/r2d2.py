"""Learned features with a ridge-regression head that is solved in closed form.

Bertinetto et al. 2019, R2-D2 (arXiv 1805.08136): W = Xᵀ (X Xᵀ + λ I)⁻¹ Y on the features X of the
support set, and predictions α X' W + β with learned α, β and λ. Through the Woodbury identity the
matrix that is inverted is as large as the support set, not as the features. It is solved in double
precision: in single, λ is lost beside the squares of features that are some thousands of deviations
off, and the head is noise.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.fewshot import losses
from metarl.fewshot.data.task import Examples, Split
from metarl.fewshot.learners.configs import R2D2Config
from metarl.fewshot.learners.on_network import OnNetwork
from metarl.fewshot.networks.network import without_head


class R2D2(OnNetwork[R2D2Config]):
    """A learner whose adapted state is the head `[width + 1, C]` of one task."""

    any_ways = True

    def init(self, generator: torch.Generator) -> Params:
        """The network's weights without its head, log λ, α and β."""
        own = {
            "log_ridge": torch.tensor(self.config.ridge).log(),
            "scale": torch.tensor(1.0),
            "offset": torch.tensor(0.0),
        }
        return without_head(self.network.init(generator)) | own

    def loss(self, theta: Params, task: Split) -> Tensor:
        """Compute the loss of the queries, a scalar."""
        outputs = self.predict(theta, self.adapt(theta, task.support), task.query.x)
        return losses.loss(self.kind, outputs, task.query.y)

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Tensor:
        """W `[width + 1, C]`; no numbers where the system is singular in double precision, too."""
        features, y = self._features(theta, support.x), support.y
        if self.kind == "classification":
            y = functional.one_hot(y, self.network.outputs)
        rows = features.double()
        eye = torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
        gram = rows @ rows.T + theta["log_ridge"].double().exp() * eye
        factor, singular = torch.linalg.cholesky_ex(gram)
        head = rows.T @ torch.cholesky_solve(y.double(), factor)
        return torch.where(singular > 0, torch.nan, head).to(features.dtype)

    def predict(self, theta: Params, adapted: Tensor, x: Tensor) -> Tensor:
        """Outputs `[N, C]` of inputs `[N, …]`; a class without examples is never the answer."""
        outputs = theta["scale"] * (self._features(theta, x) @ adapted) + theta["offset"]
        if self.kind == "regression":
            return outputs
        there = (adapted != 0).any(0)  # the column of a class without examples is exactly zero
        return losses.among(there, outputs)

    def _features(self, theta: Params, x: Tensor) -> Tensor:
        """Put a one beside them, for the bias: `[N, width + 1]`."""
        features = self.network.features(theta, x)
        return torch.cat([features, torch.ones_like(features[:, :1])], -1)

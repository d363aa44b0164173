"""What adaptation changes: how far each layer moves, and how similar its features stay."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from metarl.core.mapping import over_tasks
from metarl.core.params import Params
from metarl.fewshot.data.task import Split
from metarl.fewshot.learners.protocol import FewShotLearner
from metarl.fewshot.networks.network import Network


class LayerChange(NamedTuple):
    """Means over tasks."""

    layer: str
    moved: float  # ‖φ − θ‖ / ‖θ‖ of its parameters
    moved_ci95: float
    similarity: float  # linear CKA of its features of the queries, before and after
    similarity_ci95: float


def linear_cka(a: Tensor, b: Tensor) -> Tensor:
    """Linear centred kernel alignment of features `[N, P]` and `[N, Q]` (arXiv 1905.00414, eq. 3).

    ‖BᵀA‖² / (‖AᵀA‖ ‖BᵀB‖) of centred features: 1 for those that a rotation and a scale turn into
    one another; computed by the N × N kernels.
    """
    a, b = (features - features.mean(0) for features in (a, b))
    k, m = a @ a.T, b @ b.T
    norms: Tensor = torch.linalg.matrix_norm(k) * torch.linalg.matrix_norm(m)
    return torch.sum(k * m) / norms.clamp(min=torch.finfo(a.dtype).tiny)


def analyse(
    learner: FewShotLearner, network: Network, theta: Params, tasks: Split, steps: int | None = None
) -> list[LayerChange]:
    """Adapt to every task, and compare each layer before and after.

    Args:
        learner: one that adapts the network's weights.
        network: whose layers are compared.
        theta: its meta-parameters.
        tasks: support sets to adapt to, queries to compare features on.
        steps: of adaptation; as in training if None.

    Raises:
        ValueError: the learner's adapted state is not the network's weights.
    """
    names = [name for name in network.init(torch.Generator()) if name in theta]
    layers = list(dict.fromkeys(name.split(".")[0] for name in names))

    def one(task: Split) -> dict[str, Tensor]:
        phi = learner.adapt(theta, task.support, steps)
        if not isinstance(phi, dict) or not set(names) <= set(phi):
            raise ValueError("layers are compared of learners that adapt a network's weights")
        before, after = (network.activations(p, task.query.x) for p in (theta, phi))
        found = {}
        for layer in layers:
            own = [name for name in names if name.split(".")[0] == layer]
            distance = sum((phi[name] - theta[name]).square().sum() for name in own)
            size = sum(theta[name].square().sum() for name in own)
            found[f"{layer} moved"] = torch.sqrt(torch.as_tensor(distance / size))
            found[f"{layer} similarity"] = linear_cka(before[layer], after[layer])
        return found

    with torch.no_grad():
        rows = over_tasks(one)(tasks)
    kinds = ("moved", "similarity")
    return [
        LayerChange(layer, *(x for kind in kinds for x in _interval(rows[f"{layer} {kind}"])))
        for layer in layers
    ]


def _interval(values: Tensor) -> tuple[float, float]:
    """Mean over tasks and 1.96 standard errors."""
    values = values.double()
    error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(values.mean()), 1.96 * error

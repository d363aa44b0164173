"""Observation normalisation: one running mean and variance for all tasks.

The statistics belong to the meta-level: they are frozen within an iteration (or the ratio of a
policy to itself would not be 1), and updated from all of its observations afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metarl.core.params import Params
from metarl.rl.noise import CPU
from metarl.rl.policy import Dist, Policy

_CLIP = 10.0  # standard deviations


def fresh(obs_dim: int) -> Params:
    """Statistics of no observation: mean 0 and variance 1, in float64."""
    return {
        "count": torch.zeros((), dtype=torch.float64),
        "mean": torch.zeros(obs_dim, dtype=torch.float64),
        "var": torch.ones(obs_dim, dtype=torch.float64),
    }


def updated(statistics: Params, obs: Tensor, mask: Tensor) -> Params:
    """Fold in the observations `[…, O]` where `mask` `[…]` holds (Chan et al. 1983)."""
    rows = obs[mask].double()
    count, mean, var = statistics["count"], statistics["mean"], statistics["var"]
    total = count + len(rows)
    delta = rows.mean(0) - mean
    squares = var * count + rows.var(0, correction=0) * len(rows)
    squares = squares + delta.square() * count * len(rows) / total
    return {"count": total, "mean": mean + delta * len(rows) / total, "var": squares / total}


def normalized(obs: Tensor, statistics: Params) -> Tensor:
    """(obs − mean) / std of `[…, O]`, clipped to ±10; `obs` itself without statistics."""
    if not statistics:
        return obs
    mean, scale = statistics["mean"], (statistics["var"] + 1e-8).rsqrt()
    return ((obs - mean.to(obs.dtype)) * scale.to(obs.dtype)).clamp(-_CLIP, _CLIP)


@dataclass(frozen=True)
class NormalizedPolicy:
    """A policy that is shown raw observations and sees normalised ones."""

    policy: Policy
    statistics: Params

    def init(self, generator: torch.Generator) -> Params:
        """Fresh parameters of the policy."""
        return self.policy.init(generator)

    def distribution(self, params: Params, obs: Tensor) -> Dist:
        """π(· | normalised obs): obs `[…, O]`, raw."""
        return self.policy.distribution(params, normalized(obs, self.statistics))

    def noise(
        self, rng: np.random.Generator, shape: tuple[int, ...], device: torch.device = CPU
    ) -> Tensor:
        """The noise of the policy."""
        return self.policy.noise(rng, shape, device)

"""Losses `(params, batch) -> scalar` of one task; means over the real steps.

Inner losses (what adaptation descends) differ in their second derivatives:

- `likelihood_ratio`, −E[π(a|s) / π_old(a|s) · A]: the policy gradient, and the right Hessian
  for a horizon of 1. Over time it is ProMP's low-variance approximation (arXiv 1810.06784): the
  terms that couple different time steps are dropped.
- `log_likelihood`, −E[log π(a|s) · A]: the same gradient, a wrong Hessian; for reproducing older
  code only.
- `dice`, −E[□_t · A_t] with □_t = exp(Σ_{t' ≤ t} log π − stop(Σ_{t' ≤ t} log π))
  (arXiv 1802.05098): the right gradient and Hessian over time, with more variance.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metarl.core.adapt import LossFn
from metarl.core.params import Params
from metarl.rl.data import PolicyBatch
from metarl.rl.policy import Dist, Policy, kl_divergence, log_prob


def likelihood_ratio(policy: Policy) -> LossFn:
    """−mean(π_φ(a|s) / π_old(a|s) · A): the surrogate of TRPO, and the default inner loss."""

    def loss(params: Params, batch: PolicyBatch) -> Tensor:
        batch = _without_padding(batch)
        new = log_prob(policy.distribution(params, batch.obs), batch.action)
        old = log_prob(batch.dist, batch.action)
        return -_mean((new - old).exp() * batch.advantage, batch.mask)

    return loss


def log_likelihood(policy: Policy) -> LossFn:
    """−mean(log π_φ(a|s) · A)."""

    def loss(params: Params, batch: PolicyBatch) -> Tensor:
        batch = _without_padding(batch)
        new = log_prob(policy.distribution(params, batch.obs), batch.action)
        return -_mean(new * batch.advantage, batch.mask)

    return loss


def dice(policy: Policy) -> LossFn:
    """−mean(□_t A_t), with the products □ running over the last axis of the batch (time)."""

    def loss(params: Params, batch: PolicyBatch) -> Tensor:
        batch = _without_padding(batch)
        new = log_prob(policy.distribution(params, batch.obs), batch.action)
        past = torch.where(batch.mask, new, 0.0).cumsum(-1)
        box = (past - past.detach()).exp()
        return -_mean(box * batch.advantage, batch.mask)

    return loss


INNER_LOSSES: dict[str, Callable[[Policy], LossFn]] = {
    "likelihood-ratio": likelihood_ratio,
    "log-likelihood": log_likelihood,
    "dice": dice,
}
"""The inner losses by the name of their option."""


def mean_kl(policy: Policy) -> LossFn:
    """mean KL(π_old ‖ π_φ) over the real steps; π_old is data."""

    def loss(params: Params, batch: PolicyBatch) -> Tensor:
        batch = _without_padding(batch)
        return _mean(kl_divergence(batch.dist, policy.distribution(params, batch.obs)), batch.mask)

    return loss


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, x, 0.0).sum() / mask.sum().clamp(min=1)


def _without_padding(batch: PolicyBatch) -> PolicyBatch:
    """Zeros where the mask is False, so that padding (NaN included) reaches no gradient."""
    dist: Dist = {name: _masked(p, batch.mask) for name, p in batch.dist.items()}
    return PolicyBatch(
        obs=_masked(batch.obs, batch.mask),
        action=_masked(batch.action, batch.mask),
        advantage=_masked(batch.advantage, batch.mask),
        mask=batch.mask,
        dist=dist,
    )


def _masked(x: Tensor, mask: Tensor) -> Tensor:
    """`x` `[*mask, …]` with zeros where the mask is False."""
    return torch.where(mask.reshape(*mask.shape, *[1] * (x.dim() - mask.dim())), x, 0)

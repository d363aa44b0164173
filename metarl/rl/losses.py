"""Losses `(params, batch) -> scalar` of one task; means over the real steps.

Padding is masked before a ratio is computed of it: an infinity there would be NaN in the gradient,
though no mean counts it.

Inner losses (what adaptation descends) differ in their second derivatives:

- `likelihood_ratio`, −E[π(a|s) / π_old(a|s) · A]: the policy gradient, and the right Hessian
  for a horizon of 1. Over time it is ProMP's low-variance approximation (arXiv 1810.06784): the
  terms that couple different time steps are dropped.
- `log_likelihood`, −E[log π(a|s) · A]: the same gradient, a wrong Hessian; for reproducing older
  code only.
- `dice`, −E[(□_t − □_{t−1}) · A_t] with □_t = exp(Σ_{t' ≤ t} log π − stop(Σ_{t' ≤ t} log π))
  (arXiv 1802.05098, in the form of 1909.10549, equation 11, for which any baseline will do): the
  right gradient and Hessian over time, with more variance.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metarl.core.adapt import LossFn
from metarl.core.params import Params
from metarl.rl.data import PolicyBatch
from metarl.rl.policy import Dist, Policy, kl_divergence, log_prob


def surrogate(dist: Dist, batch: PolicyBatch) -> Tensor:
    """−mean(π(a|s) / π_old(a|s) · A), TRPO's surrogate, of the distribution π."""
    new, old = log_prob(dist, batch.action), log_prob(batch.dist, batch.action)
    ratio = torch.where(batch.mask, new - old, 0.0).exp()
    return -_mean(ratio * batch.advantage, batch.mask)


def mean_kl(dist: Dist, batch: PolicyBatch) -> Tensor:
    """mean KL(π_old ‖ π) over the real steps; π_old is data."""
    return _mean(kl_divergence(batch.dist, dist), batch.mask)


def likelihood_ratio(policy: Policy) -> LossFn:
    """−mean(π_φ(a|s) / π_old(a|s) · A): the default inner loss."""
    return lambda params, batch: surrogate(policy.distribution(params, batch.obs), batch)


def log_likelihood(policy: Policy) -> LossFn:
    """−mean(log π_φ(a|s) · A)."""

    def loss(params: Params, batch: PolicyBatch) -> Tensor:
        new = log_prob(policy.distribution(params, batch.obs), batch.action)
        return -_mean(torch.where(batch.mask, new, 0.0) * batch.advantage, batch.mask)

    return loss


def dice(policy: Policy) -> LossFn:
    """−mean((□_t − □_{t−1}) A_t), the products □ running over the last axis (time)."""

    def loss(params: Params, batch: PolicyBatch) -> Tensor:
        new = log_prob(policy.distribution(params, batch.obs), batch.action)
        now = torch.where(batch.mask, new, 0.0)
        until, advantage = now.cumsum(-1), torch.where(batch.mask, batch.advantage, 0.0)
        return -_mean((_box(until) - _box(until - now)) * advantage, batch.mask)

    return loss


INNER_LOSSES: dict[str, Callable[[Policy], LossFn]] = {
    "likelihood-ratio": likelihood_ratio,
    "log-likelihood": log_likelihood,
    "dice": dice,
}
"""The inner losses by the name of their option."""


def _box(log_prob: Tensor) -> Tensor:
    """1, with the derivatives of exp(`log_prob`) over its value (the magic box)."""
    return (log_prob - log_prob.detach()).exp()


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, x, 0.0).sum() / mask.sum().clamp(min=1)

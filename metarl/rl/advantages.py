"""From raw episodes to what a policy loss may see: baseline, advantages, normalisation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from metarl.rl import baseline
from metarl.rl.data import Episodes, PolicyBatch
from metarl.rl.returns import discounted_returns, gae, normalize_advantages


class ReturnsConfig(NamedTuple):
    """How rewards become advantages."""

    discount: float  # γ in [0, 1]
    gae_lambda: float  # λ in [0, 1]
    bootstrap_at_horizon: bool  # the value after the last step is predicted instead of zero


def policy_batch(episodes: Episodes, config: ReturnsConfig) -> tuple[PolicyBatch, Tensor]:
    """Fit one baseline per task and turn rewards into normalised advantages.

    By default the value after the horizon is zero: the horizon belongs to the task. With
    `bootstrap_at_horizon` an episode that did not terminate continues with the predicted value
    of its final observation.

    Args:
        episodes: raw experience `[T, E, H, …]`.
        config: γ, λ and the reading of the horizon.

    Returns:
        The batch `[T, E, H, …]`, and the baseline's explained variance `[T]`.
    """
    e = _without_padding(episodes)
    mask = e.mask
    zero = torch.zeros_like(e.reward[..., 0])
    x = baseline.features(e.obs)
    returns = discounted_returns(e.reward, mask, zero, config.discount)
    weights = baseline.fit(x, returns, mask)
    value = baseline.predict(x, weights)
    final_value = zero
    if config.bootstrap_at_horizon:
        padded = torch.cat([e.obs, e.final_obs.unsqueeze(2)], 2)  # time continues to step H
        predicted = baseline.predict(baseline.features(padded), weights)[..., -1]
        final_value = torch.where(e.terminated.any(-1), 0.0, predicted)
    advantage = gae(e.reward, value, final_value, mask, config.discount, config.gae_lambda)
    batch = PolicyBatch(e.obs, e.action, normalize_advantages(advantage, mask), mask, e.dist)
    return batch, baseline.explained_variance(value, returns, mask)


def _without_padding(episodes: Episodes) -> Episodes:
    """Zeros where the mask is False, so that padding (NaN included) reaches no gradient."""
    e, mask = episodes, episodes.mask
    return e._replace(
        obs=_masked(e.obs, mask),
        action=_masked(e.action, mask),
        reward=_masked(e.reward, mask),
        dist={name: _masked(p, mask) for name, p in e.dist.items()},
    )


def _masked(x: Tensor, mask: Tensor) -> Tensor:
    """`x` `[*mask, …]` with zeros where the mask is False."""
    return torch.where(mask.reshape(*mask.shape, *[1] * (x.dim() - mask.dim())), x, 0)

"""From raw episodes to what a policy loss may see: baseline, advantages, normalisation."""

from __future__ import annotations

import torch
from torch import Tensor

from metarl.core.mapping import join_tasks, some_tasks
from metarl.rl import baseline
from metarl.rl.choices import ReturnsConfig
from metarl.rl.data import Episodes, PolicyBatch
from metarl.rl.returns import discounted_returns, gae, normalize_advantages

_CACHED = 2**17  # features that a CPU's cache holds, 1 MiB of them in float64


def policy_batch(episodes: Episodes, config: ReturnsConfig) -> tuple[PolicyBatch, Tensor]:
    """Fit one baseline per task and turn rewards into normalised advantages.

    An episode that its environment truncates before the horizon goes on with the predicted value
    of its final observation. By default the value after the horizon is zero: the horizon belongs
    to the task. With `bootstrap_at_horizon` every episode that did not terminate goes on.

    Args:
        episodes: raw experience `[T, E, H, …]`.
        config: γ, λ and the reading of the horizon.

    Returns:
        The batch `[T, E, H, …]`, and the baseline's explained variance `[T]`.
    """
    e = _without_padding(episodes)
    mask = e.mask
    value, final_value = fitted_values(e, config)
    returns = discounted_returns(e.reward, mask, final_value, config.discount)
    advantage = gae(e.reward, value, final_value, mask, config.discount, config.gae_lambda)
    batch = PolicyBatch(e.obs, e.action, normalize_advantages(advantage, mask), mask, e.dist)
    return batch, baseline.explained_variance(value, returns, mask)


def fitted_values(e: Episodes, config: ReturnsConfig) -> tuple[Tensor, Tensor]:
    """The values of one baseline per task: of every step `[T, E, H]`, and after the last `[T, E]`.

    Args:
        e: experience `[T, E, H, …]` without padding's values.
        config: γ and which episodes go on after their last step (see `policy_batch`).
    """
    zero = torch.zeros_like(e.reward[..., 0])
    returns = discounted_returns(e.reward, e.mask, zero, config.discount)
    tasks = size = len(e.mask)
    if e.mask.device.type == "cpu":
        per_task = e.mask[0].numel() * baseline.num_features(e.obs.shape[-1])
        size = max(1, _CACHED // per_task)
    blocks = [slice(first, first + size) for first in range(0, tasks, size)]
    return join_tasks([_fitted(*some_tasks((e, returns), rows), config) for rows in blocks])


def _fitted(e: Episodes, returns: Tensor, config: ReturnsConfig) -> tuple[Tensor, Tensor]:
    mask, length = e.mask, e.mask.sum(-1)
    goes_on = ~e.terminated.any(-1)
    if not config.bootstrap_at_horizon:
        goes_on = goes_on & (length < mask.shape[-1])
    x = baseline.features(e.obs)
    last = baseline.features(e.final_obs.unsqueeze(2), length.unsqueeze(-1))  # [T, E, 1, F]
    last = torch.where(goes_on[..., None, None], last, 0.0)
    after = None
    if bool(goes_on.any()):
        steps_left = length.unsqueeze(-1) - torch.arange(mask.shape[-1], device=mask.device)
        after = config.discount ** steps_left.clamp(min=0).unsqueeze(-1) * last
    weights = baseline.fit(x, returns, mask, after)
    return baseline.predict(x, weights), baseline.predict(last, weights).squeeze(-1)


def _without_padding(episodes: Episodes) -> Episodes:
    """Zeros where the mask is False, so that padding (NaN included) reaches no gradient."""
    e, mask = episodes, episodes.mask
    if mask.device.type == "cpu" and bool(mask.all()):  # a GPU would be waited for
        return e
    return e._replace(
        obs=_masked(e.obs, mask),
        action=_masked(e.action, mask),
        reward=_masked(e.reward, mask),
        dist={name: _masked(p, mask) for name, p in e.dist.items()},
    )


def _masked(x: Tensor, mask: Tensor) -> Tensor:
    """`x` `[*mask, …]` with zeros where the mask is False."""
    return torch.where(mask.reshape(*mask.shape, *[1] * (x.dim() - mask.dim())), x, 0)

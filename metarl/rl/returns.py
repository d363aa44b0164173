"""Returns and advantages; any leading axes, time last. Terminated is not truncated.

`mask` marks real steps; what padding holds (NaN included) never matters.
"""

from __future__ import annotations

import torch
from torch import Tensor


def discounted_returns(
    reward: Tensor, mask: Tensor, final_value: Tensor, discount: float
) -> Tensor:
    """G_t = r_t + γ G_{t+1}, with G = `final_value` after an episode's last step.

    Args:
        reward: `[…, H]`.
        mask: `[…, H]` bool; real steps come first.
        final_value: `[…]`, zero where the episode terminated or the horizon ends the task.
        discount: γ.

    Returns:
        `[…, H]`, zero where `mask` is False.
    """
    reward = torch.where(mask, reward, 0.0)
    following = final_value
    rows = []
    for t in reversed(range(reward.shape[-1])):
        following = torch.where(mask[..., t], reward[..., t] + discount * following, following)
        rows.append(following)
    return torch.where(mask, torch.stack(rows[::-1], -1), 0.0)


def gae(
    reward: Tensor,
    value: Tensor,
    final_value: Tensor,
    mask: Tensor,
    discount: float,
    lam: float,
) -> Tensor:
    """Generalised advantage estimation (arXiv 1506.02438, eq. 16).

    A_t = Σ_l (γλ)^l δ_{t+l},   δ_t = r_t + γ V(s_{t+1}) − V(s_t)

    Args:
        reward: `[…, H]`.
        value: V(s_t), `[…, H]`.
        final_value: `[…]`, the value after the last real step: zero where the episode terminated
            or the horizon ends the task.
        mask: `[…, H]` bool; real steps come first.
        discount: γ.
        lam: λ.

    Returns:
        `[…, H]`, zero where `mask` is False.
    """
    reward = torch.where(mask, reward, 0.0)
    value = torch.where(mask, value, 0.0)
    next_value, advantage = final_value, torch.zeros_like(final_value)
    rows = []
    for t in reversed(range(reward.shape[-1])):
        real = mask[..., t]
        delta = reward[..., t] + discount * next_value - value[..., t]
        advantage = torch.where(real, delta + discount * lam * advantage, advantage)
        next_value = torch.where(real, value[..., t], next_value)
        rows.append(advantage)
    return torch.where(mask, torch.stack(rows[::-1], -1), 0.0)


def normalize_advantages(advantage: Tensor, mask: Tensor, eps: float = 1e-8) -> Tensor:
    """(A − mean) / (std + eps) over the real steps of each task.

    Args:
        advantage: `[T, E, H]`.
        mask: `[T, E, H]` bool.
        eps: keeps constant advantages at zero.

    Returns:
        `[T, E, H]`, zero where `mask` is False.
    """
    count = mask.sum((-1, -2), keepdim=True).clamp(min=1)
    advantage = torch.where(mask, advantage, 0.0)
    centered = torch.where(mask, advantage - advantage.sum((-1, -2), keepdim=True) / count, 0.0)
    std = (centered.square().sum((-1, -2), keepdim=True) / count).sqrt()
    return centered / (std + eps)

"""The linear feature baseline, one per task, fitted in closed form.

Features of Duan et al. 2016 (arXiv 1604.06778): [o, o², t, t², t³, 1] with o clipped to ±10 and
t = step / 100; ridge regression on the discounted returns.
"""

from __future__ import annotations

import torch
from torch import Tensor

_OBS_CLIP = 10.0
_STEPS_PER_TIME = 100.0
_RIDGE = 1e-5
_RIDGE_ATTEMPTS = 10


def num_features(obs_size: int) -> int:
    """F = 2 O + 4."""
    return 2 * obs_size + 4


def features(obs: Tensor, step: Tensor | None = None) -> Tensor:
    """`[…, H, O]` to `[…, H, 2 O + 4]`.

    Args:
        obs: observations.
        step: of each, `[…, H]`; 0 … H − 1 by default.
    """
    o = obs.clamp(-_OBS_CLIP, _OBS_CLIP)
    step = torch.arange(obs.shape[-2], device=obs.device) if step is None else step
    t = step.to(obs.dtype) / _STEPS_PER_TIME
    time = torch.stack([t, t**2, t**3, torch.ones_like(t)], -1)
    return torch.cat([o, o**2, time.expand(*obs.shape[:-1], 4)], -1)


def fit(x: Tensor, target: Tensor, mask: Tensor, after: Tensor | None = None) -> Tensor:
    """Ridge regression per task in float64: (XᵀX + ρI) w = Xᵀy.

    Where an episode goes on after its last step the targets are y + Z w, with the value after it
    in terms of w itself: (Xᵀ(X − Z) + ρI) w = Xᵀy (least squares temporal differences with λ = 1).

    ρ starts at 1e-5 and grows tenfold for the tasks whose system is numerically singular.

    Args:
        x: features `[T, …, F]`.
        target: y, `[T, …]`.
        mask: `[T, …]` bool, the entries to fit.
        after: Z, discounted features after the last step of each one's episode, `[T, …, F]`.

    Returns:
        Weights `[T, F]` in float64.

    Raises:
        RuntimeError: a task's system stays singular (its features are not finite).
    """
    rows = torch.where(mask.unsqueeze(-1), x, 0.0).flatten(1, -2).double()  # [T, N, F]
    y = torch.where(mask, target, 0.0).flatten(1).double().unsqueeze(-1)  # [T, N, 1]
    moment = rows.mT @ y
    gram = rows.mT @ (rows if after is None else rows - after.flatten(1, -2).double())
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    ridge = torch.full((len(gram), 1, 1), _RIDGE, dtype=gram.dtype, device=gram.device)
    for _ in range(_RIDGE_ATTEMPTS):
        weights, singular = torch.linalg.solve_ex(gram + ridge * eye, moment)
        failed = (singular > 0) | ~torch.isfinite(weights).all((-2, -1))
        if not bool(failed.any()):
            found: Tensor = weights.squeeze(-1)
            return found
        ridge = torch.where(failed.view(-1, 1, 1), 10 * ridge, ridge)
    raise RuntimeError("the baseline's normal equations are singular; are observations finite?")


def predict(x: Tensor, weights: Tensor) -> Tensor:
    """V = x · w: features `[T, …, F]` and weights `[T, F]` to `[T, …]`."""
    rows = x.flatten(1, -2).double()
    return (rows @ weights.unsqueeze(-1)).view(x.shape[:-1]).to(x.dtype)


def explained_variance(value: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """1 − Var[y − V] / Var[y] over the real steps of each task, `[T]`; 0 for a constant y."""
    count = mask.flatten(1).sum(1).clamp(min=1)

    def variance(z: Tensor) -> Tensor:
        z = torch.where(mask, z, 0.0).flatten(1)
        mean = (z.sum(1) / count).unsqueeze(1)
        return torch.where(mask.flatten(1), z - mean, 0.0).square().sum(1) / count

    total = variance(target)
    return torch.where(total > 0, 1 - variance(target - value) / total.clamp(min=1e-12), 0.0)

"""Adam as a function: moments go in and come out, so that a checkpoint holds all of it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adam import adam

from metarl.core.params import Params, map_params


class Moments(NamedTuple):
    """Adam remembers these moments."""

    first: Params
    second: Params
    steps: Tensor  # a scalar, taken so far


def no_moments(params: Params) -> Moments:
    """Before the first step."""
    zeros = map_params(torch.zeros_like, params)
    return Moments(zeros, map_params(torch.zeros_like, params), torch.zeros(()))


def shrunk(params: Params, share: float, decay: frozenset[str]) -> Params:
    """Copies, of which those of the names in `decay` lose a share."""
    return {k: p * (1 - share) if share and k in decay else p.clone() for k, p in params.items()}


def adam_step(
    params: Params,
    gradient: Params,
    moments: Moments,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    decay: frozenset[str] = frozenset(),
) -> tuple[Params, Moments]:
    """One step of Adam (arXiv 1412.6980) with decoupled weight decay (AdamW, 1711.05101).

    Args:
        params: by name; they and `moments` stay as they are.
        gradient: of the same names.
        moments: from the step before, or `no_moments`.
        lr: step size.
        betas: decay of the two moments.
        weight_decay: what the parameters of `decay` lose per step, times `lr`.
        decay: names.

    Returns:
        The next parameters and moments.
    """
    new = shrunk(params, lr * weight_decay, decay)
    first, second = (map_params(torch.clone, m) for m in moments[:2])
    steps = moments.steps.cpu().clone()
    adam(
        list(new.values()),
        [gradient[name] for name in new],
        [first[name] for name in new],
        [second[name] for name in new],
        [],
        [steps.clone() for _ in new],
        foreach=True,
        amsgrad=False,
        beta1=betas[0],
        beta2=betas[1],
        lr=lr,
        weight_decay=0.0,
        eps=1e-8,
        maximize=False,
    )
    return new, Moments(first, second, (steps + 1).to(moments.steps.device))

"""The trust-region step of TRPO (arXiv 1502.05477, appendix C) on flat vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Solution(NamedTuple):
    """An approximate solution of A x = b."""

    x: Tensor  # [P]
    product: Tensor  # [P], A x
    residual: float  # ‖b − A x‖ / ‖b‖, as conjugate gradient tracks it


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], b: Tensor, *, iterations: int, tolerance: float = 1e-10
) -> Solution:
    """Solve A x = b for a symmetric positive definite A given by its products.

    Args:
        product: v ↦ A v, `[P] -> [P]`.
        b: right-hand side `[P]`.
        iterations: at most this many products.
        tolerance: stop when ‖r‖² < `tolerance` · ‖b‖².
    """
    x = torch.zeros_like(b)
    r = b.clone()
    p = b.clone()
    rr = torch.dot(r, r)
    bb = float(rr)
    if bb == 0.0:
        return Solution(x, torch.zeros_like(b), 0.0)
    for _ in range(iterations):
        ap = product(p)
        step = rr / torch.dot(p, ap)
        x = x + step * p
        r = r - step * ap
        rr_new = torch.dot(r, r)
        p = r + (rr_new / rr) * p
        rr = rr_new
        if not float(rr) > tolerance * bb:
            break
    return Solution(x, b - r, (float(rr) / bb) ** 0.5)


class Trial(NamedTuple):
    """What the line search knows of one candidate."""

    surrogate: float  # the loss to be decreased
    kl: float  # mean KL(old ‖ candidate)


class LineSearch(NamedTuple):
    """How a line search ended."""

    vector: Tensor  # [P]; the start itself where no candidate was accepted
    accepted: bool
    backtracks: int  # rejected candidates
    trial: Trial  # of the accepted candidate, or of the start


def line_search(
    start: Tensor,
    step: Tensor,
    evaluate: Callable[[Tensor], Trial],
    at_start: Trial,
    *,
    max_kl: float,
    steps: int,
    decay: float,
) -> LineSearch:
    """Backtrack from `start + step` until the surrogate falls and the KL bound holds.

    The candidates are start + decay^i · step for i = 0 … steps − 1. A candidate that is not
    finite is rejected like any other. A rejected search returns `start` itself.
    """
    for i in range(steps):
        candidate = start + decay**i * step
        trial = evaluate(candidate)
        if trial.surrogate < at_start.surrogate and trial.kl <= max_kl:
            return LineSearch(candidate, True, i, trial)
    return LineSearch(start, False, steps, at_start)

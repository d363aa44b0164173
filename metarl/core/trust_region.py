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
    residual: Tensor  # ‖b − A x‖ / ‖b‖, as conjugate gradient tracks it; a scalar


def conjugate_gradient(
    product: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    iterations: int,
    tolerance: float = 1e-10,
    stops: bool = True,
) -> Solution:
    """Solve A x = b for a symmetric positive definite A given by its products.

    Args:
        product: v ↦ A v, `[P] -> [P]`.
        b: right-hand side `[P]`.
        iterations: at most this many products.
        tolerance: x is final once ‖r‖² < `tolerance` · ‖b‖².
        stops: make no more products then; asking a GPU would wait for it.
    """
    x = torch.zeros_like(b)
    r = b.clone()
    p = b.clone()
    rr = torch.dot(r, r)
    bb = rr
    active = bb > 0
    for _ in range(iterations):
        if stops and not bool(active):
            break
        ap = product(p)
        step = torch.where(active, rr / torch.dot(p, ap), 0.0)
        x = torch.where(active, x + step * p, x)
        r = torch.where(active, r - step * ap, r)
        rr_new = torch.dot(r, r)
        p = torch.where(active, r + (rr_new / rr) * p, p)
        rr = rr_new
        active = active & (rr > tolerance * bb)
    return Solution(x, b - r, torch.where(bb > 0, rr / bb, 0.0).sqrt())


class Candidate(NamedTuple):
    """The line search knows this of one candidate."""

    surrogate: float  # the loss to be decreased
    kl: float  # mean KL(old ‖ candidate)


class LineSearch(NamedTuple):
    """A line search ended like this."""

    vector: Tensor  # [P]; the start itself where no candidate was accepted
    accepted: bool
    backtracks: int  # rejected candidates
    found: Candidate  # the accepted one, or the start


def line_search(
    start: Tensor,
    step: Tensor,
    evaluate: Callable[[Tensor], Candidate],
    at_start: Candidate,
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
        vector = start + decay**i * step
        candidate = evaluate(vector)
        if candidate.surrogate < at_start.surrogate and candidate.kl <= max_kl:
            return LineSearch(vector, True, i, candidate)
    return LineSearch(start, False, steps, at_start)

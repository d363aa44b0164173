"""Gradient-based adaptation, φ ← φ − α ⊙ ∇L(φ), for any loss and any batches.

The only interface to the two worlds it serves is a loss `(params, batch) -> scalar` for ONE
task: in reinforcement learning the batches are K fresh rollouts, in few-shot learning the same
support set K times. Several tasks at once come from outside (`metarl.core.mapping`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from metarl.core.params import Params, detach, leaves, map_params

LossFn = Callable[[Params, Any], Tensor]
"""`(params, batch) -> scalar`, for one task."""


def inner_rates(params: Params, lr: float) -> Params:
    """One learning rate per parameter tensor (scalars `[]`), all equal to `lr`."""
    return {name: torch.full((), lr, dtype=p.dtype, device=p.device) for name, p in params.items()}


def step_shares(steps: int, iteration: int, iterations: int) -> list[float]:
    """Weigh the losses after 1 … K steps (multi-step loss of MAML++, arXiv 1810.09502).

    Args:
        steps: K, at least 1.
        iteration: counted from 0.
        iterations: over which equal shares move to the last step alone; 0: they stay equal.
    """
    done = min(iteration / iterations, 1.0) if iterations else 0.0
    shares = [(1 - done) / steps] * steps
    shares[-1] += done
    return shares


def sgd_step(params: Params, gradient: Params, rates: Params) -> Params:
    """φ' = φ − α ⊙ g; `rates` broadcast against the parameters (Meta-SGD, arXiv 1707.09835)."""
    return map_params(lambda p, g, a: p - a * g, params, gradient, rates)


def adapting(
    params: Params,
    batches: Iterable[Any],
    loss: LossFn,
    rates: Params | Sequence[Params],
    *,
    first_order: bool = False,
    momentum: float = 0.0,
    clip: float = 0.0,
) -> Iterator[Params]:
    """φ after every step of `adapt`, which has the arguments."""
    velocity: Params = {}
    for k, batch in enumerate(batches):
        step_rates = rates if isinstance(rates, dict) else rates[min(k, len(rates) - 1)]
        still = params

        def moved(moving: Params, still: Params = still, batch: Any = batch) -> Tensor:
            return loss({name: moving.get(name, p) for name, p in still.items()}, batch)

        moving = {name: params[name] for name in step_rates}
        gradient = torch.func.grad(moved)(moving)
        if first_order:
            gradient = map_params(lambda g: g.detach(), gradient)
        if clip:
            squares = torch.stack([g.square().sum() for g in gradient.values()]).sum()
            shrink = clip * squares.clamp(min=clip**2).rsqrt()
            gradient = map_params(lambda g, s=shrink: s * g, gradient)
        if momentum and velocity:
            gradient = map_params(lambda v, g: momentum * v + g, velocity, gradient)
        velocity = gradient
        params = {**params, **sgd_step(moving, gradient, step_rates)}
        yield params


def adapt(
    params: Params,
    batches: Iterable[Any],
    loss: LossFn,
    rates: Params | Sequence[Params],
    *,
    first_order: bool = False,
    momentum: float = 0.0,
    clip: float = 0.0,
) -> Params:
    """Take one gradient step per batch (MAML's inner loop, arXiv 1703.03400, eq. 1).

    φ_{k+1} = φ_k − α_k ⊙ v_k, v_k = μ v_{k−1} + ∇L(φ_k; batch_k), φ_0 = `params`.

    The result is differentiable in `params` and in `rates`; with `first_order` the inner
    gradients are constants, so that ∂φ/∂θ = I.

    Args:
        params: θ of one task.
        batches: what each inner step learns from.
        loss: `(params, batch) -> scalar`.
        rates: α, one tensor per parameter that broadcasts against it; parameters without one stay
            as they are. Or such rates for every step, the last ones for all further steps.
        first_order: drop the second derivatives (FOMAML).
        momentum: μ, 0 is plain gradient descent.
        clip: greatest norm of ∇L; a longer one is scaled down to it; 0 is any.

    Returns:
        φ, the adapted parameters, with the shapes of `params`.
    """
    steps = adapting(
        params, batches, loss, rates, first_order=first_order, momentum=momentum, clip=clip
    )
    for params in steps:  # noqa: B007
        pass
    return params


def adapt_values(params: Params, batches: Iterable[Any], loss: LossFn, rates: Params) -> Params:
    """The values of `adapt` and no graph: plain autograd, which costs less per call.

    See `adapt` for arguments and result; it cannot be vmapped.
    """
    params = detach(params)
    for batch in batches:
        at = leaves(params)
        with torch.enable_grad():
            gradient = torch.autograd.grad(
                loss(at, batch), list(at.values()), materialize_grads=True
            )
        params = sgd_step(params, dict(zip(at, gradient, strict=True)), rates)
    return params

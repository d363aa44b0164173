"""Products with J = ∂φ/∂θ, and the exact Fisher product v ↦ Jᵀ F J v.

At θ_old the gradient of the KL divergence KL(φ_old ‖ φ(θ)) vanishes, so that its Hessian in θ is
exactly JᵀFJ, F being the Fisher information of the policy at φ (the Hessian of the KL in φ). With
φ_{k+1} = φ_k − α ⊙ ∇L_k(φ_k),

    J = (I − diag(α) H_{K−1}) … (I − diag(α) H_0),   ∂φ_K/∂α = −Σ_k (∏_{j>k} J_j) diag(g_k),

so only second derivatives of the inner loss are needed, never third ones. The graphs of the
gradients are built once and kept, so that each product is one backward pass per factor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metarl.core.adapt import LossFn, sgd_step
from metarl.core.params import Params, detach, leaves, map_params


class Meta(NamedTuple):
    """A point, a direction or a gradient in the space of the meta-parameters."""

    theta: Params  # initial parameters
    rates: Params  # inner learning rates; empty where they are not learned


class _Gradient:
    """∇f at a point with its graph kept, and products with its (symmetric) Jacobian."""

    def __init__(self, f: Callable[[Params], Tensor], at: Params) -> None:
        self._at = leaves(at)
        with torch.enable_grad():
            value = f(self._at)
            names, inputs = zip(*self._at.items(), strict=True)
            outputs = torch.autograd.grad(value, inputs, create_graph=True, materialize_grads=True)
        self._names = names
        self._graph = dict(zip(names, outputs, strict=True))
        self.value = value.detach()
        self.gradient = detach(self._graph)

    def hessian_product(self, v: Params) -> Params:
        """∇²f · v by one backward pass through the kept graph."""
        # A gradient that does not depend on the point (a linear f) has no graph: its rows are 0.
        curved = [name for name in self._names if self._graph[name].requires_grad]
        if not curved:
            return map_params(torch.zeros_like, v)
        products = torch.autograd.grad(
            [self._graph[name] for name in curved],
            list(self._at.values()),
            [v[name] for name in curved],
            retain_graph=True,
            materialize_grads=True,
        )
        return dict(zip(self._names, products, strict=True))


class Adaptation:
    """Adaptation with everything that the outer step differentiates kept.

    For one task, or for T tasks at once when the losses are sums over a leading task axis of
    all parameters (then the Hessians are block-diagonal and one pass serves all tasks).
    """

    def __init__(
        self, theta: Params, loss: LossFn, rates: Params, *, first_order: bool = False
    ) -> None:
        """Start from φ_0 = θ.

        Args:
            theta: initial parameters.
            loss: `(params, batch) -> scalar`.
            rates: α, one tensor per parameter that broadcasts against it.
            first_order: take J = I (FOMAML).
        """
        self._loss = loss
        self._rates = rates
        self._first_order = first_order
        self._steps: list[_Gradient] = []
        self.phi = detach(theta)

    def step(self, batch: Any) -> Params:
        """Take one inner step on `batch`, keep the graph of its gradient, and return the new φ."""
        gradient = _Gradient(lambda params: self._loss(params, batch), self.phi)
        self._steps.append(gradient)
        self.phi = detach(sgd_step(self.phi, gradient.gradient, self._rates))
        return self.phi

    @property
    def gradients(self) -> list[Params]:
        """The inner gradients g_k, one tree per step."""
        return [step.gradient for step in self._steps]

    def push(self, v: Meta) -> Params:
        """J v, forwards: how φ moves when the meta-parameters move by `v`."""
        moved = v.theta
        for step in self._steps:
            delta = {} if self._first_order else step.hessian_product(moved)
            if not self._first_order:
                moved = map_params(lambda m, h, a: m - a * h, moved, delta, self._rates)
            if v.rates:
                moved = map_params(lambda m, g, da: m - da * g, moved, step.gradient, v.rates)
        return moved

    def pull(self, u: Params, *, rates: bool = False) -> Meta:
        """Jᵀ u, backwards: the gradient in the meta-parameters of what has gradient `u` in φ.

        Args:
            u: a gradient with the shapes of φ.
            rates: also the gradient in α, with the shapes of φ (sum it down to α's own).
        """
        d_rates = map_params(torch.zeros_like, u) if rates else {}
        for step in reversed(self._steps):
            if rates:
                d_rates = map_params(lambda r, g, w: r - g * w, d_rates, step.gradient, u)
            if not self._first_order:
                scaled = map_params(torch.mul, u, self._rates)
                u = map_params(torch.sub, u, step.hessian_product(scaled))
        return Meta(u, d_rates)


class FisherProduct:
    """v ↦ Jᵀ F J v at θ_old, for one task (or T stacked ones), with all graphs kept."""

    def __init__(self, adaptation: Adaptation, kl: Callable[[Params], Tensor]) -> None:
        """Args:
        adaptation: θ → φ with its graphs.
        kl: φ ↦ KL(φ_old ‖ φ); its Hessian at φ_old is F.
        """
        self._adaptation = adaptation
        self._kl = _Gradient(kl, adaptation.phi)

    def __call__(self, v: Meta) -> Meta:
        """Jᵀ F J v, with the shapes of `v` (learned rates: those of φ, to be summed down)."""
        moved = self._adaptation.push(v)
        return self._adaptation.pull(self._kl.hessian_product(moved), rates=bool(v.rates))

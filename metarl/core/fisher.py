"""Products with J = ∂φ/∂θ, and the exact Fisher product v ↦ Jᵀ F J v.

At θ_old the gradient of the KL divergence KL(φ_old ‖ φ(θ)) vanishes, so that its Hessian in θ is
exactly JᵀFJ, F being the Fisher information of the policy at φ (the Hessian of the KL in φ). With
φ_{k+1} = φ_k − α ⊙ ∇L_k(φ_k),

    J = (I − diag(α) H_{K−1}) … (I − diag(α) H_0),   ∂φ_K/∂α = −Σ_k (∏_{j>k} J_j) diag(g_k),

so only second derivatives of the inner loss are needed, never third ones. Products with H_k and F
come in two forms: by one backward pass through the kept graph of a gradient (`KeptGradient`), or
from a function that is traced, split and compiled (`fisher_product` in a `LinearMap`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from metarl.core.adapt import LossFn, sgd_step
from metarl.core.params import Params, detach, leaves, map_params

Product = Callable[[Params], Params]
"""v ↦ A v for a symmetric A."""


class Meta(NamedTuple):
    """A point, a direction or a gradient in the space of the meta-parameters."""

    theta: Params  # initial parameters
    rates: Params  # inner learning rates; empty where they are not learned


class KeptGradient:
    """∇f at a point with its graph kept, and products with the Hessian of f there."""

    def __init__(self, f: Callable[[Params], Tensor], at: Params) -> None:
        """Take a function, and keep the graph of its gradient at a point.

        Args:
            f: `(params) -> scalar`.
            at: the point; it is not part of any graph afterwards.
        """
        self._at = leaves(at)
        with torch.enable_grad():
            value = f(self._at)
            names, inputs = zip(*self._at.items(), strict=True)
            outputs = torch.autograd.grad(value, inputs, create_graph=True, materialize_grads=True)
        self._names = names
        self._graph = dict(zip(names, outputs, strict=True))
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


class Jacobian(NamedTuple):
    """J of K inner steps on one task (or on T stacked ones, where J is block-diagonal)."""

    gradients: Sequence[Params]  # g_k, one tree per step
    hessians: Sequence[Product]  # v ↦ H_k v; empty takes J = I (FOMAML)
    rates: Params  # α

    def push(self, v: Meta) -> Params:
        """J v, forwards: how φ moves when the meta-parameters move by `v`."""
        moved = v.theta
        for k, g in enumerate(self.gradients):
            if self.hessians:
                curved = self.hessians[k](moved)
                moved = map_params(lambda m, h, a: m - a * h, moved, curved, self.rates)
            if v.rates:
                moved = map_params(lambda m, g, da: m - da * g, moved, g, v.rates)
        return moved

    def pull(self, u: Params, *, rates: bool = False) -> Meta:
        """Jᵀ u, backwards: the gradient in the meta-parameters of what has gradient `u` in φ.

        Args:
            u: a gradient with the shapes of φ.
            rates: also the gradient in α, with the shapes of φ (sum it down to α's own).
        """
        d_rates = map_params(torch.zeros_like, u) if rates else {}
        for k, g in reversed(list(enumerate(self.gradients))):
            if rates:
                d_rates = map_params(lambda r, g, w: r - g * w, d_rates, g, u)
            if self.hessians:
                scaled = map_params(torch.mul, u, self.rates)
                u = map_params(torch.sub, u, self.hessians[k](scaled))
        return Meta(u, d_rates)

    def fisher(self, v: Meta, kl_hessian: Product) -> Meta:
        """Jᵀ F J v, F being the Hessian of the KL at φ; learned rates as in `pull`."""
        return self.pull(kl_hessian(self.push(v)), rates=bool(v.rates))


class Adaptation:
    """Adaptation step by step with everything that the outer step differentiates kept.

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
        self._kept: list[KeptGradient] = []
        self.phis = [detach(theta)]  # φ_0 … φ_K
        self.batches: list[Any] = []  # what each step learned from
        self.gradients: list[Params] = []  # g_0 … g_{K−1}

    @property
    def phi(self) -> Params:
        """The adapted parameters."""
        return self.phis[-1]

    def step(self, batch: Any) -> Params:
        """Take one inner step on `batch`, keep the graph of its gradient, and return the new φ."""
        kept = KeptGradient(lambda params: self._loss(params, batch), self.phi)
        self._kept.append(kept)
        self.batches.append(batch)
        self.gradients.append(kept.gradient)
        self.phis.append(detach(sgd_step(self.phi, kept.gradient, self._rates)))
        return self.phi

    @property
    def jacobian(self) -> Jacobian:
        """J at θ, from the kept graphs."""
        hessians = [] if self._first_order else [kept.hessian_product for kept in self._kept]
        return Jacobian(self.gradients, hessians, self._rates)

    def point(self, outer_batch: Any) -> FisherPoint:
        """Return what `fisher_product` needs to know of this adaptation."""
        return FisherPoint(self.phis, self.batches, self.gradients, self._rates, outer_batch)


class FisherPoint(NamedTuple):
    """A Fisher product is taken at this point, which holds tensors only."""

    phis: list[Params]  # φ_0 … φ_K
    batches: list[Any]  # of the K inner steps
    gradients: list[Params]  # g_0 … g_{K−1}
    rates: Params  # α
    outer_batch: Any  # what the KL is taken on


def fisher_product(
    inner: LossFn,
    outputs: Callable[[Params, Any], Any],
    kl: Callable[[Any, Any], Tensor],
    *,
    first_order: bool,
) -> Callable[[FisherPoint, Meta], Meta]:
    """(point, v) ↦ Jᵀ F J v as one function without kept graphs, to be traced by a `LinearMap`.

    Args:
        inner: `(params, batch) -> scalar`, what adaptation descends.
        outputs: `(params, batch) -> tree`, what the policy says about the outer batch.
        kl: `(outputs, batch) -> scalar`, KL(behaviour ‖ outputs), zero at φ_old.
        first_order: take J = I.
    """

    def product(point: FisherPoint, v: Meta) -> Meta:
        steps = list(zip(point.phis, point.batches, strict=False))
        hessians = [] if first_order else [hessian(inner, phi, batch) for phi, batch in steps]
        jacobian = Jacobian(point.gradients, hessians, point.rates)
        fisher = gauss_newton(outputs, kl, point.phis[-1], point.outer_batch)
        return jacobian.fisher(v, fisher)

    return product


def hessian(loss: Callable[[Any, Any], Tensor], at: Any, batch: Any) -> Callable[[Any], Any]:
    """v ↦ ∇²loss · v, forward over reverse."""
    gradient = torch.func.grad(loss)
    at = pytree.tree_map(Tensor.contiguous, at)  # no tangent fits a broadcast tensor
    return lambda v: torch.func.jvp(lambda x: gradient(x, batch), (at,), (v,))[1]


def gauss_newton(
    outputs: Callable[[Params, Any], Any],
    loss: Callable[[Any, Any], Tensor],
    at: Params,
    batch: Any,
) -> Product:
    """v ↦ Gᵀ ∇²loss G v with G = ∂outputs/∂params.

    It is the Hessian of loss(outputs(params)) where the gradient of the loss in the outputs is
    zero, as that of the KL is at φ_old: the second derivatives of the network then drop out.
    """
    at = map_params(Tensor.contiguous, at)

    def f(params: Params) -> Any:
        return outputs(params, batch)

    def product(v: Params) -> Params:
        pair = torch.func.jvp(f, (at,), (v,))
        curved = hessian(loss, pair[0], batch)(pair[1])
        pull = torch.func.vjp(f, at)[1]
        result: Params = pull(curved)[0]
        return result

    return product

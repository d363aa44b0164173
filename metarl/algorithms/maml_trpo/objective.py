"""The outer problem of MAML: surrogate, KL and Fisher product of adapt(θ), averaged over tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metarl.algorithms.maml_trpo.state import MetaState
from metarl.core.adapt import LossFn, adapt, adapt_values
from metarl.core.compile.linear import LinearMap
from metarl.core.compile.traced import Traced
from metarl.core.fisher import Adaptation, KeptGradient, Meta, fisher_product
from metarl.core.mapping import Workers, stack_tasks, unstack_tasks
from metarl.core.params import Params, broadcast, flatten, leaves, map_params, unflatten
from metarl.core.trust_region import Candidate


class Losses(NamedTuple):
    """These losses are descended, or bound the step, of one task or of T stacked ones."""

    inner: LossFn  # (params, batch) -> scalar, what adaptation descends
    outputs: Callable[[Params, Any], Any]  # (params, batch) -> distributions of the policy
    surrogate: Callable[[Any, Any], Tensor]  # (outputs, batch) -> scalar, of the outer step
    kl: Callable[[Any, Any], Tensor]  # (outputs, batch) -> scalar, KL(behaviour ‖ outputs)

    def stacked(self) -> Losses:
        """Return those of T stacked tasks: sums, so that gradients and Hessians stay per task."""
        outputs = torch.func.vmap(self.outputs)
        return Losses(_summed(self.inner), outputs, _summed(self.surrogate), _summed(self.kl))


def _summed(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda params, batch: torch.func.vmap(loss)(params, batch).sum()


class Setting(NamedTuple):
    """A setting says how the outer problem is posed and computed."""

    losses: Losses  # of one task
    first_order: bool = False  # drop second derivatives
    learn_rates: bool = False  # α is part of the meta-parameters
    stacked: bool = False  # one vmapped call for all tasks (fast on a GPU)
    product: LinearMap[Any, Meta, Meta] | None = None  # Fisher product; None keeps graphs
    candidate: Traced[..., tuple[Tensor, Tensor]] | None = None  # surrogate and KL; None is eager

    def traced(self, *, compiled: bool) -> Setting:
        """Trace the Fisher product, and a candidate of the line search, as one function each."""
        losses = self.losses.stacked() if self.stacked else self.losses
        product = fisher_product(
            losses.inner, losses.outputs, losses.kl, first_order=self.first_order
        )

        def candidate(
            theta: Params, rates: Params, inner: Any, outer: Any
        ) -> tuple[Tensor, Tensor]:
            outputs = losses.outputs(adapt(theta, inner, losses.inner, rates), outer)
            return losses.surrogate(outputs, outer), losses.kl(outputs, outer)

        return self._replace(
            product=LinearMap(product, compiled=compiled),
            candidate=Traced(candidate, compiled=compiled),
        )


class _Part:
    """One task, or all tasks stacked: its adaptation with graphs, and its data."""

    def __init__(self, state: MetaState, setting: Setting, stacked: int) -> None:
        self._stacked = stacked
        self._setting = setting
        self._losses = setting.losses.stacked() if stacked else setting.losses
        theta, rates, *_ = self._lift(state)
        self.adaptation = Adaptation(
            theta, self._losses.inner, rates, first_order=setting.first_order
        )
        self._product: Callable[[Meta], Meta] | None = None

    def _lift(self, state: MetaState) -> MetaState:
        if not self._stacked:
            return state
        rates = broadcast(state.rates, self._stacked)
        # Scalar rates need trailing axes to broadcast against [T, …].
        rates = {
            k: a.reshape(*a.shape, *[1] * (state.theta[k].dim() - a.dim() + 1))
            for k, a in rates.items()
        }
        return MetaState(broadcast(state.theta, self._stacked), rates)

    def _flat(self, meta: Meta) -> Tensor:
        """Meta-gradient as one vector `[P]`, summed over stacked tasks."""
        trees = [meta.theta, meta.rates] if self._setting.learn_rates else [meta.theta]
        return torch.cat(
            [flatten({k: p.sum(0) if self._stacked else p for k, p in t.items()}) for t in trees]
        )

    def inner_step(self, batch: Any) -> Params:
        return self.adaptation.step(batch)

    def set_outer(self, batch: Any) -> None:
        """Freeze the post-adaptation data."""
        self._outer_batch = batch

    def start(self) -> tuple[float, Tensor]:
        """Surrogate at θ_old and its meta-gradient."""
        phi = leaves(self.adaptation.phi)
        outputs = self._losses.outputs(phi, self._outer_batch)
        surrogate = self._losses.surrogate(outputs, self._outer_batch)
        gradient = torch.autograd.grad(surrogate, list(phi.values()), materialize_grads=True)
        u = dict(zip(phi, gradient, strict=True))
        pulled = self.adaptation.jacobian.pull(u, rates=self._setting.learn_rates)
        return float(surrogate.detach()), self._flat(pulled)

    def fisher(self, v: MetaState) -> Tensor:
        """JᵀFJ v of the task; the first product prepares the others."""
        lifted = self._lift(v)
        direction = Meta(lifted.theta, lifted.rates if self._setting.learn_rates else {})
        if self._product is None:
            self._product = self._make_product(direction)
        return self._flat(self._product(direction))

    def _make_product(self, like: Meta) -> Callable[[Meta], Meta]:
        if self._setting.product is not None:
            return self._setting.product.at(self.adaptation.point(self._outer_batch), like)
        kl = KeptGradient(self._kl, self.adaptation.phi)
        jacobian = self.adaptation.jacobian
        return lambda v: jacobian.fisher(v, kl.hessian_product)

    def evaluate(self, state: MetaState) -> tuple[float, float]:
        theta, rates, *_ = self._lift(state)
        if self._setting.candidate is not None:
            batches = self.adaptation.batches
            surrogate, kl = self._setting.candidate(theta, rates, batches, self._outer_batch)
            return float(surrogate), float(kl)
        phi = adapt_values(theta, self.adaptation.batches, self._losses.inner, rates)
        with torch.no_grad():
            outputs = self._losses.outputs(phi, self._outer_batch)
            surrogate = self._losses.surrogate(outputs, self._outer_batch)
            return float(surrogate), float(self._losses.kl(outputs, self._outer_batch))

    def _kl(self, phi: Params) -> Tensor:
        return self._losses.kl(self._losses.outputs(phi, self._outer_batch), self._outer_batch)


class MetaObjective:
    """Collects one iteration's data, then answers the trust region's questions.

    Tasks are treated one at a time, spread over the workers, or (`stacked`) all in one call.
    Means over tasks are taken in the order of the tasks, so that the number of threads cannot
    change a bit of the result.
    """

    def __init__(
        self, state: MetaState, num_tasks: int, setting: Setting, workers: Workers
    ) -> None:
        """Pose the outer problem of T tasks at θ_old.

        Args:
            state: θ_old and α.
            num_tasks: T.
            setting: how the outer problem is posed and computed.
            workers: threads for one task at a time (fast on a CPU).
        """
        self.num_tasks = num_tasks
        self._state = state
        self._learn_rates = setting.learn_rates
        self._stacked = setting.stacked
        self._workers = workers
        count, size = (1, num_tasks) if setting.stacked else (num_tasks, 0)
        self._parts = [_Part(state, setting, size) for _ in range(count)]

    def inner_step(self, batches: Any) -> Params:
        """Adapt every task on its batch (`[T, …]` in every field); returns φ `[T, …]`."""
        self._map(_Part.inner_step, self._rows(batches))
        return self.phi

    @property
    def phi(self) -> Params:
        """The adapted parameters `[T, …]`."""
        phis = [part.adaptation.phi for part in self._parts]
        return phis[0] if self._stacked else stack_tasks(phis)

    def inner_gradient_norm(self) -> Tensor:
        """Norm of the latest inner gradient, averaged over tasks: a scalar without a graph."""
        gradients = [part.adaptation.gradients[-1] for part in self._parts]
        if self._stacked:
            norms = torch.cat([p.flatten(1) for p in gradients[0].values()], 1).norm(dim=1)
        else:
            norms = torch.stack([flatten(g).norm() for g in gradients])
        mean: Tensor = norms.mean().detach()
        return mean

    def set_outer(self, batches: Any) -> None:
        """Freeze the post-adaptation data (`[T, …]` in every field)."""
        self._map(_Part.set_outer, self._rows(batches))

    def vector(self) -> Tensor:
        """The meta-parameters as one vector `[P]`: θ, then α where it is learned."""
        theta = flatten(self._state.theta)
        return torch.cat([theta, flatten(self._state.rates)]) if self._learn_rates else theta

    def state(self, vector: Tensor) -> MetaState:
        """The inverse of `vector`.

        Copies, aligned as torch aligns its own memory: on some processors a product's last bits
        depend on that, and a resumed run is to compute the same as an uninterrupted one.
        """
        theta, rates = self._state.theta, self._state.rates
        first, second = vector.chunk(2) if self._learn_rates else (vector, None)
        theta = map_params(torch.clone, unflatten(first, theta))
        if second is not None:
            rates = map_params(torch.clone, unflatten(second, rates))
        return self._state._replace(theta=theta, rates=rates)

    def start(self) -> tuple[float, Tensor]:
        """The surrogate at θ_old and its gradient `[P]`."""
        values, gradients = zip(*self._map(_Part.start), strict=True)
        return sum(values) / self.num_tasks, self._mean(gradients)

    def fisher(self, vector: Tensor) -> Tensor:
        """JᵀFJ · vector, averaged over tasks."""
        v = self.state(vector)
        return self._mean(self._map(lambda part: part.fisher(v)))

    def evaluate(self, vector: Tensor) -> Candidate:
        """Surrogate and KL at other meta-parameters, re-adapting on the same data."""
        state = self.state(vector)
        pairs = self._map(lambda part: part.evaluate(state))
        surrogate, kl = (sum(column) / self.num_tasks for column in zip(*pairs, strict=True))
        return Candidate(surrogate, kl)

    def _mean(self, vectors: Any) -> Tensor:
        return torch.stack(list(vectors)).sum(0) / self.num_tasks

    def _rows(self, batches: Any) -> list[Any]:
        return [batches] if self._stacked else unstack_tasks(batches)

    def _map(self, fn: Callable[..., Any], *columns: list[Any]) -> list[Any]:
        return self._workers.map(fn, self._parts, *columns)

"""The outer problem of MAML: surrogate, KL and Fisher product of adapt(θ), averaged over tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metarl.core.adapt import LossFn, adapt
from metarl.core.fisher import Adaptation, FisherProduct, Meta
from metarl.core.mapping import Workers, stack_tasks, unstack_tasks
from metarl.core.params import Params, broadcast, flatten, leaves, unflatten, unstack
from metarl.core.trust_region import Trial


class MetaState(NamedTuple):
    """Everything that meta-training changes."""

    theta: Params  # θ, the initial policy parameters
    rates: Params  # α, the inner learning rates: scalars, or shaped like θ when learned
    normalizer: Params = {}  # statistics of the observations; empty without normalisation  # noqa: RUF012

    def tensors(self) -> dict[str, Tensor]:
        """A flat dictionary for a checkpoint."""
        return {
            f"{group}/{name}": p
            for group, params in self._asdict().items()
            for name, p in params.items()
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> MetaState:
        """The inverse of `tensors`."""

        def group(prefix: str) -> Params:
            named = sorted(tensors.items())  # a file does not keep the order that sums depend on
            return {k.removeprefix(prefix): p for k, p in named if k.startswith(prefix)}

        return cls(group("theta/"), group("rates/"), group("normalizer/"))


class Losses(NamedTuple):
    """The three functions `(params, batch) -> scalar` of one task."""

    inner: LossFn  # what adaptation descends
    surrogate: LossFn  # what the outer step descends
    kl: LossFn  # KL(behaviour ‖ params), what bounds the outer step


def _summed(loss: LossFn) -> LossFn:
    """The loss of T stacked tasks: the sum, so that gradients and Hessians stay per task."""
    return lambda params, batch: torch.func.vmap(loss)(params, batch).sum()


class _Part:
    """One task, or all tasks stacked: its adaptation with graphs, and its data."""

    def __init__(
        self, state: MetaState, losses: Losses, first_order: bool, learn_rates: bool, stacked: int
    ) -> None:
        self._stacked = stacked
        self._like = state
        self._first_order = first_order
        self._learn_rates = learn_rates
        self._losses = Losses(*map(_summed, losses)) if stacked else losses
        self._inner_batches: list[Any] = []
        theta, rates, _ = self._lift(state)
        self.adaptation = Adaptation(theta, self._losses.inner, rates, first_order=first_order)

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
        trees = [meta.theta, meta.rates] if self._learn_rates else [meta.theta]
        return torch.cat(
            [flatten({k: p.sum(0) if self._stacked else p for k, p in t.items()}) for t in trees]
        )

    def inner_step(self, batch: Any) -> Params:
        self._inner_batches.append(batch)
        return self.adaptation.step(batch)

    def set_outer(self, batch: Any) -> None:
        """Freeze the post-adaptation data and build the graph of the KL's gradient."""
        self._outer_batch = batch
        self._fisher = FisherProduct(self.adaptation, lambda phi: self._losses.kl(phi, batch))

    def start(self) -> tuple[float, Tensor]:
        """Surrogate at θ_old and its meta-gradient."""
        phi = leaves(self.adaptation.phi)
        surrogate = self._losses.surrogate(phi, self._outer_batch)
        gradient = torch.autograd.grad(surrogate, list(phi.values()), materialize_grads=True)
        u = dict(zip(phi, gradient, strict=True))
        return float(surrogate.detach()), self._flat(
            self.adaptation.pull(u, rates=self._learn_rates)
        )

    def fisher(self, v: MetaState) -> Tensor:
        lifted = self._lift(v)
        direction = Meta(lifted.theta, lifted.rates if self._learn_rates else {})
        return self._flat(self._fisher(direction))

    def evaluate(self, state: MetaState) -> tuple[float, float]:
        theta, rates, _ = self._lift(state)
        phi = adapt(theta, self._inner_batches, self._losses.inner, rates)
        with torch.no_grad():
            return (
                float(self._losses.surrogate(phi, self._outer_batch)),
                float(self._losses.kl(phi, self._outer_batch)),
            )


class MetaObjective:
    """Collects one iteration's data, then answers the trust region's questions.

    Tasks are treated one at a time, spread over the workers, or (`stacked`) all in one call.
    Means over tasks are taken in the order of the tasks, so that the number of threads cannot
    change a bit of the result.
    """

    def __init__(
        self,
        state: MetaState,
        num_tasks: int,
        losses: Losses,
        *,
        first_order: bool,
        learn_rates: bool,
        stacked: bool,
        workers: Workers,
    ) -> None:
        """Args:
        state: θ_old and α.
        num_tasks: T.
        losses: of one task.
        first_order: drop second derivatives.
        learn_rates: α is part of the meta-parameters.
        stacked: one vmapped call for all tasks (fast on a GPU).
        workers: threads for one task at a time (fast on a CPU).
        """
        self.num_tasks = num_tasks
        self._state = state
        self._learn_rates = learn_rates
        self._stacked = stacked
        self._workers = workers
        count, size = (1, num_tasks) if stacked else (num_tasks, 0)
        self._parts = [_Part(state, losses, first_order, learn_rates, size) for _ in range(count)]

    def inner_step(self, batches: Any) -> Params:
        """Adapt every task on its batch (`[T, …]` in every field); returns φ `[T, …]`."""
        self._map(_Part.inner_step, self._rows(batches))
        return self.phi

    @property
    def phi(self) -> Params:
        """The adapted parameters `[T, …]`."""
        phis = [part.adaptation.phi for part in self._parts]
        return phis[0] if self._stacked else stack_tasks(phis)

    def inner_gradient_norm(self) -> float:
        """Norm of the latest inner gradient, averaged over tasks."""
        gradients = [part.adaptation.gradients[-1] for part in self._parts]
        rows = unstack(gradients[0]) if self._stacked else gradients
        return float(torch.stack([flatten(g).norm() for g in rows]).mean())

    def set_outer(self, batches: Any) -> None:
        """Freeze the post-adaptation data (`[T, …]` in every field)."""
        self._map(_Part.set_outer, self._rows(batches))

    def vector(self) -> Tensor:
        """The meta-parameters as one vector `[P]`: θ, then α where it is learned."""
        theta = flatten(self._state.theta)
        return torch.cat([theta, flatten(self._state.rates)]) if self._learn_rates else theta

    def state(self, vector: Tensor) -> MetaState:
        """The inverse of `vector`."""
        theta, rates, normalizer = self._state
        if not self._learn_rates:
            return MetaState(unflatten(vector, theta), rates, normalizer)
        first, second = vector.chunk(2)
        return MetaState(unflatten(first, theta), unflatten(second, rates), normalizer)

    def start(self) -> tuple[float, Tensor]:
        """The surrogate at θ_old and its gradient `[P]`."""
        values, gradients = zip(*self._map(_Part.start), strict=True)
        return sum(values) / self.num_tasks, self._mean(gradients)

    def fisher(self, vector: Tensor) -> Tensor:
        """JᵀFJ · vector, averaged over tasks."""
        v = self.state(vector)
        return self._mean(self._map(lambda part: part.fisher(v)))

    def evaluate(self, vector: Tensor) -> Trial:
        """Surrogate and KL at other meta-parameters, re-adapting on the same data."""
        state = self.state(vector)
        pairs = self._map(lambda part: part.evaluate(state))
        surrogate, kl = (sum(column) / self.num_tasks for column in zip(*pairs, strict=True))
        return Trial(surrogate, kl)

    def _mean(self, vectors: Any) -> Tensor:
        return torch.stack(list(vectors)).sum(0) / self.num_tasks

    def _rows(self, batches: Any) -> list[Any]:
        return [batches] if self._stacked else unstack_tasks(batches)

    def _map(self, fn: Callable[..., Any], *columns: list[Any]) -> list[Any]:
        return self._workers.map(fn, self._parts, *columns)

"""The outer problem of MAML after every inner step: over the policies of 1, 2, … K steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from metarl.algorithms.maml_trpo.objective import MetaObjective, Setting
from metarl.algorithms.maml_trpo.state import MetaState
from metarl.core.mapping import Workers
from metarl.core.params import Params
from metarl.core.trust_region import Candidate


class MultiStepObjective:
    """A weighted mean of the surrogates after 1 … K steps, and of their KLs, for those after K.

    The multi-step loss of MAML++ (arXiv 1810.09502, section 4). One `MetaObjective` per number of
    steps, each with its own Jacobian; they share their data.
    """

    def __init__(
        self,
        state: MetaState,
        num_tasks: int,
        setting: Setting,
        workers: Workers,
        shares: Sequence[float],
    ) -> None:
        """Take what `MetaObjective` takes, and as `shares` the K weights, K ≥ 1, of sum 1."""
        self._after = [MetaObjective(state, num_tasks, setting, workers) for _ in shares]
        self._shares = shares
        self._taken = 0

    def inner_step(self, batches: Any) -> Params:
        """Adapt every task on its batch (`[T, …]` in every field); returns φ `[T, …]`."""
        phis = [objective.inner_step(batches) for objective in self._after[self._taken :]]
        self._taken += 1
        return phis[0]

    def inner_gradient_norm(self) -> Tensor:
        """Norm of the latest inner gradient, averaged over tasks."""
        return self._after[self._taken - 1].inner_gradient_norm()

    def set_outer(self, batches: Any) -> None:
        """Freeze the data after as many steps as were taken; those before the first are no use."""
        if self._taken:
            self._after[self._taken - 1].set_outer(batches)

    def vector(self) -> Tensor:
        """The meta-parameters as one vector `[P]`."""
        return self._after[0].vector()

    def state(self, vector: Tensor) -> MetaState:
        """The inverse of `vector`."""
        return self._after[0].state(vector)

    def start(self) -> tuple[float, Tensor]:
        """The mean surrogate at θ_old and its gradient `[P]`."""
        values, gradients = zip(*(each.start() for each in self._after), strict=True)
        return self._mean(values), self._mean(gradients)

    def fisher(self, vector: Tensor) -> Tensor:
        """The mean of JᵀFJ · vector over the numbers of steps."""
        product: Tensor = self._mean([each.fisher(vector) for each in self._after])
        return product

    def evaluate(self, vector: Tensor) -> Candidate:
        """Mean surrogate and mean KL at other meta-parameters, re-adapting on the same data."""
        columns = zip(*(each.evaluate(vector) for each in self._after), strict=True)
        return Candidate(*(self._mean(values) for values in columns))

    def _mean(self, values: Sequence[Any]) -> Any:
        return sum(share * value for share, value in zip(self._shares, values, strict=True))

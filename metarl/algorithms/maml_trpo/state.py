"""All that MAML-TRPO keeps from one iteration to the next."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from metarl.core.params import Params


class MetaState(NamedTuple):
    """Everything that meta-training changes."""

    theta: Params  # θ, the initial policy parameters
    rates: Params  # α, the inner learning rates: scalars, or shaped like θ when learned
    normalizer: Params = {}  # statistics of the observations; empty without normalisation  # noqa: RUF012
    counters: Params = {}  # "iterations" so far; empty where nothing depends on them  # noqa: RUF012

    @property
    def iterations(self) -> int:
        """Return how many iterations led here, where they are counted; else 0."""
        return int(self.counters["iterations"]) if self.counters else 0

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

        return cls(*(group(f"{name}/") for name in cls._fields))

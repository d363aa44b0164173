"""Probabilities, and vectors of probabilities that sum to one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metarl.tasks.distributions.base import Described, Size, everywhere, power, shape_of


@dataclass(frozen=True)
class Beta(Described):
    """Beta(a, b) on [0, 1], for probabilities; Beta(1, 1) is U(0, 1)."""

    a: float = 1.0
    b: float = 1.0
    unit: str = ""
    size: Size = 0

    def __post_init__(self) -> None:
        """Refuse parameters that are not positive."""
        if not (0 < self.a < np.inf and 0 < self.b < np.inf):
            raise ValueError(f"Beta needs finite a, b > 0, got {self.a}, {self.b}")

    def __str__(self) -> str:
        """U(0, 1), or Beta(2, 1)."""
        name = "U(0, 1)" if self.a == self.b == 1 else f"Beta({self.a:g}, {self.b:g})"
        return self.with_unit(name + power(self.size))

    @property
    def bounds(self) -> tuple[float, float]:
        """(0, 1)."""
        return 0.0, 1.0

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, *size]`."""
        return rng.beta(self.a, self.b, shape_of(n, self.size))

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        return everywhere((values >= 0) & (values <= 1))


@dataclass(frozen=True)
class Dirichlet(Described):
    """Probability vectors of `outcomes` entries, Dir(concentration, …); 1 is the flat one."""

    outcomes: int
    concentration: float = 1.0
    unit: str = ""
    size: Size = 0
    """How many vectors; the last axis of a value holds the outcomes."""

    def __post_init__(self) -> None:
        """Refuse what has no density."""
        if self.outcomes < 2 or not 0 < self.concentration < np.inf:
            raise ValueError(
                "Dirichlet needs at least two outcomes and a concentration > 0, "
                f"got {self.outcomes}, {self.concentration}"
            )

    def __str__(self) -> str:
        """Dir(1 × 10)^(10, 5)."""
        return self.with_unit(f"Dir({self.concentration:g} × {self.outcomes}){power(self.size)}")

    @property
    def bounds(self) -> tuple[float, float]:
        """(0, 1)."""
        return 0.0, 1.0

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, *size, outcomes]`; the last axis sums to one."""
        return rng.dirichlet(np.full(self.outcomes, self.concentration), shape_of(n, self.size))

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        return everywhere((values >= 0) & (np.abs(values.sum(-1, keepdims=True) - 1) < 1e-6))

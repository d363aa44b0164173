"""Numbers, and vectors of independent numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metarl.tasks.distributions.base import Described, Size, everywhere, power, shape_of


@dataclass(frozen=True)
class Uniform(Described):
    """U(low, high), componentwise independent; out of distribution is half the width above."""

    low: float
    high: float
    unit: str = ""
    size: Size = 0

    def __post_init__(self) -> None:
        """Refuse an empty interval."""
        if not (self.low < self.high and np.isfinite(self.high - self.low)):
            raise ValueError(f"Uniform needs finite low < high, got {self.low}, {self.high}")

    def __str__(self) -> str:
        """U(0, 2) m/s."""
        return self.with_unit(f"U({self.low:g}, {self.high:g}){power(self.size)}")

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, *size]`."""
        return rng.uniform(self.low, self.high, shape_of(n, self.size))

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """U(high, high + (high − low) / 2) in the first component."""
        values = self.sample(n, rng)
        values.reshape(n, -1)[:, 0] = rng.uniform(
            self.high, self.high + (self.high - self.low) / 2, n
        )
        return values

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        return everywhere((values >= self.low) & (values <= self.high))


@dataclass(frozen=True)
class LogUniform(Described):
    """exp U(log low, log high), componentwise; out of distribution is half that width above."""

    low: float
    high: float
    unit: str = ""
    size: Size = 0

    def __post_init__(self) -> None:
        """Refuse an empty interval, or one that is not positive."""
        if not 0 < self.low < self.high < np.inf:
            raise ValueError(f"LogUniform needs 0 < low < high, got {self.low}, {self.high}")

    def __str__(self) -> str:
        """logU(0.5, 2)."""
        return self.with_unit(f"logU({self.low:.3g}, {self.high:.3g}){power(self.size)}")

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, *size]`."""
        logs = rng.uniform(np.log(self.low), np.log(self.high), shape_of(n, self.size))
        return np.clip(np.exp(logs), self.low, self.high)

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Between high and high · √(high / low) in the first component."""
        values = self.sample(n, rng)
        beyond = np.log(self.high / self.low) / 2 * (1 - rng.random(n))
        values.reshape(n, -1)[:, 0] = self.high * np.exp(beyond)
        return values

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        return everywhere((values >= self.low) & (values <= self.high))


@dataclass(frozen=True)
class Normal(Described):
    """N(mean, std²), componentwise independent; every number lies in its support."""

    mean: float
    std: float
    unit: str = ""
    size: Size = 0

    def __post_init__(self) -> None:
        """Refuse a width that is not positive."""
        if not (np.isfinite(self.mean) and 0 < self.std < np.inf):
            raise ValueError(f"Normal needs a finite mean and std > 0, got {self.mean}, {self.std}")

    def __str__(self) -> str:
        """N(1, 1²)."""
        return self.with_unit(f"N({self.mean:g}, {self.std:g}²){power(self.size)}")

    @property
    def bounds(self) -> tuple[float, float]:
        """The whole line."""
        return -np.inf, np.inf

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, *size]`."""
        return rng.normal(self.mean, self.std, shape_of(n, self.size))

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        return everywhere(np.isfinite(values))

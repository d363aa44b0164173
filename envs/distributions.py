"""What a task parameter may be: distributions with bounds, a unit and a JSON form."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np


class Distribution(Protocol):
    """Draws values of one task parameter."""

    @property
    def unit(self) -> str:
        """Unit of the values, empty where they have none."""

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, …]` independent values."""

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, …]` values outside the support, for out-of-distribution evaluation."""

    def contains(self, values: np.ndarray) -> np.ndarray:
        """Which of `[n, …]` values lie in the support, `[n]` bool."""

    def to_json(self) -> dict[str, Any]:
        """The name and the arguments."""


@dataclass(frozen=True)
class Uniform:
    """U(low, high), componentwise independent; out of distribution is the same width above."""

    low: float
    high: float
    unit: str = ""
    size: int = 0
    """Components of a vector parameter; 0 for a scalar."""

    def __post_init__(self) -> None:
        """Refuse an empty interval."""
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"Uniform needs finite low < high, got {self.low}, {self.high}")

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n]` or `[n, size]`."""
        return rng.uniform(self.low, self.high, (n, self.size) if self.size else n)

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """U(high, high + (high − low) / 2) in the first component."""
        values = self.sample(n, rng)
        first = values[:, 0] if self.size else values
        first[...] = rng.uniform(self.high, self.high + (self.high - self.low) / 2, n)
        return values

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        inside: np.ndarray = (values >= self.low) & (values <= self.high)
        return np.all(inside, axis=-1) if self.size else inside

    def to_json(self) -> dict[str, Any]:
        """The name and the arguments."""
        return {"distribution": "uniform", **asdict(self)}


@dataclass(frozen=True)
class Choice:
    """One of finitely many values, equally likely; nothing lies outside in a useful sense."""

    values: tuple[float, ...]
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuse an empty choice."""
        if not self.values:
            raise ValueError("Choice needs at least one value")

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n]`."""
        return np.asarray(self.values, dtype=np.float64)[rng.integers(len(self.values), size=n)]

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Always refused: a finite set of tasks has no outside."""
        raise ValueError(
            f"a choice among {self.values} has no values out of distribution; "
            "use the split 'train' or 'test', which coincide for a finite family"
        )

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        return np.isin(values, self.values)

    def to_json(self) -> dict[str, Any]:
        """The name and the arguments."""
        return {"distribution": "choice", **asdict(self)}

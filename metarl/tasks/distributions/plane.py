"""Points of the plane."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np

from metarl.tasks.distributions.base import Described


@dataclass(frozen=True)
class OnCircle(Described):
    """Points of a circle about the origin at angles U(low, high); outside is the rest of it."""

    radius: float
    low: float = 0.0
    high: float = 2 * pi
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuse what is not an arc."""
        if not (0 < self.radius < np.inf and 0 <= self.low < self.high <= 2 * pi):
            raise ValueError(
                "OnCircle needs a radius > 0 and angles 0 <= low < high <= 2π, "
                f"got {self.radius}, {self.low}, {self.high}"
            )

    def __str__(self) -> str:
        """Circle of radius 1 m, 0 to 3.14 rad."""
        whole = self.high - self.low >= 2 * pi
        arc = "" if whole else f", {self.low:.3g} to {self.high:.3g} rad"
        return self.with_unit(f"circle of radius {self.radius:g}") + arc

    @property
    def bounds(self) -> tuple[float, float]:
        """(−radius, radius)."""
        return -self.radius, self.radius

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, 2]`."""
        return self._at(rng.uniform(self.low, self.high, n))

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, 2]` on the rest of the circle.

        Raises:
            ValueError: the arc is the whole circle.
        """
        if self.high - self.low >= 2 * pi:
            self.refuse("is the whole circle")
        return self._at(rng.uniform(self.high, self.low + 2 * pi, n))

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        angle = np.arctan2(values[:, 1], values[:, 0]) % (2 * pi)
        on = np.abs(np.hypot(values[:, 0], values[:, 1]) - self.radius) < 1e-6 * self.radius
        return np.asarray(on & (angle >= self.low) & (angle <= self.high))

    def _at(self, angle: np.ndarray) -> np.ndarray:
        return self.radius * np.stack([np.cos(angle), np.sin(angle)], -1)


@dataclass(frozen=True)
class InDisk(Described):
    """Points of a disk about the origin, uniform in area; the outside is the ring around it."""

    radius: float
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuse a radius that is not positive."""
        if not 0 < self.radius < np.inf:
            raise ValueError(f"InDisk needs a radius > 0, got {self.radius}")

    def __str__(self) -> str:
        """Disk of radius 3 m."""
        return self.with_unit(f"disk of radius {self.radius:g}")

    @property
    def bounds(self) -> tuple[float, float]:
        """(−radius, radius)."""
        return -self.radius, self.radius

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, 2]`."""
        return _ring(n, rng, 0.0, self.radius)

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, 2]`, between the radius and one and a half times it."""
        return _ring(n, rng, self.radius, 1.5 * self.radius)

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        return np.asarray(np.hypot(values[:, 0], values[:, 1]) <= self.radius)


def _ring(n: int, rng: np.random.Generator, inner: float, outer: float) -> np.ndarray:
    """`[n, 2]` points between two radii, uniform in area."""
    angle = rng.uniform(0.0, 2 * pi, n)
    radius = np.sqrt(rng.uniform(inner**2, outer**2, n))
    points: np.ndarray = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    return points

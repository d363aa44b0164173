"""What a task parameter may be: distributions with bounds, a unit and a JSON form."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from math import pi
from typing import Any, NoReturn, Protocol

import numpy as np

Size = int | tuple[int, ...]
"""Components of one value: 0 for a scalar, n for a vector, (m, n) for a matrix of them."""


class Distribution(Protocol):
    """Draws values of one task parameter; `str()` is its short form for people."""

    @property
    def unit(self) -> str:
        """Unit of the values, empty where they have none."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest number that a component of a value may be."""

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, …]` independent values."""

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, …]` values outside the support, for out-of-distribution evaluation."""

    def contains(self, values: np.ndarray) -> np.ndarray:
        """Which of `[n, …]` values lie in the support, `[n]` bool."""

    def to_json(self) -> dict[str, Any]:
        """The name and the arguments."""


class _Described:
    """The JSON form of a distribution, and the refusal where it has no outside."""

    unit: str

    def to_json(self) -> dict[str, Any]:
        """The name and the arguments."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()
        return {"distribution": name, **asdict(self)}  # type: ignore[call-overload]

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Always refused: nothing useful lies outside.

        Raises:
            ValueError: says which splits there are.
        """
        self._refuse("covers all that there is")

    def _refuse(self, why: str) -> NoReturn:
        raise ValueError(
            f"{self} {why}: no values out of distribution; use the split 'train' or 'test'"
        )

    def _with_unit(self, text: str) -> str:
        return f"{text} {self.unit}".rstrip()


@dataclass(frozen=True)
class Uniform(_Described):
    """U(low, high), componentwise independent; out of distribution is half the width above."""

    low: float
    high: float
    unit: str = ""
    size: Size = 0

    def __post_init__(self) -> None:
        """Refuse an empty interval."""
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"Uniform needs finite low < high, got {self.low}, {self.high}")

    def __str__(self) -> str:
        """U(0, 2) m/s."""
        return self._with_unit(f"U({self.low:g}, {self.high:g}){_power(self.size)}")

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, *size]`."""
        return rng.uniform(self.low, self.high, _shape(n, self.size))

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """U(high, high + (high − low) / 2) in the first component."""
        values = self.sample(n, rng)
        values.reshape(n, -1)[:, 0] = rng.uniform(
            self.high, self.high + (self.high - self.low) / 2, n
        )
        return values

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        return _all((values >= self.low) & (values <= self.high))


@dataclass(frozen=True)
class LogUniform(_Described):
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
        return self._with_unit(f"logU({self.low:.3g}, {self.high:.3g}){_power(self.size)}")

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, *size]`."""
        logs = rng.uniform(np.log(self.low), np.log(self.high), _shape(n, self.size))
        return np.clip(np.exp(logs), self.low, self.high)

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Between high and high · √(high / low) in the first component."""
        values = self.sample(n, rng)
        beyond = np.log(self.high / self.low) / 2 * (1 - rng.random(n))
        values.reshape(n, -1)[:, 0] = self.high * np.exp(beyond)
        return values

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        return _all((values >= self.low) & (values <= self.high))


@dataclass(frozen=True)
class Normal(_Described):
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
        return self._with_unit(f"N({self.mean:g}, {self.std:g}²){_power(self.size)}")

    @property
    def bounds(self) -> tuple[float, float]:
        """The whole line."""
        return -np.inf, np.inf

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, *size]`."""
        return rng.normal(self.mean, self.std, _shape(n, self.size))

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        return _all(np.isfinite(values))


@dataclass(frozen=True)
class Beta(_Described):
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
        return self._with_unit(name + _power(self.size))

    @property
    def bounds(self) -> tuple[float, float]:
        """(0, 1)."""
        return 0.0, 1.0

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, *size]`."""
        return rng.beta(self.a, self.b, _shape(n, self.size))

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        return _all((values >= 0) & (values <= 1))


@dataclass(frozen=True)
class Dirichlet(_Described):
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
        return self._with_unit(f"Dir({self.concentration:g} × {self.outcomes}){_power(self.size)}")

    @property
    def bounds(self) -> tuple[float, float]:
        """(0, 1)."""
        return 0.0, 1.0

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n, *size, outcomes]`; the last axis sums to one."""
        return rng.dirichlet(np.full(self.outcomes, self.concentration), _shape(n, self.size))

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        return _all((values >= 0) & (np.abs(values.sum(-1, keepdims=True) - 1) < 1e-9))


@dataclass(frozen=True)
class OnCircle(_Described):
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
        """Circle of radius 1 m, angle U(0, 3.14)."""
        circle = self._with_unit(f"circle of radius {self.radius:g}")
        return f"{circle}, angle U({self.low:.3g}, {self.high:.3g})"

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
            self._refuse("is the whole circle")
        return self._at(rng.uniform(self.high, self.low + 2 * pi, n))

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        angle = np.arctan2(values[:, 1], values[:, 0]) % (2 * pi)
        on = np.abs(np.hypot(values[:, 0], values[:, 1]) - self.radius) < 1e-9 * self.radius
        return np.asarray(on & (angle >= self.low) & (angle <= self.high))

    def _at(self, angle: np.ndarray) -> np.ndarray:
        return self.radius * np.stack([np.cos(angle), np.sin(angle)], -1)


@dataclass(frozen=True)
class InDisk(_Described):
    """Points of a disk about the origin, uniform in area; the outside is the ring around it."""

    radius: float
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuse a radius that is not positive."""
        if not 0 < self.radius < np.inf:
            raise ValueError(f"InDisk needs a radius > 0, got {self.radius}")

    def __str__(self) -> str:
        """Disk of radius 3 m."""
        return self._with_unit(f"disk of radius {self.radius:g}")

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


@dataclass(frozen=True)
class Choice(_Described):
    """One of finitely many numbers or vectors, equally likely; it has no useful outside."""

    values: tuple[float, ...] | tuple[tuple[float, ...], ...]
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuse an empty choice."""
        if not self.values:
            raise ValueError("Choice needs at least one value")

    def __str__(self) -> str:
        """{-1, 1}, or how many there are."""
        low, high = self.bounds
        listed = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in self.values)
        many = f"one of {len(self.values)} in {low:g} … {high:g}"
        return self._with_unit(many if len(self.values) > 4 else "{" + listed + "}")

    @property
    def bounds(self) -> tuple[float, float]:
        """The extremes."""
        return float(np.min(self.values)), float(np.max(self.values))

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n]`, or `[n, …]` for vectors."""
        return np.asarray(self.values, dtype=np.float64)[rng.integers(len(self.values), size=n)]

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Always refused: a finite set of tasks has no outside.

        Raises:
            ValueError: says that the splits of a finite family coincide.
        """
        self._refuse("is finite, its splits coincide")

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        known = np.asarray(self.values, dtype=np.float64)
        same = np.asarray(values)[:, None] == known  # [n, number of values, …]
        found: np.ndarray = same.reshape(*same.shape[:2], -1).all(-1).any(-1)
        return found


def _ring(n: int, rng: np.random.Generator, inner: float, outer: float) -> np.ndarray:
    """`[n, 2]` points between two radii, uniform in area."""
    angle = rng.uniform(0.0, 2 * pi, n)
    radius = np.sqrt(rng.uniform(inner**2, outer**2, n))
    points: np.ndarray = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    return points


def _shape(n: int, size: Size) -> tuple[int, ...]:
    """`[n, *size]`."""
    if isinstance(size, tuple):
        return (n, *size)
    return (n, size) if size else (n,)


def _power(size: Size) -> str:
    """How many independent components: nothing for one."""
    if isinstance(size, tuple):
        return f"^({'×'.join(map(str, size))})"
    return f"^{size}" if size else ""


def _all(inside: np.ndarray) -> np.ndarray:
    """`[n, …]` to `[n]`."""
    return np.asarray(inside.reshape(len(inside), -1).all(-1))

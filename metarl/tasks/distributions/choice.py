"""One of finitely many values: numbers, truth values, strings, or vectors of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from metarl.tasks.distributions.base import Described


@dataclass(frozen=True)
class Choice(Described):
    """One of finitely many values or vectors, equally likely; it has no useful outside.

    Whole numbers stay whole, truth values and strings stay what they are.
    """

    values: tuple[Any, ...]
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuse an empty choice, values of several kinds, and numbers that are not finite."""
        object.__setattr__(self, "values", tuple(_tuples(value) for value in self.values))
        if not self.values:
            raise ValueError("Choice needs at least one value")
        kinds = {_kind(leaf) for value in self.values for leaf in _leaves(value)}
        if len(kinds) != 1 or None in kinds:
            raise ValueError(
                "Choice needs numbers, truth values or strings, or vectors of them, all of one "
                f"kind, got {self.values}"
            )
        if kinds == {"number"}:
            try:
                finite = np.isfinite(np.asarray(self.values, dtype=np.float64)).all()
            except ValueError:
                raise ValueError(
                    f"Choice needs vectors of numbers of one length, got {self.values}"
                ) from None
            if not finite:
                raise ValueError(f"Choice needs finite values, got {self.values}")

    def __str__(self) -> str:
        """{-1, 1}, or how many there are."""
        if len(self.values) <= 4:
            listed = ", ".join(_short(value) for value in self.values)
            return self.with_unit("{" + listed + "}")
        low, high = self.bounds
        within = f" in {low:g} … {high:g}" if self.numeric else ""
        return self.with_unit(f"one of {len(self.values)}{within}")

    @cached_property
    def numeric(self) -> bool:
        """It is true where the values are numbers or vectors of numbers."""
        return all(_kind(leaf) == "number" for leaf in _leaves(self.values))

    @property
    def bounds(self) -> tuple[float, float]:
        """The extremes; nan where the values are no numbers."""
        if not self.numeric:
            return float("nan"), float("nan")
        return float(np.min(self.values)), float(np.max(self.values))

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`[n]`, or `[n, …]` for vectors of numbers or of truth values."""
        return self._column[rng.integers(len(self.values), size=n)]

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Always refused: a finite set of tasks has no outside.

        Raises:
            ValueError: says so.
        """
        self.refuse("is finite")

    def contains(self, values: np.ndarray) -> np.ndarray:
        """`[n]` bool."""
        if not self.numeric:
            known = [_tuples(value) for value in self.values]
            return np.array([_tuples(value) in known for value in values], dtype=bool)
        numbers = np.asarray(self.values, dtype=np.float64)
        same = np.asarray(values)[:, None] == numbers  # [n, number of values, …]
        found: np.ndarray = same.reshape(*same.shape[:2], -1).all(-1).any(-1)
        return found

    @cached_property
    def _column(self) -> np.ndarray:
        """All values as a batch, `[number of values, …]`; strings are objects."""
        if self.numeric:
            numbers = np.asarray(self.values)
            return numbers if numbers.dtype.kind == "i" else numbers.astype(np.float64)
        if not any(isinstance(leaf, str) for leaf in _leaves(self.values)):
            return np.asarray(self.values)
        column = np.empty(len(self.values), object)
        for i, value in enumerate(self.values):
            column[i] = _lists(value)
        return column


def _leaves(value: object) -> list[object]:
    """Yield what vectors consist of."""
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def _kind(leaf: object) -> str | None:
    if isinstance(leaf, bool | np.bool_):
        return "truth value"
    if isinstance(leaf, int | float | np.number):
        return "number"
    return "string" if isinstance(leaf, str) else None


def _short(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _tuples(value: Any) -> Any:
    """Vectors as they can be compared."""
    plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return tuple(_tuples(item) for item in plain) if isinstance(plain, list | tuple) else plain


def _lists(value: object) -> object:
    """Vectors as environments know them."""
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value

"""What every distribution of a task parameter has: bounds, a unit and a JSON form."""

from __future__ import annotations

import re
from dataclasses import asdict
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
        """Say which of `[n, …]` values lie in the support, `[n]` bool."""

    def to_json(self) -> dict[str, Any]:
        """The name and the arguments."""


def json_name(kind: type) -> str:
    """Return a distribution's name in the JSON form: `log_uniform` for `LogUniform`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


class Described:
    """The JSON form of a distribution, and the refusal where it has no outside."""

    unit: str

    def to_json(self) -> dict[str, Any]:
        """The name and the arguments."""
        return {"distribution": json_name(type(self)), **asdict(self)}  # type: ignore[call-overload]

    def sample_ood(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Always refused: nothing useful lies outside.

        Raises:
            ValueError: says which splits there are.
        """
        self.refuse("covers all that there is")

    def refuse(self, why: str) -> NoReturn:
        """Raise the error of a distribution without an outside."""
        raise ValueError(
            f"{self} {why}: no values out of distribution; use the split 'train' or 'test'"
        )

    def with_unit(self, text: str) -> str:
        """The text, and the unit where there is one."""
        return f"{text} {self.unit}".rstrip()


def shape_of(n: int, size: Size) -> tuple[int, ...]:
    """`[n, *size]`."""
    if isinstance(size, tuple):
        return (n, *size)
    return (n, size) if size else (n,)


def power(size: Size) -> str:
    """Say how many independent components there are: nothing for one."""
    if isinstance(size, tuple) and len(size) > 1:
        return f"^({'×'.join(map(str, size))})"
    n = size[0] if isinstance(size, tuple) else size
    return f"^{n}" if n else ""


def everywhere(inside: np.ndarray) -> np.ndarray:
    """`[n, …]` to `[n]`."""
    return np.asarray(inside.reshape(len(inside), -1).all(-1))

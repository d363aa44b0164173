"""The user's units and those that are learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Standard:
    """(value − mean) / deviation, number by number; without any, values are left as they are."""

    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: np.ndarray) -> Standard:
        """Over the rows of `[M, D]`; the deviation of a column that is constant is taken as 1."""
        spread = values.std(0)
        spread = np.where(spread > 1e-12 * np.abs(values).max(0), spread, 1.0)
        return cls(tuple(values.mean(0).tolist()), tuple(spread.tolist()))

    def inwards(self, values: Tensor) -> Tensor:
        """Turn values `[…, D]` of the user's into those that are learned, float32."""
        if not self.mean:
            return values.float()
        return ((values.double() - self._row(self.mean, values)) / self._spread(values)).float()

    def outwards(self, values: Tensor) -> Tensor:
        """The inverse, float32."""
        if not self.mean:
            return values
        return (values.double() * self._spread(values) + self._row(self.mean, values)).float()

    def stretched(self, deviations: Tensor) -> Tensor:
        """Turn deviations `[…, D]` of learned values into the user's units, float32."""
        if not self.mean:
            return deviations
        return (deviations.double() * self._spread(deviations)).float()

    def _spread(self, like: Tensor) -> Tensor:
        return self._row(self.deviation, like)

    def _row(self, numbers: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64, device=like.device)


@dataclass(frozen=True)
class Scaling:
    """Inputs and targets are scaled so."""

    x: Standard = Standard()
    y: Standard = Standard()

    def inputs(self, x: Tensor) -> Tensor:
        """Turn inputs `[…]` of the user's into a network's; uint8 images become 0 … 1."""
        return x.float() / 255 if x.dtype == torch.uint8 else self.x.inwards(x)

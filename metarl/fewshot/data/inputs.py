"""What the inputs of a training were like, to tell a support set that is of another kind."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from metarl.fewshot.data.scaling import Standard
from metarl.fewshot.data.task import Source

EXAMPLES = 2000  # that the statistics are of, at least
FAR = 8.0  # deviations of a number that are far outside
_PREFIX = "inputs/"


class OutsideWarning(UserWarning):
    """A support set is far outside what was trained on."""


class InputStatistics(NamedTuple):
    """These statistics are of the examples of training tasks, as they are learned from."""

    mean: Tensor  # [*x_shape], of every number or pixel
    deviation: Tensor  # [*x_shape]
    levels: Tensor  # [2], the range of an example's mean, but for a thousandth on both sides
    spreads: Tensor  # [2], that of the deviation of an example's numbers from it

    @classmethod
    def of(cls, x: Tensor) -> InputStatistics:
        """Compute them of examples `[N, …]`."""
        rows = x.flatten(1).double()
        ends = torch.tensor([0.001, 0.999], dtype=torch.float64, device=x.device)
        level, spread = rows.mean(1), rows.std(1, correction=0)
        found = (
            x.double().mean(0),
            x.double().std(0, correction=0),
            level.quantile(ends),
            spread.quantile(ends),
        )
        return cls(*(part.float().cpu() for part in found))

    @classmethod
    def drawn(
        cls, source: Source, shots: int, queries: int, generator: torch.Generator
    ) -> InputStatistics:
        """Compute them of training tasks of a source."""
        parts: list[Tensor] = []
        while sum(map(len, parts)) < EXAMPLES:
            task = source.sample(1, shots, queries, "train", generator)
            parts += [half.x[0] for half in task]
        return cls.of(torch.cat(parts))

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {f"{_PREFIX}{name}": part for name, part in self._asdict().items()}

    @classmethod
    def apart(cls, tensors: dict[str, Tensor]) -> tuple[InputStatistics | None, dict[str, Tensor]]:
        """Part those of a checkpoint from its other tensors; None where it has none yet."""
        names = [_PREFIX + name for name in cls._fields]
        rest = {name: t for name, t in tensors.items() if name not in names}
        held = all(name in tensors for name in names)
        return cls(*(tensors[name] for name in names)) if held else None, rest

    def doubt(self, x: Tensor, given: Tensor, units: Standard) -> str:
        """Say what is wrong with a support set in a sentence; "" where nothing seems so.

        Args:
            x: inputs `[N, …]` as they are learned from.
            given: the same as the user gave them.
            units: what turns the latter into the former, for rows of numbers.
        """
        if x.dim() == 4:
            return self._images(x.cpu())
        return self._rows(x.flatten(1).cpu(), given.flatten(1).cpu().double(), units)

    def _images(self, x: Tensor) -> str:
        """Compares levels and spreads of images."""
        if self._alike(x):
            return ""
        level, spread = (float(part.median()) for part in _level_and_spread(x))
        said = (
            f"the images to learn from are far outside those of training: an image's mean is "
            f"{level:.2f} and its spread {spread:.2f}, where training had {_range(self.levels)} "
            f"and {_range(self.spreads)}"
        )
        if self._alike(1 - x):
            return (
                f"{said}. Inverted (1 − x, or 255 − x) they would lie inside: light and dark "
                "are the other way round"
            )
        if self._alike(255 * x):
            return f"{said}. Scaled by 255 they would lie inside: they were divided by 255 twice"
        return f"{said}. Look at brightness, contrast, and how much of the image its subject fills"

    def _alike(self, x: Tensor) -> bool:
        """Say whether the middle image lies in the ranges, half as wide again on both sides."""
        pairs = zip(_level_and_spread(x), (self.levels, self.spreads), strict=True)
        return all(_near(float(found.median()), *ends.tolist()) for found, ends in pairs)

    def _rows(self, x: Tensor, given: Tensor, units: Standard) -> str:
        """Compares columns."""
        off = self._far(x)
        if not off:
            return ""
        columns = ", ".join(str(k) for k in off[:5]) + (" …" if len(off) > 5 else "")
        said = (
            "the inputs to learn from are far outside those of training, in the columns "
            f"{columns} (counted from 0)"
        )
        if units.mean and not self._far(given.float()):
            return f"{said}. They look standardised already: give them as they are in the table"
        usual = units.outwards(self.mean.flatten()).double().abs()
        scale = float((given.abs().mean(0) / usual.clamp(min=1e-12)).median())
        if scale > 0 and not self._far(units.inwards(given / scale)):
            times = float(f"{scale:.2g}")
            return f"{said}. Their scale explains it: they are about {times:g} times as large"
        return said

    def _far(self, x: Tensor) -> list[int]:
        """Columns of `[N, D]` that are mostly more than `FAR` deviations from the mean."""
        deviation = self.deviation.flatten().clamp(min=1e-6)
        off = ((x - self.mean.flatten()) / deviation).abs().median(0).values > FAR
        return [k for k, far in enumerate(off.tolist()) if far]


def _level_and_spread(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return both of every image, `[N]` each."""
    rows = x.flatten(1)
    return rows.mean(1), rows.std(1, correction=0)


def _near(value: float, low: float, high: float) -> bool:
    """Say whether it lies in a range, half as wide again and down to a quarter of its lower end."""
    margin = 0.5 * (high - low) + 0.02
    return max(low - margin, low / 4) <= value <= high + margin


def _range(ends: Tensor) -> str:
    low, high = ends.tolist()
    return f"{low:.2f} to {high:.2f}"

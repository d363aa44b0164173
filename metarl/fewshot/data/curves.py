"""Families of functions of one number, to be regressed from a few points."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from metarl.fewshot.data.scaling import Scaling
from metarl.fewshot.data.task import Examples, Kind, Part, Split


class Curves:
    """x ~ U(−5, 5), y = f(x), without noise; parts differ in nothing but their random numbers."""

    name: str
    kind: Kind = "regression"
    x_shape: tuple[int, ...] = (1,)
    outputs = 1
    units = Scaling()

    def describe(self) -> dict[str, Any]:
        """The protocol, as JSON."""
        return {"data": self.name, "tasks": "unlimited: every task is a new function"}

    def require(self, shots: int, queries: int) -> None:
        """Any number of examples can be had."""

    def sample(
        self, tasks: int, shots: int, queries: int, part: Part, generator: torch.Generator
    ) -> Split:
        """`tasks` functions, each at `shots` + `queries` points; see `Source.sample`."""
        x = _uniform((tasks, shots + queries, 1), -5.0, 5.0, generator)
        y = self.values(x, generator)
        support = Examples(x[:, :shots], y[:, :shots])
        return Split(support, Examples(x[:, shots:], y[:, shots:]))

    def values(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """f(x) `[T, N, 1]` of T functions, drawn from the generator."""
        raise NotImplementedError


class Sinusoid(Curves):
    """y = a sin(x − φ), a ~ U(.1, 5), φ ~ U(0, π) (Finn et al. 2017, arXiv 1703.03400, 5.1)."""

    name = "sinusoid"

    def values(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """f(x) `[T, N, 1]` of T sine waves."""
        amplitude, phase = (
            _uniform((len(x), 1, 1), low, high, generator)
            for low, high in ((0.1, 5.0), (0.0, math.pi))
        )
        return amplitude * torch.sin(x - phase)


class Mixture(Curves):
    """Sine waves, lines and steps, a third each: which kind it is must be found out as well.

    Sines as in `Sinusoid`; lines y = s x + b with s, b ~ U(−1, 1) and U(−3, 3); steps from one
    level to another, both ~ U(−4, 4), at a place ~ U(−4, 4).
    """

    name = "mixture"

    def values(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """f(x) `[T, N, 1]` of T functions."""
        size = (len(x), 1, 1)
        ranges = ((0.1, 5.0), (0.0, math.pi), (-1.0, 1.0), (-3.0, 3.0), *[(-4.0, 4.0)] * 3)
        numbers = [_uniform(size, low, high, generator) for low, high in ranges]
        amplitude, phase, slope, offset, left, right, place = numbers
        functions = (
            amplitude * torch.sin(x - phase),
            slope * x + offset,
            torch.where(x < place, left, right),
        )
        which = torch.randint(3, size, generator=generator, device=generator.device)
        return torch.where(
            which == 0, functions[0], torch.where(which == 1, functions[1], functions[2])
        )


def _uniform(size: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    unit = torch.rand(size, generator=generator, device=generator.device)
    return low + (high - low) * unit

"""Few-shot data: a task is a support set to adapt to and a query set to be judged on.

Axes are `[task, example, …]` = T, N. A source is a stock of tasks of one kind; it draws a whole
batch of them at once, from the generator that it is given.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from metarl.fewshot.units import Units

Kind = Literal["regression", "classification"]
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


class Examples(NamedTuple):
    """Inputs and what belongs to them."""

    x: Tensor  # [T, N, …] float32
    y: Tensor  # [T, N, C] float32 targets, or [T, N] int64 classes from 0


class Split(NamedTuple):
    """Both halves of every task; they share no example."""

    support: Examples
    query: Examples


class Source(Protocol):
    """A stock of tasks."""

    @property
    def name(self) -> str:
        """As in the run folder."""

    @property
    def kind(self) -> Kind:
        """What the targets are."""

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Of one input; images are `(channels, height, width)` in 0 … 1."""

    @property
    def outputs(self) -> int:
        """C: numbers per target, or ways."""

    @property
    def units(self) -> Units:
        """What a user's own inputs and targets are measured in."""

    def describe(self) -> dict[str, Any]:
        """The protocol, as JSON: whatever a number that is measured on it depends on.

        Of stored data it has hashes, so that a change of them is noticed.
        """

    def require(self, shots: int, queries: int) -> None:
        """Raises ValueError where the stock cannot give as many examples."""

    def sample(
        self, tasks: int, shots: int, queries: int, part: Part, generator: torch.Generator
    ) -> Split:
        """Draw `tasks` tasks.

        `shots` and `queries` count examples of a class in classification, where the classes of a
        task are different ones in random order, and examples of a task in regression.
        """


@dataclass(frozen=True)
class Form:
    """What a learner must know of its data; enough to use what it has learned without them."""

    name: str
    kind: Kind
    x_shape: tuple[int, ...]
    outputs: int
    units: Units = field(default_factory=Units)

    @classmethod
    def of(cls, source: Source) -> Form:
        """Of a source's tasks."""
        return cls(source.name, source.kind, source.x_shape, source.outputs, source.units)


def take(split: Split, task: int | Tensor) -> Split:
    """One task without the task axis, or some tasks."""
    return Split(*(Examples(half.x[task], half.y[task]) for half in split))


class OnDevice:
    """Tensors that move to a device when they are first asked for there, and stay."""

    def __init__(self, *tensors: Tensor) -> None:
        """Args: tensors: of one device."""
        self._at = {tensors[0].device: tensors}
        self._first = tensors

    def __call__(self, device: torch.device) -> tuple[Tensor, ...]:
        """The tensors there."""
        if device not in self._at:
            self._at[device] = tuple(t.to(device) for t in self._first)
        return self._at[device]


def digest(*arrays: np.ndarray) -> str:
    """The sha256 sum of numbers, their types and their shapes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str} {array.shape} ".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()

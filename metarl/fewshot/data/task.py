"""Few-shot data: a task is a support set to adapt to and a query set to be judged on.

Axes are `[task, example, …]` = T, N. A source is a stock of tasks of one kind; it draws a whole
batch of them at once, from the generator that it is given.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from metarl.fewshot.data.scaling import Scaling

Kind = Literal["regression", "classification"]
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


class DataWarning(UserWarning):
    """Data serve, but not as their owner may think."""


class DrawFailed(ValueError):
    """A source cannot give a task, though it could before."""


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
        """The run folder calls it so."""

    @property
    def kind(self) -> Kind:
        """The targets are of this kind."""

    @property
    def x_shape(self) -> tuple[int, ...]:
        """One input has this shape; images are `(channels, height, width)` in 0 … 1."""

    @property
    def outputs(self) -> int:
        """C: numbers per target, or ways."""

    @property
    def units(self) -> Scaling:
        """A user's own inputs and targets are measured in these."""

    def describe(self) -> dict[str, Any]:
        """The protocol, as JSON: whatever a number that is measured on it depends on.

        Of stored data it has hashes, so that a change of them is noticed.
        """

    def require(self, shots: int, queries: int) -> None:
        """Refuse to give more examples than the stock can; raises ValueError."""

    def sample(
        self, tasks: int, shots: int, queries: int, part: Part, generator: torch.Generator
    ) -> Split:
        """Draw `tasks` tasks.

        `shots` and `queries` count examples of a class in classification, where the classes of a
        task are different ones in random order, and examples of a task in regression.

        Raises ValueError where the part is empty, as that of validation may be.
        """


@runtime_checkable
class Stocked(Protocol):
    """A source whose tasks are drawn from finitely many classes, or are finitely many."""

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """Part -> its classes or tasks, by number; that of validation may be empty."""

    def drawn(
        self, tasks: int, shots: int, queries: int, part: Part, generator: torch.Generator
    ) -> tuple[Split, Tensor]:
        """Draw what `Source.sample` gives, and say what of the part that is, counted from 0.

        The classes that the labels of each task stand for, `[T, ways]`, or the tasks, `[T]`.
        """


def monitored(source: Source) -> Part:
    """The part that a training is watched on: validation, unless the split has left it empty."""
    empty = isinstance(source, Stocked) and not len(source.parts["validation"])
    return "test" if empty else "validation"


def take(split: Split, task: int | Tensor) -> Split:
    """One task without the task axis, or some tasks."""
    return Split(*(Examples(half.x[task], half.y[task]) for half in split))


def joined(splits: list[Split]) -> Split:
    """Tasks after tasks."""
    halves = zip(*splits, strict=True)
    return Split(
        *(Examples(*(torch.cat(part) for part in zip(*half, strict=True))) for half in halves)
    )

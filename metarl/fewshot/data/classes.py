"""Classification tasks out of a stock of labelled examples, drawn for a whole batch at once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metarl.fewshot.data.holdout import HoldOut, Need, with_enough
from metarl.fewshot.data.scaling import Scaling, Standard
from metarl.fewshot.data.spellings import refuse_spellings
from metarl.fewshot.data.storage import OnDevice, digest
from metarl.fewshot.data.task import PARTS, Examples, Kind, Part, Split


@dataclass(frozen=True)
class Stock:
    """Examples by class; the examples of a class lie side by side."""

    x: Tensor  # [M, …], uint8 images or float32 numbers
    first: Tensor  # [classes] int64: where a class begins
    count: Tensor  # [classes] int64: how many examples it has
    names: tuple[str, ...]  # of the classes

    @classmethod
    def of(cls, x: np.ndarray, labels: np.ndarray, names: list[str]) -> Stock:
        """Sort examples `[M, …]` by their labels `[M]` from 0."""
        order = np.argsort(labels, kind="stable")
        count = np.bincount(labels, minlength=len(names))
        first = np.concatenate([[0], np.cumsum(count)[:-1]])
        return cls(
            torch.from_numpy(np.ascontiguousarray(x[order])),
            torch.from_numpy(first.astype(np.int64)),
            torch.from_numpy(count.astype(np.int64)),
            tuple(names),
        )


class Ways(NamedTuple):
    """Classes of a task."""

    held_out: int  # in validation and test
    train: int = 0  # 0 is as held out

    def of(self, part: Part) -> int:
        """Return the classes of a task in a part."""
        return self.train or self.held_out if part == "train" else self.held_out


@dataclass(frozen=True)
class ClassSource:
    """Tasks of some classes each: a `Source`.

    With `rotations`, images turned by 90°, 180° and 270° are classes of their own, in training and
    in evaluation (Santoro et al. 2016, arXiv 1605.06065).
    """

    name: str
    stock: Stock
    parts: dict[str, np.ndarray]  # part -> classes
    ways: Ways
    rotations: bool = False
    protocol: dict[str, Any] = field(default_factory=dict)
    units: Scaling = field(default_factory=Scaling)
    kind: Kind = "classification"

    def __post_init__(self) -> None:
        """Refuse parts of too few classes, and to turn what cannot be; raises ValueError."""
        shape = self.x_shape
        if self.rotations and (len(shape) != 3 or shape[1] != shape[2]):
            raise ValueError(
                f"--rotations on turns square images, but {self.name} has inputs of {list(shape)}"
            )
        turns = 4 if self.rotations else 1
        for part in PARTS:
            ways, classes = self.ways.of(part), len(self.parts[part]) * turns
            if ways < 2:
                raise ValueError(f"--ways must be at least 2, got {ways}")
            if classes < ways and (classes or part != "validation"):
                raise ValueError(
                    f"tasks of {ways} ways need as many classes, but the {part} part of "
                    f"{self.name} has {classes}; lower --ways"
                )

    @property
    def outputs(self) -> int:
        """Classes of a task at most."""
        return max(self.ways.of(part) for part in PARTS)

    @property
    def x_shape(self) -> tuple[int, ...]:
        """One input has this shape."""
        return tuple(self.stock.x.shape[1:])

    def describe(self) -> dict[str, Any]:
        """The protocol; `classes_sha256` tells which classes are in which part."""
        listed = {part: [self.stock.names[i] for i in self.parts[part]] for part in PARTS}
        digest = hashlib.sha256(json.dumps(listed).encode()).hexdigest()
        return {
            "data": self.name,
            "ways": self.ways._asdict(),
            "rotations_as_classes": self.rotations,
            "classes": {part: len(self.parts[part]) for part in PARTS},
            "classes_sha256": digest,
            **self.protocol,
        }

    def require(self, shots: int, queries: int) -> None:
        """Refuse classes with fewer examples than a task takes; raises ValueError."""
        used = np.concatenate([self.parts[part] for part in PARTS])
        count = self.stock.count.numpy()[used]
        if len(count) and count.min() < shots + queries:
            least = used[count.argmin()]
            raise ValueError(
                f"{shots} shots and {queries} queries need {shots + queries} examples of every "
                f"class, but {self.stock.names[least]!r} of {self.name} has {count.min()}; lower "
                "--shots or --queries"
            )

    def sample(
        self, tasks: int, shots: int, queries: int, part: Part, generator: torch.Generator
    ) -> Split:
        """Inputs `[T, ways · n, …]` and classes `[T, ways · n]`; see `Source.sample`."""
        return self.drawn(tasks, shots, queries, part, generator)[0]

    def drawn(
        self, tasks: int, shots: int, queries: int, part: Part, generator: torch.Generator
    ) -> tuple[Split, Tensor]:
        """Draw what `sample` gives, and say which classes of the part the labels are, `[T, ways]`.

        They are counted as in `class_names`. Support sets are in random order, for a learner that
        reads them in order must not find the classes one after another.
        """
        device = generator.device
        turns, ways = 4 if self.rotations else 1, self.ways.of(part)
        x, first, counts, *pools = self._held(device)
        pool = pools[PARTS.index(part)]
        if not len(pool):
            raise ValueError(f"{self.name} has no classes for {part}: its split has left none")
        chosen = _distinct((tasks,), len(pool) * turns, ways, generator)  # [T, W]
        classes, turn = pool[chosen // turns], chosen % turns
        number = shots + queries
        index = first[classes].unsqueeze(-1) + distinct_up_to(
            counts[classes], number, generator
        )  # [T, W, n]
        x = x[index]
        if x.dtype == torch.uint8:
            x = x.float() / 255
        if self.rotations:
            for k in (1, 2, 3):
                x = torch.where(_wide(turn == k, x), torch.rot90(x, k, (-2, -1)), x)
        y = torch.arange(ways, device=device).view(1, -1, 1).expand(*index.shape)
        order = _distinct((tasks,), ways * shots, ways * shots, generator)
        task = torch.arange(tasks, device=device).unsqueeze(-1)
        support = (half[:, :, :shots].flatten(1, 2)[task, order] for half in (x, y))
        query = (half[:, :, shots:].flatten(1, 2) for half in (x, y))
        return Split(Examples(*support), Examples(*query)), chosen

    def class_names(self, part: Part) -> list[str]:
        """Return the names of all classes of a part, those made by rotations too."""
        turns = ("", ", by 90°", ", by 180°", ", by 270°") if self.rotations else ("",)
        return [self.stock.names[i] + turn for i in self.parts[part] for turn in turns]

    @cached_property
    def _held(self) -> OnDevice:
        """Examples, where each class begins, how many it has, and the classes of every part."""
        pools = (torch.from_numpy(self.parts[part]) for part in PARTS)
        return OnDevice(self.stock.x, self.stock.first, self.stock.count, *pools)


def random_classes(
    name: str,
    x: np.ndarray,
    labels: np.ndarray,
    names: list[str],
    ways: Ways,
    hold: HoldOut,
    *,
    rotations: bool = False,
    **protocol: Any,
) -> ClassSource:
    """A source whose classes are held out at random.

    Args:
        name: of the source.
        x: examples `[M, …]`: images, or numbers `[M, D]`, which are standardised with mean and
            deviation of the classes of training.
        labels: of the examples, `[M]`, from 0.
        names: of the classes.
        ways: classes of a task.
        hold: how they are held out.
        rotations: whether images that are turned are other classes.
        protocol: what else there is to say.

    Raises:
        ValueError: too few classes (says how many are needed).
    """
    refuse_spellings(name, names, "classes")
    stay, labels, names = with_enough(name, labels, names, hold.least, "classes")
    x = x[stay]
    parts = hold.parts(name, len(names), classes_needed(ways, rotations))
    protocol |= {"split": "random classes", **hold.describe(), "data_sha256": digest(x, labels)}
    units = Scaling()
    if x.ndim == 2:
        units = Scaling(x=Standard.of(x[np.isin(labels, parts["train"])]))
        x = units.x.inwards(torch.from_numpy(x)).numpy()
    stock = Stock.of(x, labels, names)
    return ClassSource(name, stock, parts, ways, rotations, protocol, units)


def classes_needed(ways: Ways, rotations: bool) -> Need:
    """Count what the parts must have for tasks of so many ways; a turned class is another one."""
    turns = 4 if rotations else 1
    train, held = (-(-ways.of(part) // turns) for part in ("train", "test"))  # rounded up
    equal = ways.of("train") == ways.held_out
    why = f"tasks of {ways.held_out} ways need"
    return Need(train, held, "classes", why, turns if equal else 0)


def _distinct(
    shape: tuple[int, ...], among: int, number: int, generator: torch.Generator
) -> Tensor:
    """`number` different integers below `among` in random order, `[*shape, number]`."""
    noise = torch.rand((*shape, among), generator=generator, device=generator.device)
    return noise.topk(number, -1).indices


def distinct_up_to(counts: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """The same below `counts` `[…]`, each its own."""
    most = int(counts.max())
    noise = torch.rand((*counts.shape, most), generator=generator, device=generator.device)
    beyond = torch.arange(most, device=generator.device) >= counts.unsqueeze(-1)
    return noise.masked_fill(beyond, -1.0).topk(number, -1).indices


def _wide(mask: Tensor, like: Tensor) -> Tensor:
    """`[T, W]` as it broadcasts against `[T, W, n, …]`."""
    return mask.view(*mask.shape, *[1] * (like.dim() - 2))

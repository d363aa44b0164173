"""Which classes, or tasks, are held out, and what would fit where a wish does not."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from metarl.fewshot.data.task import PARTS, DataWarning, Part

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
Parts = dict[str, np.ndarray]
"""Part -> what is in it, by number."""


class Need(NamedTuple):
    """The parts must have so many classes, or tasks."""

    train: int
    held: int  # in the test part, and in that of validation unless it is empty
    what: str = "tasks"  # or classes
    why: str = ""  # in words
    turns: int = 0  # ways that a class is good for; 0 where --ways is no question

    def of(self, part: Part) -> int:
        """Return what a part must have."""
        return self.train if part == "train" else self.held


class HoldOut(NamedTuple):
    """A hold-out says which classes, or tasks, are held out at random, and which are left out."""

    seed: int = 0
    counts: tuple[int, int, int] | None = None  # of the parts; by `SHARES` if None
    folds: int = 0  # every class is in the test part of one of them; 0 is no cross-validation
    fold: int = 0  # which of them
    least: int = 0  # examples that each must have

    def parts(self, name: str, count: int, need: Need) -> Parts:
        """Parts of `count` classes, or tasks, of a source.

        Raises:
            ValueError: a part has too few (says what would fit).
        """
        if self.folds:
            return self._fold(name, count, need)
        if self.counts:
            return self._counted(name, count, need, self.counts)
        if count < need.train + 2 * need.held:
            raise ValueError(
                f"{name} has {count} {need.what}, but {need.why or 'its three parts need'} "
                f"{need.train + 2 * need.held}: {need.train} to train on, and {need.held} others "
                f"each for validation and test{_what_fits(count, need, count // 3)}"
            )
        return split_classes(count, self.seed, least=need.held)

    def describe(self) -> dict[str, Any]:
        """Return what a protocol says of it."""
        folds = {"folds": self.folds, "fold": self.fold} if self.folds else {}
        return {"split_seed": self.seed, **folds}

    def _counted(self, name: str, count: int, need: Need, wanted: tuple[int, int, int]) -> Parts:
        """Parts of the sizes that are wanted; validation may be empty."""
        wish = f"--split {','.join(map(str, wanted))}"
        if sum(wanted) != count:
            raise ValueError(f"{wish} are {sum(wanted)} {need.what}, but {name} has {count}")
        sizes: dict[str, int] = dict(zip(PARTS, wanted, strict=True))
        for part in PARTS:
            if sizes[part] < need.of(part) and (sizes[part] or part != "validation"):
                fits = _what_fits(count, need, min(size for size in wanted if size))
                raise ValueError(
                    f"{wish} leaves {sizes[part]} {need.what} for {part}, but "
                    f"{need.why or 'it needs'} {need.of(part)}{fits}"
                )
        return split_classes(count, self.seed, sizes)

    def _fold(self, name: str, count: int, need: Need) -> Parts:
        """One of the folds is the test part, all else is trained on."""
        smallest, largest = count // self.folds, -(-count // self.folds)
        if smallest < need.held or count - largest < need.train:
            fit = min(smallest, count - largest)
            raise ValueError(
                f"--folds {self.folds} of the {count} {need.what} of {name} hold out {smallest} "
                f"and leave {count - largest} to train on, but {need.why or 'they need'} "
                f"{need.held} and {need.train}{_what_fits(count, need, fit)}"
            )
        order = np.random.default_rng(self.seed).permutation(count)
        test = np.array_split(order, self.folds)[self.fold]
        return {"train": np.setdiff1d(order, test), "validation": order[:0], "test": test}


def _what_fits(count: int, need: Need, smallest: int) -> str:
    """Options with which so many classes, or tasks, would do, as the end of a message.

    Args:
        count: of all.
        need: of the parts.
        smallest: what the smallest part has as things are.
    """
    found = []
    if need.turns * smallest >= 2:
        found.append(f"--ways {need.turns * smallest}")
    if count >= need.train + need.held:
        found.append(f"--split {count - need.held},0,{need.held} (no validation)")
        folds = count // need.held
        if folds >= 2 and count - -(-count // folds) >= need.train:
            found.append(f"--folds {folds} (cross-validation)")
    return f"; what would fit: {', or '.join(found)}" if found else f"; add {need.what}"


def with_enough(
    name: str, labels: np.ndarray, names: list[str], least: int, what: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Leave classes, or tasks, out that have too few examples.

    Args:
        name: of the source.
        labels: of the examples, `[M]`, from 0.
        names: of the classes.
        least: examples that each must have.
        what: classes or tasks.

    Returns:
        Which examples stay `[M]`, their labels and names.

    Warns:
        DataWarning: which are left out.

    Raises:
        ValueError: none has enough.
    """
    count = np.bincount(labels, minlength=len(names))
    enough = count >= least
    if enough.all():
        return np.ones(len(labels), bool), labels, names
    if not enough.any():
        raise ValueError(
            f"none of the {len(names)} {what} of {name} has {least} examples, the most has "
            f"{count.max()}; lower --shots, --queries or --min-examples"
        )
    few = [f"{names[i]!r} ({count[i]})" for i in np.flatnonzero(~enough)]
    listed = ", ".join(few[:10]) + (f" and {len(few) - 10} more" if len(few) > 10 else "")
    warnings.warn(
        f"{len(few)} of the {len(names)} {what} of {name} are left out, for they have fewer than "
        f"{least} examples: {listed}",
        DataWarning,
        stacklevel=2,
    )
    stay = enough[labels]
    number = np.cumsum(enough) - 1
    return stay, number[labels[stay]], [names[i] for i in np.flatnonzero(enough)]


def split_classes(
    count: int, seed: int, sizes: dict[str, int] | None = None, *, least: int = 1
) -> Parts:
    """Random parts of `count` classes; the same seed, the same parts.

    Args:
        count: of all classes.
        seed: of the order.
        sizes: of each part; by `SHARES` if None.
        least: what validation and test have at least then.
    """
    order = np.random.default_rng(seed).permutation(count)
    if sizes is None:
        held: dict[str, int] = {p: max(least, round(SHARES[p] * count)) for p in PARTS[1:]}
        sizes = {"train": max(count - sum(held.values()), 0), **held}
    ends = np.cumsum([sizes[part] for part in PARTS])
    return dict(zip(PARTS, np.split(order, ends[:-1]), strict=True))

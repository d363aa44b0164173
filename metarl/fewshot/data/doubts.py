"""Columns that may give the answer away."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from metarl.fewshot.data.task import DataWarning

_LEAST = 10  # rows; with fewer all this happens by chance
_MOST = 5_000  # rows that are looked at, chosen at random; the order is looked at in all
_ORDERED = 0.95  # share of the disorder of classes that sorting by a column takes away
_RANKED = 0.999  # correlation of ranks
_SHOWN = 10  # columns in a message


def warn_of_answers(
    name: str, columns: list[str], x: np.ndarray, answers: np.ndarray, advice: str
) -> None:
    """Warn of inputs that count the rows, are constant within each class, or alone tell the answer.

    Args:
        name: of the data.
        columns: their names, as they are to be shown.
        x: inputs `[M, D]` in the order in which they are stored.
        answers: classes `[M]`, or targets `[M, C]`.
        advice: what to do.

    Warns:
        DataWarning: there are such columns.
    """
    if len(x) < _LEAST:
        return
    found: dict[int, str] = {}
    for column, reason in _doubts(x, answers):
        found.setdefault(column, reason)
    if found:
        listed = [f"{columns[i]} {found[i]}" for i in sorted(found)]
        more = f", and {len(listed) - _SHOWN} more columns" if len(listed) > _SHOWN else ""
        warnings.warn(
            f"{name}: {', '.join(listed[:_SHOWN])}{more}: what is learned may be that alone; "
            f"{advice}",
            DataWarning,
            stacklevel=3,
        )


def _doubts(x: np.ndarray, answers: np.ndarray) -> Iterator[tuple[int, str]]:
    """Columns and what is wrong with them, the plainest first."""
    for column in np.flatnonzero(_counting(x)):
        yield int(column), "counts the rows"
    some = np.random.default_rng(0).permutation(len(x))[:_MOST]
    few, known = x[some], answers[some]
    if answers.ndim == 1:
        for column in np.flatnonzero(_constant(few, known)):
            yield int(column), "is the same in all rows of a class"
        for column in np.flatnonzero(_order(few, known) >= _ORDERED):
            yield int(column), "alone tells the classes apart"
    else:
        for column in np.flatnonzero(_correlation(few, known) >= _RANKED):
            yield int(column), "alone tells the target"


def _counting(x: np.ndarray) -> np.ndarray:
    """Say whether whole numbers rise, or fall, from every row to the next, `[D]`."""
    result = np.zeros(x.shape[1], bool)
    few = _steady(x[:_LEAST])  # nearly all others are out already
    result[few] = _steady(x[:, few])
    return result


def _steady(x: np.ndarray) -> np.ndarray:
    """The same, looked at in all columns."""
    step = np.diff(x, axis=0)
    whole = (x == np.round(x)).all(0)
    result: np.ndarray = whole & ((step > 0).all(0) | (step < 0).all(0))
    return result


def _constant(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Say whether a column that varies has one value in each class, `[D]`."""
    first = np.unique(labels, return_index=True)[1]
    number = np.searchsorted(labels[first], labels)
    same = (x == x[first][number]).all(0)
    result: np.ndarray = same & (x != x[0]).any(0) & (len(labels) > len(first))
    return result


def _order(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Say how well the rows of each class lie together where a column sorts them, `[D]`.

    1 − (n − least) / (chance − least) for n changes of class from one row to the next, which are
    at least one less than the classes. Rows are in random order, and so are those of one value.
    """
    _, count = np.unique(labels, return_counts=True)
    least = len(count) - 1
    chance = (1 - np.square(count / len(labels)).sum()) * len(labels)
    if chance - least < 1:
        return np.zeros(x.shape[1])
    sorted_labels = labels[np.argsort(x, axis=0, kind="stable")]  # [M, D]
    changes = (np.diff(sorted_labels, axis=0) != 0).sum(0)
    result: np.ndarray = 1 - (changes - least) / (chance - least)
    return result


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The greatest correlation of a column's ranks with those of a target, `[D]`."""
    ranks, of_y = _ranks(x), _ranks(y)
    spread = np.sqrt(np.outer(np.square(ranks).sum(0), np.square(of_y).sum(0)))
    result: np.ndarray = (np.abs(ranks.T @ of_y) / np.where(spread > 0, spread, np.inf)).max(1)
    return result


def _ranks(values: np.ndarray) -> np.ndarray:
    """Rank the values of every column of `[M, D]`, equal ones alike, around 0."""
    ranks = [np.unique(column, return_inverse=True)[1] for column in values.T]
    centred: np.ndarray = np.stack(ranks, 1) - np.mean(ranks, 1)
    return centred

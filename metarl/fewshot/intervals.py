"""How far a mean over tasks may lie from that over other tasks, classes or sources."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def interval(scores: Tensor, clusters: Tensor | None = None) -> tuple[float, float]:
    """The mean of `[T]` and half of its 95 % interval, nan where there is nothing to tell it by.

    Tasks are independent, or those of one cluster `[T]` (a patient, say) belong together. Then the
    variance of the mean is G/(G − 1) Σ_g (Σ_{i∈g} (s_i − mean))² / T² over the G clusters, and the
    interval Student's with G − 1 degrees of freedom.
    """
    mean = scores.mean()
    off = scores - mean
    if clusters is not None:
        off = _sums(off, torch.unique(clusters, return_inverse=True)[1])
    groups = len(off)
    if groups < 2:
        return float(mean), math.nan
    error = torch.sqrt(groups / (groups - 1) * off.square().sum()) / len(scores)
    return float(mean), float((1.96 if clusters is None else student(groups - 1)) * error)


def class_interval(cells: Tensor, classes: Tensor) -> tuple[float, float]:
    """The mean of `[T, W]` and half of its 95 % interval over other classes.

    A mean over tasks of W classes out of C is a U-statistic. With the mean score g_c of the tasks
    that have the class c, less the mean of all, its variance over samples of classes is
    Σ_c ψ_c² / (C (C − 1)), ψ_c = g_c W (C − 1) / (C − W): what a bootstrap that draws classes
    tends to, without its empty draws. Where C is close to W, and tasks say little of what a class
    does to the others, the spread of the classes' own queries says more, at ψ_c = 2 g_c: who is
    taken for a neighbour is the neighbour's error as often. The greater of the two counts, each
    less the chance in g_c, and the chance of drawing T tasks is added. The interval is Student's
    with C − 1 degrees of freedom.

    Args:
        cells: of every task, the scores of each class's queries.
        classes: which classes they are, `[T, W]`.

    Returns:
        Mean and interval; the latter is nan for a single task, and for a single pair of classes.
    """
    tasks, ways = cells.shape
    mean = cells.mean()
    index = torch.unique(classes, return_inverse=True)[1]
    count = int(index.max()) + 1
    if tasks < 2 or count < 3:
        return float(mean), math.nan
    rows = cells.mean(1) - mean
    between = 4 * _between(cells - mean, index)
    if count > ways:
        whole = _between(rows.unsqueeze(-1).expand_as(cells), index)
        between = torch.maximum(between, (ways * (count - 1) / (count - ways)) ** 2 * whole)
    error = torch.sqrt(between.clamp(min=0) + rows.square().sum() / (tasks * (tasks - 1)))
    return float(mean), float(student(count - 1) * error)


def _between(off: Tensor, index: Tensor) -> Tensor:
    """The variance of the classes' mean of `[T, W]`, less what chance within a class adds."""
    number = _sums(torch.ones_like(off).flatten(), index.flatten())
    own = _sums(off.flatten(), index.flatten()) / number
    chance = off.square().mean() / number
    return (own.square() - chance).sum() / (len(own) * (len(own) - 1))


def _sums(values: Tensor, index: Tensor) -> Tensor:
    """Sum the values `[N]` of every index, `[max + 1]`."""
    return values.new_zeros(int(index.max()) + 1).index_add(0, index, values)


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t; from 3 on by Fisher and Cornish's expansion, to 1.2 %."""
    if freedom < 3:
        return (12.706, 4.303)[freedom - 1]
    z, v = 1.959964, float(freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )

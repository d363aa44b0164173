"""How many steps of adaptation are good for a support set, and whether they were too many."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from metarl.core.params import Params
from metarl.fewshot.data.task import Examples, Kind
from metarl.fewshot.learners.on_network import AdaptsWeights

FOLDS = 5


class DivergingWarning(UserWarning):
    """Adaptation has made the loss of its own support set greater."""


def adapt_by_steps(
    learner: AdaptsWeights[Any], theta: Params, support: Examples, steps: int
) -> Params:
    """φ after so many steps; warns where the support set's loss is greater then, or no number."""
    path = learner.path(theta, support, steps)
    losses = _losses(learner, path, support)
    start, end = float(losses[0]), float(losses[-1])
    if not end <= start:
        grown = next(k for k, loss in enumerate(losses.tolist()) if not loss <= start)
        best = int(losses.nan_to_num(nan=torch.inf).argmin())
        warnings.warn(
            f"adaptation diverged: in {steps} steps the loss on the support set went from "
            f"{start:.3g} to {end:.3g}; it grew beyond its start in step {grown}, and was least "
            f'({float(losses[best]):.3g}) after {best}. Take fewer steps, or steps="best"',
            DivergingWarning,
            stacklevel=5,  # where the agent was asked to adapt
        )
    return path[-1]


def best_steps(learner: AdaptsWeights[Any], theta: Params, support: Examples, most: int) -> int:
    """The number of steps with the least loss on examples that were not adapted to.

    Every fold of the support set is held out once; a loss that is no number is the worst.

    Args:
        learner: who adapts.
        theta: its meta-parameters.
        support: of a task.
        most: steps that are tried.

    Raises:
        ValueError: fewer than two examples, or than two of a class.
    """
    total = torch.zeros(most + 1)
    fold = _folds(learner.kind, support.y)
    for k in range(int(fold.max()) + 1):
        own, held = (Examples(support.x[rows], support.y[rows]) for rows in (fold != k, fold == k))
        losses = _losses(learner, learner.path(theta, own, most), held)
        total += losses.cpu() * len(held.y)
    return int(total.nan_to_num(nan=torch.inf).argmin())


def _losses(learner: AdaptsWeights[Any], path: list[Params], examples: Examples) -> Tensor:
    """Compute the losses of the examples after every step."""
    return torch.stack([learner.network_loss(phi, examples) for phi in path])


def _folds(kind: Kind, y: Tensor) -> Tensor:
    """Say which fold every example is in, `[N]`; each has some of every class."""
    if kind == "regression":
        least, place = len(y), torch.arange(len(y))
        what = "examples"
    else:
        same = y.cpu().unsqueeze(0) == y.cpu().unsqueeze(1)
        place = same.tril(-1).sum(1)  # among the examples of its class
        least, what = int(same.sum(1).min()), "examples of every class"
    if least < 2:
        raise ValueError(
            f'steps="best" holds out a part of the support set: it needs at least two {what}, got '
            f"{least}; give more, or a number of steps"
        )
    return (place % min(FOLDS, least)).to(y.device)

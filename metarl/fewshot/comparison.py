"""A learner beside those of scikit-learn, on the same tasks."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from metarl.core.params import Params
from metarl.fewshot.baselines import OnItsOwn, classifiers, regressors
from metarl.fewshot.data.task import Source, Split, joined
from metarl.fewshot.evaluate import (
    Compared,
    Drawn,
    FewShotEvaluation,
    FewShotOutcome,
    draw,
    outcome,
)
from metarl.fewshot.intervals import interval
from metarl.fewshot.learners.protocol import FewShotLearner

TRAIN_TASKS = 30  # that the baselines' own settings are chosen on


def compare(
    evaluation: FewShotEvaluation,
    learner: FewShotLearner,
    theta: Params,
    source: Source,
    *,
    tasks: int,
    generator: Callable[[bool], torch.Generator],
) -> FewShotEvaluation:
    """The evaluation with `baselines`, who learn each task on its own.

    Args:
        evaluation: of the learner, who is compared at the step of its best mean.
        learner: who adapts.
        theta: its meta-parameters.
        source: of the tasks.
        tasks: how many of the evaluation's to compare on, the first ones.
        generator: a fresh one of the evaluation's tasks, or with True of training tasks.
    """
    request = evaluation.request._replace(tasks=min(tasks, evaluation.request.tasks))
    few = request._replace(part="train", tasks=TRAIN_TASKS)
    train = joined([split for split, _ in draw(source, few, generator(True))])
    others = baselines(source, train, evaluation.ways or source.outputs)
    owners, rows = [], []
    for split, which in draw(source, request, generator(False)):
        row = [outcome(learner, theta, split, evaluation.best().steps, "loop")]
        rows.append(row + [outcome(other, {}, split, None, "loop") for other in others.values()])
        owners += [] if which is None else [which.cpu()]
    own, *found = [FewShotOutcome.joined(list(row)) for row in zip(*rows, strict=True)]
    stock = Drawn.of(source, request.part, owners)
    named = zip(others, found, strict=True)
    return evaluation._replace(
        baselines=tuple(
            _compared(name, theirs, own, stock, evaluation.sign) for name, theirs in named
        )
    )


def baselines(source: Source, train: Split, ways: int) -> dict[str, OnItsOwn]:
    """Make the models of a source's kind, settled on training tasks."""
    if source.kind == "regression":
        return regressors(train)
    return classifiers(train, source.units.x, ways)


def _compared(
    name: str, theirs: FewShotOutcome, own: FewShotOutcome, stock: Drawn, sign: float
) -> Compared:
    """Mean and interval, and how far it is ahead of the learner on the same tasks."""
    mean, ci95 = stock.interval(theirs)
    ahead: Tensor = sign * (own.scores - theirs.scores)
    return Compared(name, mean, ci95, *interval(ahead), tasks=len(ahead))


def advice(evaluation: FewShotEvaluation, algo: str) -> str:
    """One sentence where the learner is worse than the best baseline, "" where it is not."""
    if not evaluation.baselines:
        return ""
    best = max(evaluation.baselines, key=lambda other: -evaluation.sign * other.mean)
    if best.ahead <= best.ahead_ci95:
        return ""
    own = best.mean + evaluation.sign * best.ahead
    after = evaluation.best().steps
    steps = "" if after is None else f" after {after} steps"
    learners = ("cnp", "r2d2") if evaluation.metric == "squared error" else ("protonet", "r2d2")
    others = " or ".join(f"--algo {name}" for name in learners if name != algo)
    return (
        f"{best.name} on each task alone is better than {algo}: {evaluation.metric} "
        f"{best.mean:.4f} against {_number(own)}{steps} on the same {best.tasks} tasks. Try more "
        f"--iterations, {others}, or --norm layer; if nothing helps, these tasks have too little "
        "in common for meta-learning"
    )


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "no number"

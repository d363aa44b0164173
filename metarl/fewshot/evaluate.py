"""How well a learner does on tasks that it has not trained on, and by which protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metarl.core.mapping import Mapping, over_tasks
from metarl.core.params import Params
from metarl.fewshot import losses
from metarl.fewshot.data import Part, Source, Split, take
from metarl.fewshot.learner import FewShotLearner

_CHUNK = 100  # tasks at a time


class Point(NamedTuple):
    """After some steps of adaptation: squared errors, or accuracies, of the tasks' query sets."""

    steps: int | None  # None for a learner that does not adapt by steps
    mean: float
    ci95: float  # 1.96 standard errors of the mean over tasks
    median: float
    diverged: float  # share of tasks that adaptation left with no number, or worse than before it


class Request(NamedTuple):
    """Which tasks, and what is shown of them."""

    part: Part
    tasks: int
    shots: int  # examples to learn from, as the source counts them
    queries: int  # examples to be judged on
    seed: int  # that the tasks come from

    def require(self) -> None:
        """Raises ValueError where a count is below 1."""
        for name in ("tasks", "shots", "queries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class Evaluation(NamedTuple):
    """The numbers and their protocol."""

    metric: str  # "squared error" or "accuracy"
    points: list[Point]
    request: Request
    source: dict[str, Any]  # what the source says of itself
    transductive: bool  # whether a prediction depends on the other queries

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        rows = [point._asdict() for point in self.points]
        return self._asdict() | {"points": rows, "request": self.request._asdict()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Evaluation:
        """The inverse of `to_json`; other keys are passed over."""
        points = [Point(**{**row, **_numbers(row)}) for row in data["points"]]
        request = Request(**data["request"])
        return cls(data["metric"], points, request, data["source"], data["transductive"])


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    """What JSON has as null is not a number."""
    return {k: math.nan for k, v in row.items() if v is None and k != "steps"}


def evaluate(
    learner: FewShotLearner,
    theta: Params,
    source: Source,
    request: Request,
    *,
    steps: Sequence[int],
    generator: torch.Generator,
    how: Mapping = "vmap",
) -> Evaluation:
    """Adapt to the support sets of fresh tasks and predict their query sets.

    Args:
        learner: who adapts.
        theta: its meta-parameters.
        source: of the tasks.
        request: which tasks.
        steps: after how many steps to measure, for a learner that takes steps.
        generator: of the tasks, on the device of `theta`; the same one gives the same tasks to
            every learner.
        how: as `over_tasks`.

    Raises:
        ValueError: an impossible count.
    """
    request.require()
    source.require(request.shots, request.queries)
    split = source.sample(request.tasks, request.shots, request.queries, request.part, generator)
    counts: list[int | None] = [*steps] if learner.takes_steps else [None]
    rows = [_scores(learner, theta, split, count, how) for count in counts]
    before = rows[0] if counts[0] == 0 else None
    sign = 1.0 if learner.kind == "regression" else -1.0
    points = [_point(row, count, before, sign) for count, row in zip(counts, rows, strict=True)]
    metric = "squared error" if learner.kind == "regression" else "accuracy"
    return Evaluation(metric, points, request, source.describe(), learner.transductive)


def _scores(
    learner: FewShotLearner, theta: Params, split: Split, steps: int | None, how: Mapping
) -> Tensor:
    """Of every task, `[T]`."""

    def one(task: Split) -> Tensor:
        adapted = learner.adapt(theta, task.support, steps)
        outputs = learner.predict(theta, adapted, task.query.x)
        return losses.score(learner.kind, outputs, task.query.y)

    mapped = over_tasks(one, how=how)
    with torch.no_grad():
        parts = torch.split(torch.arange(len(split.query.y)), _CHUNK)
        return torch.cat([mapped(take(split, part)) for part in parts])


def _point(scores: Tensor, steps: int | None, before: Tensor | None, sign: float) -> Point:
    """The summary of `[T]`."""
    scores = scores.double().cpu()
    worse = ~torch.isfinite(scores)
    if before is not None:
        worse |= sign * scores > sign * before.double().cpu()
    error = float(scores.std()) / math.sqrt(len(scores)) if len(scores) > 1 else math.nan
    return Point(
        steps,
        float(scores.mean()),
        1.96 * error,
        float(scores.median()),
        float(worse.double().mean()),
    )

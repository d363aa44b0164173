"""How well a learner does on tasks that it has not trained on, and by which protocol."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metarl.core.mapping import Mapping, Workers, over_tasks
from metarl.core.params import Params
from metarl.fewshot import losses
from metarl.fewshot.data import Part, Source, Split, Stocked
from metarl.fewshot.learner import FewShotLearner

_CHUNK = 100  # tasks at a time


class Point(NamedTuple):
    """After some steps of adaptation: squared errors, or accuracies, of the tasks' query sets."""

    steps: int | None  # None for a learner that does not adapt by steps
    mean: float
    ci95: float  # half of the mean's 95 % interval; see `interval`
    median: float  # tasks without a finite number count as the worst
    diverged: float  # share of tasks that adaptation left with no number, or worse than before it
    non_finite: int = 0  # tasks without a finite number


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
    sources: int | None = None  # the different patients, …, that the tasks are drawn from

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        rows = [point._asdict() for point in self.points]
        return self._asdict() | {"points": rows, "request": self.request._asdict()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Evaluation:
        """The inverse of `to_json`; other keys are passed over."""
        points = [Point(**{**row, **_numbers(row)}) for row in data["points"]]
        request = Request(**data["request"])
        rest = data["source"], data["transductive"], data.get("sources")
        return cls(data["metric"], points, request, *rest)


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    """What JSON has as null is not a number."""
    return {k: math.nan for k, v in row.items() if v is None and k != "steps"}


def draw(
    source: Source, request: Request, generator: torch.Generator
) -> Iterator[tuple[Split, Tensor | None]]:
    """The tasks of a request, some at a time, and what of the source's stock they are made of.

    That is None for a source without a stock; see `Stocked`.
    """
    for first in range(0, request.tasks, _CHUNK):
        number = min(_CHUNK, request.tasks - first)
        which = number, request.shots, request.queries, request.part, generator
        yield source.drawn(*which) if isinstance(source, Stocked) else (source.sample(*which), None)


def evaluate(
    learner: FewShotLearner,
    theta: Params,
    source: Source,
    request: Request,
    *,
    steps: Sequence[int],
    generator: torch.Generator,
    how: Mapping = "vmap",
    workers: Workers | None = None,
) -> Evaluation:
    """Adapt to the support sets of fresh tasks and predict their query sets.

    Args:
        learner: who adapts.
        theta: its meta-parameters.
        source: of the tasks.
        request: which tasks.
        steps: after how many steps to measure, for a learner that takes steps; before the first
            one it is measured in any case.
        generator: of the tasks, on the device of `theta`; the same one gives the same tasks to
            every learner.
        how: as `over_tasks`.
        workers: as `over_tasks`.

    Raises:
        ValueError: an impossible count.
    """
    request.require()
    source.require(request.shots, request.queries)
    counts: list[int | None] = [*sorted({0, *steps})] if learner.takes_steps else [None]
    chunks, owners = [], []
    for split, which in draw(source, request, generator):
        rows = [_scores(learner, theta, split, count, how, workers) for count in counts]
        chunks.append(torch.stack(rows).double().cpu())
        owners += which.tolist() if which is not None and which.dim() == 1 else []
    scores = torch.cat(chunks, 1)  # [steps, T]
    clusters = torch.tensor(owners) if owners else None
    sign = 1.0 if learner.kind == "regression" else -1.0
    points = [
        _point(row, scores[0], count, sign, clusters)
        for count, row in zip(counts, scores, strict=True)
    ]
    metric = "squared error" if learner.kind == "regression" else "accuracy"
    sources = len(set(owners)) or None
    return Evaluation(metric, points, request, source.describe(), learner.transductive, sources)


def _scores(
    learner: FewShotLearner,
    theta: Params,
    split: Split,
    steps: int | None,
    how: Mapping,
    workers: Workers | None,
) -> Tensor:
    """Of every task, `[T]`."""

    def one(task: Split) -> Tensor:
        with torch.no_grad():  # of the thread that does it
            adapted = learner.adapt(theta, task.support, steps)
            outputs = learner.predict(theta, adapted, task.query.x)
            return losses.score(learner.kind, outputs, task.query.y)

    return over_tasks(one, how=how, workers=workers)(split)


def _point(
    scores: Tensor, before: Tensor, steps: int | None, sign: float, clusters: Tensor | None
) -> Point:
    """The summary of `[T]`, beside the scores before adaptation."""
    finite = torch.isfinite(scores)
    worse = ~finite | (sign * scores > sign * before)
    worst = math.inf if sign > 0 else 0.0
    middle = torch.where(finite, scores, worst).sort().values
    mean, ci95 = interval(scores, clusters)
    return Point(
        steps,
        mean,
        ci95,
        float(middle[(len(middle) - 1) // 2] + middle[len(middle) // 2]) / 2,
        float(worse.double().mean()),
        int((~finite).sum()),
    )


def interval(scores: Tensor, clusters: Tensor | None = None) -> tuple[float, float]:
    """The mean of `[T]` and half of its 95 % interval, nan where there is nothing to tell it by.

    Tasks are independent, or those of one cluster `[T]` (a patient, say) belong together. Then the
    variance of the mean is G/(G − 1) Σ_g (Σ_{i∈g} (s_i − mean))² / T² over the G clusters, and the
    interval Student's with G − 1 degrees of freedom.
    """
    mean = scores.mean()
    off = scores - mean
    if clusters is not None:
        index = torch.unique(clusters, return_inverse=True)[1]
        off = off.new_zeros(int(index.max()) + 1).index_add(0, index, off)
    groups = len(off)
    if groups < 2:
        return float(mean), math.nan
    error = torch.sqrt(groups / (groups - 1) * off.square().sum()) / len(scores)
    return float(mean), float((1.96 if clusters is None else student(groups - 1)) * error)


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

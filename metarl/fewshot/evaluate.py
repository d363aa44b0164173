"""How well a learner does on tasks that it has not trained on, and by which protocol."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.mapping import TaskMapping, Workers, over_tasks
from metarl.core.one_thread import one_thread
from metarl.core.params import Params
from metarl.fewshot import losses
from metarl.fewshot.data.classes import ClassSource
from metarl.fewshot.data.task import Part, Source, Split, Stocked
from metarl.fewshot.intervals import class_interval, interval
from metarl.fewshot.learners.protocol import FewShotLearner

_CHUNK = 100  # tasks at a time
ENOUGH = 3  # times as many held-out classes as ways, for tasks that differ


class FewShotPoint(NamedTuple):
    """After some steps of adaptation: squared errors, or accuracies, of the tasks' query sets."""

    steps: int | None  # None for a learner that does not adapt by steps
    mean: float
    ci95: float  # half of the mean's 95 % interval, over other classes or sources too
    median: float  # tasks without a finite number count as the worst
    diverged: float  # share of tasks that adaptation left with no number, or worse than before it
    non_finite: int = 0  # tasks without a finite number


class Compared(NamedTuple):
    """Someone who learns each task on its own, beside the learner."""

    name: str
    mean: float  # error or accuracy
    ci95: float  # of the mean, over other classes or sources too
    ahead: float  # by how much it is better than the learner on the same tasks
    ahead_ci95: float  # half of the 95 % interval over these tasks
    tasks: int  # that they are compared on, the first ones of the evaluation


class Request(NamedTuple):
    """A request says which tasks are drawn, and what is shown of them."""

    part: Part
    tasks: int
    shots: int  # examples to learn from, as the source counts them
    queries: int  # examples to be judged on
    seed: int  # that the tasks come from

    def require(self) -> None:
        """Refuse counts below 1; raises ValueError."""
        for name in ("tasks", "shots", "queries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class FewShotEvaluation(NamedTuple):
    """The numbers and their protocol."""

    metric: str  # "squared error" or "accuracy"
    points: list[FewShotPoint]
    request: Request
    source: dict[str, Any]  # what the source says of itself
    transductive: bool  # whether a prediction depends on the other queries
    sources: int | None = None  # the different patients, …, that the tasks are drawn from
    classes: int | None = None  # held out, that tasks are made of; turned images are no others
    ways: int | None = None  # classes of a task
    baselines: tuple[Compared, ...] = ()  # where they were compared

    @property
    def sign(self) -> float:
        """1 where less is better, −1 where more is."""
        return 1.0 if self.metric == "squared error" else -1.0

    def best(self) -> FewShotPoint:
        """The point of the best mean; one that is no number is the worst."""
        worst = math.inf
        return min(
            self.points, key=lambda p: self.sign * p.mean if math.isfinite(p.mean) else worst
        )

    def few_classes(self) -> str:
        """One sentence where tasks share most of their classes, "" where they do not."""
        if self.classes is None or self.ways is None or self.classes >= ENOUGH * self.ways:
            return ""
        return (
            f"tasks of {self.ways} ways are made of {self.classes} held-out classes, fewer than "
            f"{ENOUGH} times as many: which ones they are decides the result, and the interval can "
            "only guess at others; train on other splits, too: --split-seeds 5"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        lists = {
            name: [row._asdict() for row in getattr(self, name)] for name in ("points", "baselines")
        }
        return self._asdict() | lists | {"request": self.request._asdict()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FewShotEvaluation:
        """The inverse of `to_json`; other keys are passed over."""
        points = [FewShotPoint(**{**row, **_numbers(row)}) for row in data["points"]]
        request = Request(**data["request"])
        rest: dict[str, Any] = {k: data.get(k) for k in ("sources", "classes", "ways")}
        rest["baselines"] = tuple(
            Compared(**(row | _numbers(row))) for row in data.get("baselines", ())
        )
        return cls(data["metric"], points, request, data["source"], data["transductive"], **rest)


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    """Take what JSON has as null for not a number."""
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


@one_thread()
def evaluate(
    learner: FewShotLearner,
    theta: Params,
    source: Source,
    request: Request,
    *,
    steps: Sequence[int],
    generator: torch.Generator,
    how: TaskMapping = "vmap",
    workers: Workers | None = None,
) -> FewShotEvaluation:
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
        rows = [outcome(learner, theta, split, count, how, workers) for count in counts]
        chunks.append(rows)
        owners += [] if which is None else [which.cpu()]
    found = [FewShotOutcome.joined(list(rows)) for rows in zip(*chunks, strict=True)]
    stock = Drawn.of(source, request.part, owners)
    sign = 1.0 if learner.kind == "regression" else -1.0
    points = [
        _point(own.scores, found[0].scores, count, sign, stock.interval(own))
        for count, own in zip(counts, found, strict=True)
    ]
    metric = "squared error" if learner.kind == "regression" else "accuracy"
    said = source.describe(), learner.transductive
    return FewShotEvaluation(metric, points, request, *said, *stock.counts())


class FewShotOutcome(NamedTuple):
    """Every task came to this, after some steps."""

    scores: Tensor  # [T]
    hits: Tensor  # [T, Q], whether each query's class was found; [T, 0] in regression
    y: Tensor  # [T, Q], their classes; [T, 0] in regression

    @classmethod
    def joined(cls, rows: list[FewShotOutcome]) -> FewShotOutcome:
        """Tasks after tasks."""
        return cls(*(torch.cat(parts) for parts in zip(*rows, strict=True)))


class Drawn(NamedTuple):
    """The tasks are drawn from these."""

    sources: Tensor | None = None  # [T]
    classes: Tensor | None = None  # [T, W]
    held_out: int | None = None  # classes that there are

    @classmethod
    def of(cls, source: Source, part: Part, owners: list[Tensor]) -> Drawn:
        """Gather what `Stocked.drawn` says of the tasks; turned images keep their class."""
        if not owners:
            return cls()
        which = torch.cat(owners)
        if which.dim() == 1:
            return cls(sources=which)
        if not isinstance(source, ClassSource):
            return cls(classes=which)
        turns = 4 if source.rotations else 1
        return cls(classes=which // turns, held_out=len(source.parts[part]))

    def interval(self, outcome: FewShotOutcome) -> tuple[float, float]:
        """The mean score, and half of its 95 % interval."""
        if self.classes is None:
            return interval(outcome.scores, self.sources)
        own = functional.one_hot(outcome.y.long(), self.classes.shape[1]).double()  # [T, Q, W]
        cells = (outcome.hits.unsqueeze(-1) * own).sum(1) / own.sum(1)
        return float(outcome.scores.mean()), class_interval(cells, self.classes)[1]

    def counts(self) -> tuple[int | None, int | None, int | None]:
        """Different sources that were drawn, classes that there are, and classes of a task."""
        drawn = None if self.sources is None else len(set(self.sources.tolist()))
        return drawn, self.held_out, None if self.classes is None else self.classes.shape[1]


def outcome(
    learner: FewShotLearner,
    theta: Params,
    split: Split,
    steps: int | None,
    how: TaskMapping,
    workers: Workers | None = None,
) -> FewShotOutcome:
    """Measure every task, in float64 on the CPU."""

    def one(task: Split) -> FewShotOutcome:
        with torch.no_grad():  # of the thread that does it
            adapted = learner.adapt(theta, task.support, steps)
            outputs = learner.predict(theta, adapted, task.query.x)
            y, score = task.query.y, losses.score(learner.kind, outputs, task.query.y)
            if learner.kind == "regression":
                return FewShotOutcome(score, score.new_zeros(0), score.new_zeros(0))
            return FewShotOutcome(score, losses.hits(outputs, y), y)

    found = over_tasks(one, how=how, workers=workers)(split)
    return FewShotOutcome(*(part.double().cpu() for part in found))


def _point(
    scores: Tensor,
    before: Tensor,
    steps: int | None,
    sign: float,
    mean_and_ci95: tuple[float, float],
) -> FewShotPoint:
    """The summary of `[T]`, beside the scores before adaptation."""
    finite = torch.isfinite(scores)
    worse = ~finite | (sign * scores > sign * before)
    worst = math.inf if sign > 0 else 0.0
    middle = torch.where(finite, scores, worst).sort().values
    return FewShotPoint(
        steps,
        *mean_and_ci95,
        float(middle[(len(middle) - 1) // 2] + middle[len(middle) // 2]) / 2,
        float(worse.double().mean()),
        int((~finite).sum()),
    )

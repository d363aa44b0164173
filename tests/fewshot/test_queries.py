"""Learners are judged on queries that they have not learned from, with intervals that hold."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metarl.core.params import Params
from metarl.fewshot import Examples, Mlp, Sinusoid, Split
from metarl.fewshot.comparison import compare
from metarl.fewshot.data.classes import Ways, random_classes
from metarl.fewshot.data.holdout import HoldOut
from metarl.fewshot.data.rows import row_source
from metarl.fewshot.data.task import Kind, Source
from metarl.fewshot.evaluate import FewShotEvaluation, Request, draw, evaluate
from metarl.fewshot.intervals import interval
from metarl.fewshot.registry import ALGORITHMS, get_algorithm

REQUEST = Request("test", 300, 3, 4, 0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Fake:
    """A learner without meta-parameters."""

    kind: Kind = "classification"
    takes_steps = False
    transductive = False

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Examples:
        return support


class Memory(Fake):
    """Knows its support set by heart and takes everything else for the first class."""

    def predict(self, theta: Params, adapted: Examples, x: Tensor) -> Tensor:
        known = (x.unsqueeze(1) == adapted.x).all(-1).float()  # [N, S]
        votes = known @ torch.nn.functional.one_hot(adapted.y, 4).float()
        return votes + torch.tensor([0.5, 0.0, 0.0, 0.0])


class Zero(Fake):
    """Predicts nothing but zeros."""

    kind: Kind = "regression"

    def predict(self, theta: Params, adapted: Examples, x: Tensor) -> Tensor:
        return torch.zeros(len(x), 1)


def measured(learner: Any, source: Source, request: Request = REQUEST) -> FewShotEvaluation:
    return evaluate(learner, {}, source, request, steps=(), generator=generator(), how="loop")


def meaningless() -> Any:
    """Classes of one and the same noise."""
    x, labels = np.random.default_rng(0).normal(size=(480, 2)), np.repeat(np.arange(24), 20)
    names = [f"c{i}" for i in range(24)]
    return random_classes("noise", x, labels, names, Ways(4), HoldOut(counts=(12, 0, 12)))


def test_a_learner_that_knows_its_support_set_by_heart_is_at_chance() -> None:
    """One in four; on what it has learned it would be right always."""
    assert measured(Memory(), meaningless()).points[0].mean == pytest.approx(0.25, abs=1e-6)


def test_scikit_learns_learners_are_at_chance_on_noise() -> None:
    """The nearest neighbour of an example that was learned would be that example."""
    found = measured(Memory(), meaningless())
    beside = compare(
        found, Memory(), {}, meaningless(), tasks=30, generator=lambda train: generator(int(train))
    )
    assert len(beside.baselines) > 3
    for other in beside.baselines:
        assert other.mean == pytest.approx(0.25, abs=0.08)
        assert other.mean - 0.25 == pytest.approx(other.ahead, abs=1e-6)


ON_QUERIES = [algo for algo in ALGORITHMS if algo not in ("reptile", "scratch")]


@pytest.mark.parametrize("algo", ON_QUERIES)
def test_meta_training_asks_for_the_queries(algo: str) -> None:
    """The outer loss is another one where their classes are others; Reptile's has none."""
    chosen = get_algorithm(algo)
    options = {"inner_lr": 0.01} if algo == "maml++" else {}
    config = chosen.config(tasks=1, **{**chosen.options, **options})
    learner = chosen.learner(config, "classification", Mlp(2, 3, (8,), "tanh"))
    theta, x = learner.init(generator()), torch.randn(9, 2, generator=generator(1))
    y = torch.arange(3).repeat(3)
    support = Examples(x[:3], y[:3])
    queries = Examples(x[3:], y[3:]), Examples(x[3:], y[2:-1]), support
    for loss in (learner.loss, getattr(learner, "task_gradient", learner.loss)):
        found = [loss(theta, Split(support, query)) for query in queries]
        values = {float(one[0] if isinstance(one, tuple) else one) for one in found}
        assert len(values) == 3


def test_the_interval_is_1_96_standard_errors_of_the_tasks() -> None:
    """By hand, from the errors of the tasks that were drawn."""
    queries = torch.cat([s.query.y for s, _ in draw(Sinusoid(), REQUEST, generator())])
    errors = queries.square().mean((1, 2)).double()
    (point,) = measured(Zero(), Sinusoid()).points
    assert point.mean == pytest.approx(float(errors.mean()), rel=1e-6)
    expected = 1.96 * float(errors.std()) / math.sqrt(len(errors))
    assert point.ci95 == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("tasks", [30, 300])
def test_the_interval_holds_the_truth_in_95_of_100(tasks: int) -> None:
    """Over many draws of independent tasks."""
    rows = torch.randn(4000, tasks, generator=generator()).double()
    held = sum(abs(mean) <= ci95 for mean, ci95 in map(interval, rows)) / len(rows)
    assert 0.93 < held < 0.965


def patients(count: int = 40) -> Any:
    """Every patient has a score, and no row says more of it."""
    noise = np.random.default_rng(0)
    names = [f"patient {i}" for i in range(count) for _ in range(10)]
    y = np.repeat(noise.normal(size=count), 10)[:, None]
    return row_source("p", noise.normal(size=(10 * count, 2)), y, names, HoldOut())


def test_more_tasks_of_the_same_patients_do_not_narrow_the_interval() -> None:
    """They are Student's over the patients: 1.96 of the tasks' errors would be far less."""
    source = patients()
    found = [
        measured(Zero(), source, REQUEST._replace(tasks=tasks)).points[0].ci95
        for tasks in (300, 3000)
    ]
    assert found[1] == pytest.approx(found[0], rel=0.25)
    own = torch.stack([source.y[i] for i in source.first[source.parts["test"]]]).square()
    scores = own.flatten().double()
    assert len(scores) == 6
    expected = 2.571 * float(scores.std()) / math.sqrt(6)
    assert found[1] == pytest.approx(expected, rel=0.15)

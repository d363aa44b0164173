"""What an evaluation says of its tasks, and of those that have no number."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metarl.core.mapping import Workers
from metarl.fewshot import Mlp, Sinusoid, losses
from metarl.fewshot.data.holdout import HoldOut
from metarl.fewshot.data.rows import row_source
from metarl.fewshot.evaluate import FewShotEvaluation, Request, _point, draw, evaluate
from metarl.fewshot.intervals import interval, student
from metarl.fewshot.learners.configs import MamlConfig
from metarl.fewshot.learners.maml import Maml

REQUEST = Request("test", 230, 3, 4, 0)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def point(scores: list[float], sign: float, before: list[float] | None = None) -> Any:
    row = torch.tensor(scores).double()
    past = torch.tensor(before).double() if before else row
    return _point(row, past, 1, sign, interval(row))


def test_the_median_counts_tasks_without_a_number_as_the_worst() -> None:
    """Of an even number of tasks it is the mean of the two in the middle."""
    errors = point([1.0, math.nan, 3.0, 2.0], 1.0)
    assert (errors.median, errors.non_finite, errors.diverged) == (2.5, 1, 0.25)
    assert math.isnan(errors.mean)
    assert point([1.0, math.nan, math.inf], 1.0).median == math.inf
    assert point([0.4, math.nan, 0.8], -1.0).median == pytest.approx(0.4)


def test_logits_that_are_not_finite_have_no_accuracy() -> None:
    """The class of the greatest of them would be the first one."""
    logits = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[math.nan, math.nan], [0.0, 1.0]]])
    accuracy = losses.score("classification", logits, torch.tensor([[0, 0], [0, 1]]))
    assert float(accuracy[0]) == 0.5
    assert math.isnan(float(accuracy[1]))


def learner(inner_lr: float = 0.01) -> Maml:
    return Maml(MamlConfig(inner_lr=inner_lr), "regression", Mlp(1, 1, (8,)))


def measure(maml: Maml, **options: Any) -> FewShotEvaluation:
    theta = maml.init(generator())
    options = {"steps": (5,), "generator": generator()} | options
    return evaluate(maml, theta, Sinusoid(), REQUEST, **options)


def test_divergence_is_relative_to_the_weights_before_adaptation() -> None:
    """They are measured even if only later steps were asked for."""
    found = measure(learner(inner_lr=10.0))
    assert [p.steps for p in found.points] == [0, 5]
    assert found.points[0].diverged == 0.0
    assert found.points[1].diverged > 0.5
    assert FewShotEvaluation.from_json(found.to_json()).points[0] == found.points[0]


def test_threads_do_not_change_an_evaluation() -> None:
    """Nor does the number of tasks at a time."""
    one = measure(learner(), how="loop")
    other = measure(learner(), how="threads", workers=Workers(2))
    assert one == other
    sizes = [len(split.query.y) for split, _ in draw(Sinusoid(), REQUEST, generator())]
    assert sizes == [100, 100, 30]


def test_the_interval_over_clusters_is_that_over_their_means() -> None:
    """Where every cluster has as many tasks; draws of the same patient add nothing then."""
    means = torch.tensor([1.0, 2.0, 4.0, 9.0]).double()
    clusters = torch.arange(4).repeat(50)
    mean, ci95 = interval(means[clusters], clusters)
    assert mean == pytest.approx(4.0)
    assert ci95 == pytest.approx(student(3) * float(means.std()) / 2)
    independent = interval(means[clusters])[1]
    assert ci95 > 5 * independent
    assert math.isnan(interval(torch.ones(3).double(), torch.zeros(3))[1])


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (3, 3.182), (5, 2.571), (10, 2.228), (50, 2.009)]
)
def test_students_quantile(freedom: int, quantile: float) -> None:
    """Against a table."""
    assert student(freedom) == pytest.approx(quantile, rel=0.012)


def test_tasks_of_the_same_patient_are_one_source() -> None:
    """The interval says how many there were."""
    noise = np.random.default_rng(0)
    patients = [f"patient {i}" for i in range(20) for _ in range(12)]
    source = row_source(
        "p", noise.normal(size=(240, 2)), noise.normal(size=(240, 1)), patients, HoldOut()
    )
    maml = Maml(MamlConfig(), "regression", Mlp(2, 1, (8,)))
    theta: dict[str, Tensor] = maml.init(generator())
    found = evaluate(maml, theta, source, REQUEST, steps=(0,), generator=generator())
    assert found.sources == len(source.parts["test"]) == 3
    assert FewShotEvaluation.from_json(found.to_json()) == found
    assert measure(learner()).sources is None

"""Learners of one task, and a learner beside them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from metarl.fewshot import Mlp, Sinusoid
from metarl.fewshot.baselines import OnItsOwn, classifiers, regressors
from metarl.fewshot.comparison import advice, compare
from metarl.fewshot.data.classes import ClassSource, Ways, random_classes
from metarl.fewshot.data.holdout import HoldOut
from metarl.fewshot.data.scaling import Standard
from metarl.fewshot.data.task import Examples, Source, Split, take
from metarl.fewshot.evaluate import FewShotEvaluation, Request, evaluate
from metarl.fewshot.learners.configs import MamlConfig, ProtoNetConfig
from metarl.fewshot.learners.maml import Maml
from metarl.fewshot.learners.protonet import ProtoNet


def generator(train: bool = False) -> torch.Generator:
    return torch.Generator().manual_seed(int(train))


def clusters(spread: float) -> ClassSource:
    """Rows of a table far from 0, one column of which is only noise, of a great deviation."""
    noise = np.random.default_rng(0)
    centres = noise.normal(size=(60, 3)) * spread
    x = np.repeat(centres, 12, 0) + noise.normal(size=(720, 3))
    x[:, 2] = noise.normal(size=720) * 1e4
    labels = np.repeat(np.arange(60), 12)
    return random_classes("c", x + 1e5, labels, [f"{i:02}" for i in range(60)], Ways(3), HoldOut())


def lines(tasks: int, examples: int) -> Examples:
    """y = a x₁ + b x₂ + 7 in each task."""
    noise = generator()
    x = torch.randn(tasks, examples, 2, generator=noise)
    return Examples(x, x @ torch.randn(tasks, 2, 1, generator=noise) + 7)


def split(examples: Examples, shots: int) -> Split:
    return Split(
        Examples(examples.x[:, :shots], examples.y[:, :shots]),
        Examples(examples.x[:, shots:], examples.y[:, shots:]),
    )


def errors(found: dict[str, OnItsOwn], tasks: Split) -> dict[str, float]:
    def error(learner: OnItsOwn) -> Iterator[float]:
        for t in range(len(tasks.query.y)):
            own = take(tasks, t)
            guess = learner.predict({}, learner.adapt({}, own.support), own.query.x)
            yield float((guess - own.query.y).square().mean())

    return {name: float(np.mean(list(error(learner)))) for name, learner in found.items()}


def test_ridge_regression_finds_lines_and_a_process_finds_curves() -> None:
    """Each with the settings that suit the training tasks; the mean of the shots finds neither."""
    tasks = split(lines(12, 12), 8)
    found = errors(regressors(tasks), tasks)
    mean, ridge, _ = found
    assert ridge == "ridge, strength 0.001"
    assert found[ridge] < 1e-3 * found[mean]
    waves = Sinusoid().sample(12, 12, 20, "train", generator())
    found = errors(regressors(waves), waves)
    mean, ridge, process = found
    assert found[process] < 0.2 * min(found[ridge], found[mean])
    support = waves.support.y[0]
    guess = regressors(waves)[mean].predict({}, take(waves, 0).support, waves.query.x[0])
    torch.testing.assert_close(guess, support.mean(0).expand(20, 1))


def test_classifiers_see_raw_and_standardised_numbers() -> None:
    """A column of noise hides the others only where it is raw."""
    source = clusters(10.0)
    tasks = source.sample(30, 2, 4, "test", generator())
    found = classifiers(tasks, source.units.x, 3)

    def accuracy(name: str) -> float:
        hits = []
        for t in range(30):
            own = take(tasks, t)
            guess = found[name].predict({}, own.support, own.query.x).argmax(-1)
            hits.append(float((guess == own.query.y).double().mean()))
        return float(np.mean(hits))

    for name in ("nearest centroid", "nearest neighbours", "logistic regression"):
        assert accuracy(f"{name}, standardised") > accuracy(f"{name}, raw") + 0.1


def compared(
    learner: Any, source: Source, shots: int, steps: tuple[int, ...] = ()
) -> FewShotEvaluation:
    theta = learner.init(generator())
    request = Request("test", 40, shots, 5, 0)
    found = evaluate(learner, theta, source, request, steps=steps, generator=generator())
    return compare(found, learner, theta, source, tasks=40, generator=generator)


def test_a_learner_that_is_worse_is_told_so() -> None:
    """With the numbers, on the same tasks, and what to try; the tables come back from JSON."""
    untrained = Maml(MamlConfig(), "regression", Mlp(1, 1, (8,)))
    found = compared(untrained, Sinusoid(), 10, (0, 1))
    said = advice(found, "maml")
    assert said.startswith("Gaussian process")
    assert "on the same 40 tasks" in said
    assert "--algo cnp or --algo r2d2" in said
    assert "--algo cnp" not in advice(found, "cnp")
    assert FewShotEvaluation.from_json(found.to_json()) == found
    best = found.baselines[-1]
    assert best.ahead == pytest.approx(found.best().mean - best.mean, rel=1e-5)


def test_a_learner_that_is_as_good_is_left_alone() -> None:
    """A difference within its interval is none; an evaluation without baselines says nothing."""
    source = clusters(30.0)
    learner = ProtoNet(ProtoNetConfig(), "classification", Mlp(3, 3, (32,)))
    found = compared(learner, source, 5)
    assert len(found.baselines) == 6
    assert advice(found._replace(baselines=()), "protonet") == ""
    near = [b._replace(ahead=0.9 * b.ahead_ci95) for b in found.baselines]
    assert advice(found._replace(baselines=tuple(near)), "protonet") == ""


def test_classes_of_a_column_that_does_not_vary_are_no_error() -> None:
    """Nor is a single shot, of which there is no deviation."""
    x = torch.zeros(1, 2, 3)
    tasks = Split(Examples(x, torch.tensor([[0, 1]])), Examples(x, torch.tensor([[0, 1]])))
    for learner in classifiers(tasks, Standard(), 2).values():
        assert learner.predict({}, take(tasks, 0).support, x[0]).shape == (2, 2)

"""What intervals over classes and sources promise."""

import math

import numpy as np
import pytest
import torch

from metarl.fewshot import Mlp
from metarl.fewshot.data.classes import Ways, random_classes
from metarl.fewshot.data.holdout import HoldOut
from metarl.fewshot.evaluate import FewShotEvaluation, Request, evaluate
from metarl.fewshot.intervals import class_interval, interval
from metarl.fewshot.learners.configs import ProtoNetConfig
from metarl.fewshot.learners.protonet import ProtoNet

WAYS, QUERIES = 5, 8


def cells(classes: int, tasks: int, noise: np.random.Generator) -> tuple[torch.Tensor, ...]:
    """Accuracies of nearest prototypes on new Gaussian classes, some of which lie close."""
    centres = noise.normal(size=(classes, 6)) * noise.uniform(0.5, 2.5, size=(classes, 1))
    chosen = np.argsort(noise.random((tasks, classes)), 1)[:, :WAYS]
    mean = centres[chosen]
    support = mean + noise.normal(size=mean.shape)
    query = mean[:, :, None] + noise.normal(size=(tasks, WAYS, QUERIES, 6))
    distance = np.square(query[:, :, :, None] - support[:, None, None]).sum(-1)
    hits = distance.argmin(-1) == np.arange(WAYS)[:, None]
    return torch.from_numpy(hits.mean(-1)), torch.from_numpy(chosen)


@pytest.mark.parametrize("classes", [5, 6, 15, 60])
def test_the_interval_over_classes_holds_the_mean_over_all_classes(classes: int) -> None:
    """In nearly all of eighty draws of classes; that over tasks alone does not."""
    noise = np.random.default_rng(classes)
    truth = np.mean([float(cells(400, 1000, noise)[0].mean()) for _ in range(3)])
    held = np.zeros(2)
    for _ in range(80):
        found, chosen = cells(classes, 150, noise)
        for i, (mean, ci95) in enumerate((class_interval(found, chosen), interval(found.mean(1)))):
            held[i] += abs(mean - truth) <= ci95
    assert held[0] >= 0.85 * 80
    assert held[1] <= 0.6 * 80


def test_more_tasks_of_the_same_classes_do_not_narrow_the_interval() -> None:
    """Chance does, where there are many classes: it then is that over tasks."""
    noise = np.random.default_rng(0)
    few = [class_interval(*cells(8, tasks, np.random.default_rng(7)))[1] for tasks in (200, 3200)]
    assert few[1] > 0.7 * few[0]
    found = torch.from_numpy(noise.normal(size=(2000, WAYS)))
    chosen = torch.from_numpy(noise.integers(0, 10**6, (2000, WAYS)))
    assert class_interval(found, chosen)[1] == pytest.approx(interval(found.mean(1))[1], rel=0.3)


def test_a_single_pair_of_classes_says_nothing_of_others() -> None:
    """Nor does a single task."""
    pair = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)).double()
    assert math.isnan(class_interval(pair, torch.tensor([[0, 1]]).expand(50, 2))[1])
    assert math.isnan(class_interval(pair[:1], torch.tensor([[0, 1]]))[1])


def measured(classes: int, rotations: bool = False) -> FewShotEvaluation:
    """Of an untrained network on classes of images."""
    noise = np.random.default_rng(0)
    x = noise.normal(size=(classes, 1, 1, 4, 4)).repeat(6, 1) + noise.normal(
        size=(classes, 6, 1, 4, 4)
    )
    x = (255 / (1 + np.exp(-x))).astype(np.uint8).reshape(-1, 1, 4, 4)
    labels = np.repeat(np.arange(classes), 6)
    names = [str(c) for c in range(classes)]
    source = random_classes("c", x, labels, names, Ways(3), HoldOut(), rotations=rotations)
    learner = ProtoNet(ProtoNetConfig(), "classification", Mlp(16, 3, (8,)))
    generator = torch.Generator().manual_seed(0)
    theta, request = learner.init(generator), Request("test", 60, 1, 2, 0)
    return evaluate(learner, theta, source, request, steps=(), generator=generator)


def test_an_evaluation_says_when_its_classes_are_few() -> None:
    """Fewer than three times the ways; images that are turned are the same class."""
    few = measured(20)
    assert (few.classes, few.ways) == (3, 3)
    assert "3 ways are made of 3 held-out classes, fewer than 3 times as many" in few.few_classes()
    assert "--split-seeds" in few.few_classes()
    assert measured(20, rotations=True).classes == 3
    assert measured(60).few_classes() == ""
    assert FewShotEvaluation.from_json(few.to_json()) == few
    assert few.points[0].ci95 > 0.05

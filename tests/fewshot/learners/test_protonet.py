"""Prototypical networks against a naive loop."""

import pytest
import torch

from metarl.fewshot import Examples, Mlp, Split
from metarl.fewshot.learners.configs import ProtoNetConfig
from metarl.fewshot.learners.protonet import ProtoNet
from metarl.fewshot.training import FewShot

WAYS, SHOTS, QUERIES, INPUTS = 3, 2, 4, 5


def batch(tasks: int = 2) -> Split:
    generator = torch.Generator().manual_seed(0)
    halves = []
    for n in (SHOTS, QUERIES):
        x = torch.randn(tasks, WAYS * n, INPUTS, generator=generator)
        halves.append(Examples(x, torch.arange(WAYS).repeat_interleave(n).expand(tasks, -1)))
    return Split(*halves)


def protonet(outputs: int = WAYS) -> ProtoNet:
    return ProtoNet(ProtoNetConfig(), "classification", Mlp(INPUTS, outputs, (6,), "tanh"))


def test_it_equals_a_naive_loop() -> None:
    """Prototypes are class means, logits minus squared distances."""
    learner, split = protonet(), batch(1)
    theta = learner.init(torch.Generator().manual_seed(1))
    task = Split(*(Examples(half.x[0], half.y[0]) for half in split))
    logits = learner.predict(theta, learner.adapt(theta, task.support), task.query.x)
    for i, x in enumerate(task.query.x):
        feature = learner.network.features(theta, x.unsqueeze(0))[0]
        for k in range(WAYS):
            members = [s for s, y in zip(*task.support, strict=True) if y == k]
            features = [learner.network.features(theta, m.unsqueeze(0))[0] for m in members]
            distance = (feature - sum(features) / SHOTS).square().sum()
            torch.testing.assert_close(logits[i, k], -distance, rtol=1e-4, atol=1e-5)


def test_tasks_may_have_fewer_classes_than_training() -> None:
    """A class without examples is never the answer, and changes no other logit."""
    task = Split(*(Examples(half.x[0], half.y[0]) for half in batch(1)))
    few, many = protonet(), protonet(outputs=7)
    theta = few.init(torch.Generator().manual_seed(1))
    expected = few.predict(theta, few.adapt(theta, task.support), task.query.x)
    logits = many.predict(theta, many.adapt(theta, task.support), task.query.x)
    torch.testing.assert_close(logits[:, :WAYS], expected)
    assert bool((logits.argmax(-1) < WAYS).all())


def test_gradients_are_finite_with_absent_classes_and_equal_under_vmap() -> None:
    """NaN of an absent prototype reaches no gradient."""
    learner = protonet(outputs=7)
    theta = learner.init(torch.Generator().manual_seed(1))
    one, all_at_once = (
        FewShot(learner.config, learner, how=how).gradient(theta, batch())
        for how in ("loop", "vmap")
    )
    torch.testing.assert_close(one, all_at_once)
    assert all(bool(torch.isfinite(g).all()) for g in one[1].values())


def test_regression_is_refused() -> None:
    """It has no classes."""
    with pytest.raises(ValueError, match="classes"):
        ProtoNet(ProtoNetConfig(), "regression", Mlp(1, 1))

"""Reptile: what its displacement is, and how displacements are averaged."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from metarl.core.mapping import unstack_tasks
from metarl.core.params import leaves
from metarl.fewshot import Examples, Mlp, Sinusoid, Split, losses
from metarl.fewshot.data.task import take
from metarl.fewshot.learners.configs import ReptileConfig
from metarl.fewshot.learners.reptile import Reptile
from metarl.fewshot.networks.choices import NORMS, Norm
from metarl.fewshot.training import FewShot

CONFIG = ReptileConfig(inner_optimizer="sgd", inner_lr=0.1, inner_steps=1, inner_batch=0)


def reptile(**options: Any) -> Reptile:
    return Reptile(replace(CONFIG, **options), "regression", Mlp(1, 1, (8,), "tanh"))


def batch(tasks: int = 3) -> Split:
    return Sinusoid().sample(tasks, 4, 6, "train", torch.Generator().manual_seed(0))


def test_one_step_of_one_inner_step_is_joint_training() -> None:
    """The displacement is the step size times the gradient of the mean loss over all examples."""
    learner, split = reptile(), batch()
    few_shot = FewShot(learner.config, learner)
    theta = few_shot.init(0).theta
    _, displacement = few_shot.gradient(theta, split)
    free = leaves(theta)
    everything = Examples(*(torch.cat(pair, 1) for pair in zip(*split, strict=True)))
    loss = torch.stack([
        losses.loss("regression", learner.network(free, task.x), task.y)
        for task in unstack_tasks(everything)
    ]).mean()  # fmt: skip
    expected = torch.autograd.grad(loss, list(free.values()))
    for name, gradient in zip(free, expected, strict=True):
        torch.testing.assert_close(displacement[name], CONFIG.inner_lr * gradient)


def test_vmap_equals_the_loop_with_adam_and_batches() -> None:
    """Of the published setting, five steps of ten examples."""
    learner = reptile(inner_optimizer="adam", inner_lr=1e-3, inner_steps=5, inner_batch=4)
    theta = learner.init(torch.Generator().manual_seed(0))
    one, all_at_once = (
        FewShot(learner.config, learner, how=how).gradient(theta, batch())[1]
        for how in ("loop", "vmap")
    )
    torch.testing.assert_close(one, all_at_once)


def test_adam_takes_steps_of_the_inner_rate() -> None:
    """Without first moments, its first step is the sign of the gradient times the rate."""
    learner = reptile(inner_optimizer="adam", inner_lr=1e-3)
    theta = learner.init(torch.Generator().manual_seed(0))
    phi = learner.adapt(theta, unstack_tasks(batch().support)[0])
    for name, p in theta.items():
        moved = (phi[name] - p).abs()
        torch.testing.assert_close(moved, torch.full_like(p, 1e-3), rtol=1e-2, atol=1e-5)


def test_unit_mean_counts_every_task_alike() -> None:
    """Displacements of norm 1 each; of a single task the result has norm 1."""
    learner = reptile(aggregate="unit-mean")
    theta = learner.init(torch.Generator().manual_seed(0))
    _, direction = FewShot(learner.config, learner).gradient(theta, batch(1))
    norm = torch.stack([g.square().sum() for g in direction.values()]).sum().sqrt()
    torch.testing.assert_close(norm, torch.tensor(1.0), rtol=1e-4, atol=0)


def test_small_batches_pass_over_all_examples() -> None:
    """In turn, so that after a few steps every one was seen."""
    learner = reptile(inner_batch=4)
    examples = Examples(torch.arange(10.0).view(10, 1), torch.zeros(10, 1))
    seen = torch.cat([learner._batch(examples, k).x for k in range(5)])
    assert sorted(seen.flatten().tolist()) == sorted([*range(10)] * 2)


@pytest.mark.parametrize("norm", NORMS)
def test_the_displacement_of_one_step_is_a_gradient_by_finite_differences(norm: Norm) -> None:
    """Of the loss on all examples, with every norm; vmapped, in float64."""
    learner = Reptile(CONFIG, "regression", Mlp(1, 1, (8,), "tanh", norm))
    theta = {k: p.double() for k, p in learner.init(torch.Generator().manual_seed(0)).items()}
    split = Split(*(Examples(half.x.double(), half.y.double()) for half in batch()))
    _, displacement = FewShot(CONFIG, learner).gradient(theta, split)
    generator = torch.Generator().manual_seed(1)
    way = {k: torch.randn(p.shape, generator=generator).double() for k, p in theta.items()}
    everything = Examples(*(torch.cat(pair, 1) for pair in zip(*split, strict=True)))

    def loss(step: float) -> torch.Tensor:
        moved = {k: p + step * way[k] for k, p in theta.items()}
        tasks = unstack_tasks(everything)
        return torch.stack([learner.network_loss(moved, task) for task in tasks]).mean()

    slope = torch.stack([(displacement[k] * way[k]).sum() for k in theta]).sum()
    expected = CONFIG.inner_lr * (loss(1e-6) - loss(-1e-6)) / 2e-6
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-8)


def test_the_published_outer_step_goes_all_the_way_to_the_mean() -> None:
    """With a step size of 1, θ becomes the mean of what the tasks end in; at the end it is 0."""
    learner = reptile(outer_optimizer="sgd", lr=1.0, lr_schedule="linear", iterations=2)
    few_shot, split = FewShot(learner.config, learner), batch()
    state = few_shot.init(0)
    after, _ = few_shot.iteration(state, split)
    whole = [
        Examples(*(torch.cat(pair) for pair in zip(*take(split, t), strict=True))) for t in range(3)
    ]
    ends = [learner.adapt(state.theta, examples) for examples in whole]
    for name, p in after.theta.items():
        torch.testing.assert_close(p, torch.stack([phi[name] for phi in ends]).mean(0))
    assert [few_shot.lr(i) for i in (0, 1, 2)] == [1.0, 0.5, 0.0]

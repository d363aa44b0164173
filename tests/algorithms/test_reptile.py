"""Reptile: what its displacement is, and how displacements are averaged."""

from dataclasses import replace
from typing import Any

import torch

from metarl.algorithms.few_shot import FewShot
from metarl.algorithms.reptile import Reptile, ReptileConfig
from metarl.core.mapping import unstack_tasks
from metarl.core.params import leaves
from metarl.fewshot import Examples, Mlp, Sinusoid, Split, losses

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

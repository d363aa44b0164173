"""The meta-gradient of few-shot MAML beside a graph per task, and ways to map convolutions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from benchmarks.iteration import peak_gib
from benchmarks.measure import CORES, Row, Size
from torch import Tensor

from metarl.core.mapping import Workers
from metarl.core.params import Params, leaves
from metarl.fewshot import Conv4, Examples, Mlp, Sinusoid, Split
from metarl.fewshot.data.task import take
from metarl.fewshot.learners.configs import MamlConfig
from metarl.fewshot.learners.maml import Maml
from metarl.fewshot.training import FewShot


def sinusoid_rows(size: Size) -> list[Row]:
    """25 tasks, one step, 40-40 units: gradients per second, and whole iterations with Adam.

    The first row is what learn2learn and higher do: a graph per task by torch.autograd, kept
    through the inner step, and one backward pass over their sum.
    """
    tasks = 2 if size.tiny else 25
    config = MamlConfig(tasks=tasks)
    maml = Maml(config, "regression", Mlp(1, 1))
    plain, fused = FewShot(config, maml), FewShot(config, maml, compiled=True)
    source, generator = Sinusoid(), torch.Generator().manual_seed(0)
    batch = source.sample(tasks, 10, 10, "train", generator)
    state = plain.init(0)
    theta = state.theta

    def iterate() -> None:
        fused.iteration(state, source.sample(tasks, 10, 10, "train", generator))

    often = 1 if size.tiny else 100

    def repeated(run: Callable[[], object]) -> Callable[[], None]:
        def each() -> None:
            for _ in range(often):
                run()

        return each

    return [
        ("autograd, a graph per task", repeated(lambda: _per_task(maml, theta, batch)), often),
        ("vmapped", repeated(lambda: plain.gradient(theta, batch)), often),
        ("vmapped and compiled", repeated(lambda: fused.gradient(theta, batch)), often),
        ("whole iteration, compiled", repeated(iterate), often),
    ]


def omniglot_rows(size: Size) -> list[Row]:
    """Conv4-64, 5-way 1-shot, 15 queries, 32 tasks: tasks per second, however they are mapped."""
    tasks, queries, filters = (2, 1, 4) if size.tiny else (32, 15, 64)
    config = MamlConfig(tasks=tasks, inner_lr=0.4, norm="batch")
    maml = Maml(config, "classification", Conv4((1, 28, 28), 5, filters))
    batch = _pictures(tasks, queries)
    rows: list[Row] = []
    for how in ("loop", "threads", "vmap"):
        few_shot = FewShot(config, maml, how=how, workers=Workers(CORES))
        theta = few_shot.init(0).theta
        rows.append((how, partial(few_shot.gradient, theta, batch), tasks))
    return rows


def memory(size: Size) -> dict[int, float]:
    """Peak memory in GiB after so many meta-iterations on sine waves, which must not grow."""
    config = MamlConfig(tasks=2 if size.tiny else 25)
    few_shot, source = FewShot(config, Maml(config, "regression", Mlp(1, 1))), Sinusoid()
    state, generator, done, found = few_shot.init(0), torch.Generator().manual_seed(0), 0, {}
    for iterations in (20, 40) if size.tiny else (500, 1_000, 2_000, 5_000, 10_000):
        for _ in range(iterations - done):
            batch = source.sample(config.tasks, 10, 10, "train", generator)
            state, _ = few_shot.iteration(state, batch)
        done = iterations
        found[done] = peak_gib()
    return found


def _per_task(maml: Maml, theta: Params, batch: Split) -> list[Tensor]:
    """The meta-gradient by a graph per task."""
    free = leaves(theta)
    losses = []
    for i in range(len(batch.query.y)):
        task = take(batch, i)
        loss = (maml.network(free, task.support.x) - task.support.y).square().mean()
        gradient = torch.autograd.grad(loss, list(free.values()), create_graph=True)
        pairs = zip(free.items(), gradient, strict=True)
        phi = {name: p - maml.config.inner_lr * g for (name, p), g in pairs}
        losses.append((maml.network(phi, task.query.x) - task.query.y).square().mean())
    return list(torch.autograd.grad(torch.stack(losses).mean(), list(free.values())))


def _pictures(tasks: int, queries: int) -> Split:
    """Noise in the form of 5-way 1-shot tasks; what is on a picture does not change its cost."""
    generator = torch.Generator().manual_seed(0)
    halves = []
    for n in (1, queries):
        x = torch.rand(tasks, 5 * n, 1, 28, 28, generator=generator)
        halves.append(Examples(x, torch.arange(5).repeat_interleave(n).expand(tasks, -1)))
    return Split(*halves)

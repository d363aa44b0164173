"""One Fisher product of all tasks, against reverse-over-reverse differentiation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from benchmarks.measure import CORES, Row, Size
from benchmarks.sampling import collect, make_algorithm

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.presets import maml_trpo_preset
from metarl.algorithms.maml_trpo.state import MetaState
from metarl.core.mapping import stack_tasks, unstack_tasks
from metarl.core.params import leaves, unflatten
from metarl.rl.data import PolicyBatch
from metarl.tasks import make_family


def update(size: Size) -> list[Row]:
    """One Fisher product of all tasks: reverse over reverse, and ours in every form."""
    config = maml_trpo_preset("default", "half-cheetah-vel")
    horizon = 5 if size.tiny else max(1, 2000 // size.episodes)
    algorithm = make_algorithm(config, 1)
    state = algorithm.init(0)
    family = make_family("half-cheetah-vel", horizon=horizon)
    run, _ = collect(algorithm, state, family, size)
    inner, _ = algorithm.batch(state, run())
    outer, naive = reverse_over_reverse(algorithm, state, inner)
    rows: list[Row] = []
    for compiled in (False, True):
        for threads in sorted({1, CORES}):
            algorithm = make_algorithm(config, threads, compiled=compiled)
            objective = algorithm.objective(state, size.tasks)
            objective.inner_step(inner)
            objective.set_outer(outer)
            vector = objective.start()[1]
            expected, actual = naive(vector), objective.fisher(vector)
            error = float((expected - actual).norm() / expected.norm())
            name = f"{'compiled' if compiled else 'kept graphs'}, threads: {threads}"
            print(f"relative difference of the Fisher products, {name}: {error:.1e}")
            rows.append((name, partial(objective.fisher, vector), 1.0))
    return [("reverse over reverse, graph kept", lambda: naive(vector), 1.0), *rows]


def reverse_over_reverse(
    algorithm: MamlTrpo, state: MetaState, batch: PolicyBatch
) -> tuple[PolicyBatch, Callable[[torch.Tensor], torch.Tensor]]:
    """v ↦ ∇(∇KL(adapt(θ)) · v), one task at a time, with the graph of the gradient kept.

    Returns:
        The batch with the distributions of the adapted policies, and the product.
    """
    kept, adapted = [], []
    for task in unstack_tasks(batch):
        theta = leaves(state.theta)
        inner = algorithm.losses.inner(theta, task)
        gradient = torch.autograd.grad(inner, list(theta.values()), create_graph=True)
        phi = {k: p - state.rates[k] * g for (k, p), g in zip(theta.items(), gradient, strict=True)}
        new = algorithm.losses.outputs(phi, task)
        old = task._replace(dist={name: p.detach() for name, p in new.items()})
        adapted.append(old)
        kl = algorithm.losses.kl(new, old)
        kept.append((theta, torch.autograd.grad(kl, list(theta.values()), create_graph=True)))

    def product(vector: torch.Tensor) -> torch.Tensor:
        total = torch.zeros_like(vector)
        for theta, gradient in kept:
            v = list(unflatten(vector, theta).values())
            rows = torch.autograd.grad(gradient, list(theta.values()), v, retain_graph=True)
            total += torch.cat([row.reshape(-1) for row in rows])
        return total / len(kept)

    return stack_tasks(adapted), product

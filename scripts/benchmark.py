"""Measure sampling, the meta-update and whole iterations; every figure is a ratio within one run.

python scripts/benchmark.py sampling
python scripts/benchmark.py update
python scripts/benchmark.py iteration --json results.json
python scripts/benchmark.py rl2
python scripts/benchmark.py rl2-cheetah
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium
import mujoco
import numpy as np
import torch
import tyro
from benchmark_rl2 import bandit_rows, cheetah_rows
from mujoco import rollout as mujoco_rollout
from rich.console import Console
from rich.table import Table

import envs
from metarl.algorithms.maml_trpo import MamlTrpo
from metarl.algorithms.maml_trpo_config import MamlTrpoConfig
from metarl.algorithms.meta_objective import MetaState
from metarl.core.mapping import stack_tasks, unstack_tasks
from metarl.core.params import leaves, map_params, unflatten
from metarl.experiment.files import write_json
from metarl.experiment.seeding import rng
from metarl.presets import maml_trpo_preset
from metarl.rl.data import Episodes, PolicyBatch
from metarl.rl.rollout import rollout

What = Literal["sampling", "update", "iteration", "rl2", "rl2-cheetah"]
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Options:
    """Median seconds of interleaved repetitions, and their ratios."""

    what: Annotated[What, tyro.conf.Positional]
    """What to measure."""
    tasks: int = 40
    """T."""
    episodes: int = 20
    """E."""
    repetitions: int = 5
    """How often every row is measured; rows take turns."""
    tiny: bool = False
    """Only show that it runs."""
    json: Path | None = None
    """Also write the table to this file."""


Row = tuple[str, Callable[[], Any], float]  # what, one repetition, units of work in it


def measure(rows: list[Row], repetitions: int) -> dict[str, float]:
    """Units of work per second of every row, by the median of interleaved repetitions."""
    seconds: dict[str, list[float]] = {name: [] for name, _, _ in rows}
    for _, run, _ in rows:
        run()
    for _ in range(repetitions):
        for name, run, _ in rows:
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: work / float(np.median(seconds[name])) for name, _, work in rows}


def raw_limit(controls: np.ndarray) -> Row:
    """mj_step in C on all cores: one call, long rollouts, recorded controls `[N, steps, nu]`."""
    definition = envs.make_family("half-cheetah-vel").definition
    model, skip = definition.model, definition.frame_skip
    pool = mujoco_rollout.Rollout(nthread=CORES)
    data = [mujoco.MjData(model) for _ in range(CORES)]
    start = np.zeros(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS))
    mujoco.mj_getState(model, data[0], start, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    held = np.ascontiguousarray(np.repeat(controls, skip, axis=1))
    count, steps = controls.shape[:2]
    state = np.zeros((count, steps * skip, len(start)))
    starts = np.tile(start, (count, 1))

    def run() -> None:
        pool.rollout(
            [model] * count, data, starts, held, skip_checks=True, nstep=steps * skip, state=state
        )

    return f"mj_step in C, {CORES} threads", run, count * steps


def sync_vector(steps: int) -> Row:
    """Gymnasium's SyncVectorEnv of 20 HalfCheetah-v5 with random actions."""
    env = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("HalfCheetah-v5")] * 20)
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, 20, 6)).astype(np.float32)

    def run() -> None:
        for action in actions:
            env.step(action)

    return "SyncVectorEnv, 20 environments", run, 20 * steps


def collect(
    algorithm: MamlTrpo, state: MetaState, options: Options, horizon: int
) -> tuple[Callable[[], Episodes], int]:
    """Sampling with per-task policies, everything included, and the steps in it."""
    family = envs.make_family("half-cheetah-vel", horizon=horizon)
    env = envs.make_engine(family, options.tasks, options.episodes, threads=CORES)
    tasks = family.split("train").sample(options.tasks, 0)
    learner = algorithm.learner(state)
    phi = map_params(lambda p: p.clone(), learner.start(options.tasks))

    def run() -> Episodes:
        episodes, _ = rollout(
            learner, phi, env, tasks, rng(0), scaling=algorithm.scaling, device=algorithm.device
        )
        return episodes

    return run, options.tasks * options.episodes * horizon


def make_algorithm(config: MamlTrpoConfig, threads: int, *, compiled: bool = False) -> MamlTrpo:
    """MAML-TRPO for the half-cheetah."""
    family = envs.make_family("half-cheetah-vel")
    spaces = family.observation_space, family.action_space
    return MamlTrpo(config, *spaces, threads=threads, compiled=compiled)


def sampling(options: Options) -> list[Row]:
    """Ours, the machine's limit on the controls of the same policy, and Gymnasium's own."""
    horizon = 5 if options.tiny else 200
    algorithm = make_algorithm(maml_trpo_preset("default", "half-cheetah-vel"), CORES)
    run, steps = collect(algorithm, algorithm.init(0), options, horizon)
    action = run().action.flatten(0, 1)
    controls = algorithm.scaling(action).clip(-1, 1).astype(np.float64)
    return [
        raw_limit(controls),
        (f"metarl, {options.tasks} x {options.episodes} environments", run, steps),
        sync_vector(20 if options.tiny else 500),
    ]


def update(options: Options) -> list[Row]:
    """One Fisher product of all tasks: reverse over reverse, and ours in every form."""
    config = maml_trpo_preset("default", "half-cheetah-vel")
    horizon = 5 if options.tiny else max(1, 2000 // options.episodes)
    algorithm = make_algorithm(config, 1)
    state = algorithm.init(0)
    run, _ = collect(algorithm, state, options, horizon)
    inner, _ = algorithm.batch(state, run())
    outer, naive = reverse_over_reverse(algorithm, state, inner)
    rows: list[Row] = []
    for compiled in (False, True):
        for threads in sorted({1, CORES}):
            algorithm = make_algorithm(config, threads, compiled=compiled)
            objective = algorithm.objective(state, options.tasks)
            objective.inner_step(inner)
            objective.set_outer(outer)
            vector = objective.start()[1]
            expected, actual = naive(vector), objective.fisher(vector)
            error = float((expected - actual).norm() / expected.norm())
            name = f"{'compiled' if compiled else 'kept graphs'}, threads: {threads}"
            print(f"relative difference of the Fisher products, {name}: {error:.1e}")
            rows.append((name, lambda o=objective, v=vector: o.fisher(v), 1.0))
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


def iteration(options: Options) -> list[Row]:
    """A whole meta-iteration of preset deleu2020 beside bare stepping in Gymnasium."""
    config = maml_trpo_preset("deleu2020", "half-cheetah-vel")
    family = envs.make_family("half-cheetah-vel", "deleu2020", 5 if options.tiny else None)
    algorithm = make_algorithm(config, CORES, compiled=True)
    env = envs.make_engine(family, options.tasks, options.episodes, threads=CORES)
    tasks = family.split("train").sample(options.tasks, 0)
    state = algorithm.init(0)
    steps = options.tasks * options.episodes * family.horizon * (config.inner_steps + 1)

    def run() -> None:
        algorithm.iteration(state, env, tasks, lambda k: rng(0, k))

    return [
        sync_vector(20 if options.tiny else 500),
        (f"metarl, whole iteration of {steps:,} steps", run, steps),
    ]


def rl2(options: Options) -> list[Row]:
    """RL² on bandits beside torch's GRU alone."""
    return bandit_rows(options.tiny, CORES)


def rl2_cheetah(options: Options) -> list[Row]:
    """RL² on the half-cheetah beside the machine's limit on the controls of the same policy."""
    rows, controls = cheetah_rows(options.tiny, CORES)
    return [raw_limit(controls), *rows]


WHAT = {
    "sampling": sampling,
    "update": update,
    "iteration": iteration,
    "rl2": rl2,
    "rl2-cheetah": rl2_cheetah,
}


def main(argv: list[str] | None = None) -> int:
    """Print one table of ratios to its first row."""
    torch.set_num_threads(1)
    options = tyro.cli(Options, args=argv)
    if options.tiny:
        options = Options(options.what, 2, 2, 1, True, options.json)
    rows = WHAT[options.what](options)
    rates = measure(rows, options.repetitions)
    first = next(iter(rates.values()))
    table = Table(options.what, "per second", "ratio to the first row")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.2f}", f"{rate / first:.2f}")
    Console(width=100).print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GiB, {CORES} cores, median of {options.repetitions}")
    if options.json is not None:
        rows_json = {k: {"per_second": v, "ratio": v / first} for k, v in rates.items()}
        write_json(options.json, {"what": options.what, "rows": rows_json, "peak_gib": peak})
    return 0


if __name__ == "__main__":
    sys.exit(main())

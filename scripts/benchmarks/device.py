"""Sampling and whole iterations on a device: MuJoCo Warp beside its bare steps, by size."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from benchmarks.measure import Clock, Row, Size, measure

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.presets import maml_trpo_preset
from metarl.algorithms.rl2.algorithm import Rl2
from metarl.algorithms.rl2.config import Rl2Config
from metarl.algorithms.rl2.presets import rl2_preset
from metarl.experiment.seeding import rng
from metarl.rl.data import Episodes
from metarl.rl.rollout import ActionScaling, rollout
from metarl.rl.trials import collect_trials
from metarl.tasks import TaskFamily, Tasks, make_engine, make_family
from metarl.tasks.engines.warp import WarpEngine
from metarl.tasks.trial import TrialEngine

GRIDS = ((40, 20), (40, 100))
SCALES = ((16, 16), (32, 32), (64, 64), (128, 128), (256, 256))
ITERATIONS = ("deleu2020", "finn2017")
TRIALS = 60_000
"""Of a recurrent policy at once: no more than the 65,535 that a CUDA grid has along y and z."""
PHYSICS = "bare physics"


def sampling_rows(size: Size) -> list[Row]:
    """half-cheetah-vel with a policy per task, observations, rewards and storage, by T × E.

    Each after the bare physics steps of its own environments, starts and controls, and with the
    share of its time that they take. bandit-k5 and tabular-mdp with a recurrent policy.
    """
    rows: list[Row] = []
    for tasks, episodes in ((2, 2),) if size.tiny else GRIDS:
        rows += _cheetah_rows(_cheetahs(tasks, episodes, size), size)
    for env in ("bandit-k5", "tabular-mdp"):
        config = Rl2Config(tasks=2 if size.tiny else TRIALS, episodes=1, hidden=64, minibatches=1)
        algorithm, trials, tasks_ = _rl2(env, config, size)
        rows.append((f"{env}, {config.tasks:,} trials", _trials(algorithm, trials, tasks_, size),
                     config.tasks * trials.horizon))  # fmt: skip
    return rows


def iteration_rows(size: Size) -> list[Row]:
    """Whole iterations on half-cheetah-vel, everything included: MAML-TRPO by preset, and RL²."""
    return [*(_iteration(preset, size) for preset in ITERATIONS), _rl2_iteration(size)]


class Scale(NamedTuple):
    """So many environments cost this."""

    environments: int
    per_second: float  # steps of the environments, with policy, observation, reward and storage
    physics: float  # the bare physics' share of that time
    gpu_gib: float  # memory in use on the GPU, of torch and Warp


def scaling(size: Size) -> list[Scale]:
    """half-cheetah-vel by the number of environments, up to the first that do not fit."""
    rows = []
    for tasks, episodes in ((2, 2), (3, 3)) if size.tiny else SCALES:
        try:
            rows.append(_scale(tasks, episodes, size))
        except (ValueError, torch.OutOfMemoryError) as error:
            print(error, file=sys.stderr)
            break
        gc.collect()  # frees its memory
        if size.device == "cuda":
            torch.cuda.empty_cache()
    return rows


def _scale(tasks: int, episodes: int, size: Size) -> Scale:
    sampling = _cheetahs(tasks, episodes, size)
    sampling.run()
    gpu_gib = _gpu_gib(size)
    rows = _cheetah_rows(sampling, size)
    *_, rate = measure(rows, 1 if size.tiny else 3).values()
    return Scale(tasks * episodes, rate.per_second, rate.shares[PHYSICS], gpu_gib)


def _gpu_gib(size: Size) -> float:
    if size.device != "cuda":
        return 0.0
    free, total = torch.cuda.mem_get_info()
    return (total - free) / 2**30


def _iteration(preset: str, size: Size) -> Row:
    family = make_family("half-cheetah-vel", preset, 5 if size.tiny else None)
    config = maml_trpo_preset(preset, "half-cheetah-vel")
    tasks, episodes = (2, 2) if size.tiny else (config.tasks, config.episodes)
    algorithm = _maml(family, preset, size)
    env = make_engine(family, tasks, episodes, device=size.device, engine="warp")
    drawn = family.split("train").sample(tasks, 0)
    state = algorithm.init(0)

    def run() -> Clock:
        return _parts(algorithm.iteration(state, env, drawn, lambda k: rng(0, k)), size)

    steps = tasks * episodes * family.horizon * 2
    return f"MAML-TRPO, {preset}, {steps:,} steps", run, steps


def _rl2_iteration(size: Size) -> Row:
    config = rl2_preset("varibad2020-gpu", "half-cheetah-vel")
    if size.tiny:
        config = replace(config, tasks=2, minibatches=1)
    algorithm, trials, tasks = _rl2("half-cheetah-vel", config, size)
    state = algorithm.init(0)

    def run() -> Clock:
        return _parts(algorithm.iteration(state, trials, tasks, lambda k: rng(0, k)), size)

    steps = config.tasks * trials.horizon
    return f"RL², varibad2020-gpu, {steps:,} steps", run, steps


def _parts(done: tuple[object, dict[str, float]], size: Size) -> Clock:
    """Say how much of an iteration was sampling and how much the update."""
    _wait(size)
    return Clock({part: done[1][f"time/{part}"] for part in ("sampling", "update")})


class _Cheetahs(NamedTuple):
    """Sampling of half-cheetah-vel."""

    engine: WarpEngine
    tasks: Tasks
    scaling: ActionScaling
    run: Callable[[], Episodes]  # one whole rollout with a policy per task, always the same


def _cheetahs(tasks: int, episodes: int, size: Size) -> _Cheetahs:
    family = make_family("half-cheetah-vel", horizon=5 if size.tiny else None)
    algorithm = _maml(family, "default", size)
    engine = make_engine(family, tasks, episodes, engine="warp", device=size.device)
    assert isinstance(engine, WarpEngine)
    drawn = family.split("train").sample(tasks, 0)
    learner = algorithm.learner(algorithm.init(0))
    start = learner.start(tasks)
    adapted = start._replace(phi={k: p.clone() for k, p in start.phi.items()})
    scaling, device = algorithm.scaling, algorithm.device
    return _Cheetahs(
        engine,
        drawn,
        scaling,
        lambda: rollout(learner, adapted, engine, drawn, rng(0), scaling=scaling, device=device)[0],
    )


def _cheetah_rows(sampling: _Cheetahs, size: Size) -> list[Row]:
    """The physics alone and all of it; they take turns, so that the shares are of one turn."""
    engine, physics = sampling.engine, _Physics(sampling, size)

    def run() -> Clock:
        sampling.run()
        _wait(size)
        return Clock({PHYSICS: physics.seconds})

    count = f"{engine.num_tasks} × {engine.num_episodes} environments"
    steps = engine.num_tasks * engine.num_episodes * engine.horizon
    return [(f"{PHYSICS}, {count}", physics, steps), (f"half-cheetah-vel, {count}", run, steps)]


class _Physics:
    """The physics steps of a rollout and nothing else, from its starts and with its controls."""

    def __init__(self, sampling: _Cheetahs, size: Size) -> None:
        """Records the controls."""
        self._engine, self._tasks, self._size = sampling.engine, sampling.tasks, size
        self._start = self._engine.draw_noise(rng(0)).reset  # the rollout's first draw too
        episodes = sampling.run()
        scaled = sampling.scaling.like(episodes.obs)(episodes.action)
        steps = self._engine._allowed(scaled).flatten(0, 1).transpose(0, 1)
        self._controls = steps.contiguous()  # [H, T · E, nu]
        self.seconds = 0.0

    def __call__(self) -> None:
        """Replay, and note how long that took."""
        started = time.perf_counter()
        engine = self._engine
        engine.reset(self._tasks, self._start)
        for control in self._controls:
            engine._tensors["ctrl"].copy_(control)
            engine._advance()
        _wait(self._size)
        self.seconds = time.perf_counter() - started


def _maml(family: TaskFamily, preset: str, size: Size) -> MamlTrpo:
    config = maml_trpo_preset(preset, family.name)
    spaces = family.observation_space, family.action_space
    return MamlTrpo(config, *spaces, device=size.device)


def _rl2(env: str, config: Rl2Config, size: Size) -> tuple[Rl2, TrialEngine, Tasks]:
    """The algorithm, one trial of every task, and the tasks."""
    family = make_family(env, horizon=5 if size.tiny else None)
    name = "warp" if family.definition.engine == "threads" else "auto"
    engine = make_engine(family, config.tasks, 1, engine=name, device=size.device)
    trials = TrialEngine(engine, config.episodes)
    spaces = trials.observation_space, trials.action_space
    tasks = family.split("train").sample(config.tasks, 0)
    return Rl2(config, *spaces, device=size.device), trials, tasks


def _trials(algorithm: Rl2, trials: TrialEngine, tasks: Tasks, size: Size) -> Callable[[], None]:
    """One trial of every task with a recurrent policy."""
    learner = algorithm.learner(algorithm.init(0))
    scaling, device = algorithm.scaling, algorithm.device

    def run() -> None:
        collect_trials(learner, trials, tasks, rng(0), scaling=scaling, device=device)
        _wait(size)

    return run


def _wait(size: Size) -> None:
    """For all that was asked of a GPU."""
    if size.device == "cuda":
        torch.cuda.synchronize()

"""Sampling and whole iterations on a device: MuJoCo Warp beside its bare steps, by size."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from benchmarks.measure import Row, Size, measure

import envs
from envs.engines.warp import WarpEngine
from envs.trial import TrialEngine
from metarl.algorithms.maml_trpo import MamlTrpo
from metarl.algorithms.rl2 import Rl2
from metarl.algorithms.rl2_config import Rl2Config
from metarl.experiment.seeding import rng
from metarl.presets import maml_trpo_preset, rl2_preset
from metarl.rl.rollout import rollout
from metarl.rl.trials import collect_trials

GRIDS = ((40, 20), (40, 100))
SCALES = ((16, 16), (32, 32), (64, 64), (128, 128), (256, 256))
ITERATIONS = ("deleu2020", "finn2017")


def sampling_rows(size: Size) -> list[Row]:
    """half-cheetah-vel with a policy per task, observations, rewards and storage, by T × E.

    Each beside the bare physics steps of as many environments: the share of its rate is the share
    of the time that is physics. bandit-k5 and tabular-mdp with a recurrent policy.
    """
    rows: list[Row] = []
    for tasks, episodes in ((2, 2),) if size.tiny else GRIDS:
        engine, run, steps = _cheetahs(tasks, episodes, size)
        count = f"{tasks} × {episodes} environments"
        rows.append((f"bare physics, {count}", _physics(engine), steps))
        rows.append((f"half-cheetah-vel, {count}", run, steps))
    for env in ("bandit-k5", "tabular-mdp"):
        config = Rl2Config(tasks=2 if size.tiny else 65_536, episodes=1, hidden=64, minibatches=1)
        algorithm, trials, tasks_ = _rl2(env, config, size)
        rows.append((f"{env}, {config.tasks:,} trials", _trials(algorithm, trials, tasks_, size),
                     config.tasks * trials.horizon))  # fmt: skip
    return rows


def iteration_rows(size: Size) -> list[Row]:
    """Whole iterations on half-cheetah-vel, everything included: MAML-TRPO by preset, and RL²."""
    return [*(_iteration(preset, size) for preset in ITERATIONS), _rl2_iteration(size)]


class Scale(NamedTuple):
    """What so many environments cost."""

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
    engine, run, steps = _cheetahs(tasks, episodes, size)
    physics: Row = ("physics", _physics(engine), steps)
    rates = measure([("all", run, steps), physics], 1 if size.tiny else 3)
    rate, limit = (rates[name].per_second for name in ("all", "physics"))
    return Scale(tasks * episodes, rate, rate / limit, _gpu_gib(size))


def _gpu_gib(size: Size) -> float:
    if size.device != "cuda":
        return 0.0
    free, total = torch.cuda.mem_get_info()
    return (total - free) / 2**30


def _iteration(preset: str, size: Size) -> Row:
    family = envs.make_family("half-cheetah-vel", preset, 5 if size.tiny else None)
    config = maml_trpo_preset(preset, "half-cheetah-vel")
    tasks, episodes = (2, 2) if size.tiny else (config.tasks, config.episodes)
    algorithm = _maml(family, preset, size)
    env = envs.make_engine(family, tasks, episodes, device=size.device, engine="warp")
    drawn = family.split("train").sample(tasks, 0)
    state = algorithm.init(0)

    def run() -> None:
        algorithm.iteration(state, env, drawn, lambda k: rng(0, k))
        _wait(size)

    steps = tasks * episodes * family.horizon * 2
    return f"MAML-TRPO, {preset}, {steps:,} steps", run, steps


def _rl2_iteration(size: Size) -> Row:
    config = rl2_preset("varibad2020-gpu", "half-cheetah-vel")
    if size.tiny:
        config = replace(config, tasks=2, minibatches=1)
    algorithm, trials, tasks = _rl2("half-cheetah-vel", config, size)
    state = algorithm.init(0)

    def run() -> None:
        algorithm.iteration(state, trials, tasks, lambda k: rng(0, k))
        _wait(size)

    steps = config.tasks * trials.horizon
    return f"RL², varibad2020-gpu, {steps:,} steps", run, steps


def _cheetahs(tasks: int, episodes: int, size: Size) -> tuple[WarpEngine, Callable[[], None], int]:
    """The engine, one whole rollout with a policy per task, and its steps."""
    family = envs.make_family("half-cheetah-vel", horizon=5 if size.tiny else None)
    algorithm = _maml(family, "default", size)
    engine = envs.make_engine(family, tasks, episodes, engine="warp", device=size.device)
    assert isinstance(engine, WarpEngine)
    drawn = family.split("train").sample(tasks, 0)
    learner = algorithm.learner(algorithm.init(0))
    start = learner.start(tasks)
    adapted = start._replace(phi={k: p.clone() for k, p in start.phi.items()})

    def run() -> None:
        rollout(
            learner,
            adapted,
            engine,
            drawn,
            rng(0),
            scaling=algorithm.scaling,
            device=algorithm.device,
        )
        _wait(size)

    return engine, run, tasks * episodes * family.horizon


def _physics(engine: WarpEngine) -> Callable[[], None]:
    """As many control steps as an episode has, and nothing else."""

    def run() -> None:
        for _ in range(engine.horizon):
            engine._advance()
        if engine.device.type == "cuda":
            torch.cuda.synchronize()

    return run


def _maml(family: envs.TaskFamily, preset: str, size: Size) -> MamlTrpo:
    config = maml_trpo_preset(preset, family.name)
    spaces = family.observation_space, family.action_space
    return MamlTrpo(config, *spaces, device=size.device)


def _rl2(env: str, config: Rl2Config, size: Size) -> tuple[Rl2, TrialEngine, envs.Tasks]:
    """The algorithm, one trial of every task, and the tasks."""
    family = envs.make_family(env, horizon=5 if size.tiny else None)
    name = "warp" if family.definition.engine == "threads" else "auto"
    engine = envs.make_engine(family, config.tasks, 1, engine=name, device=size.device)
    trials = TrialEngine(engine, config.episodes)
    spaces = trials.observation_space, trials.action_space
    tasks = family.split("train").sample(config.tasks, 0)
    return Rl2(config, *spaces, device=size.device), trials, tasks


def _trials(
    algorithm: Rl2, trials: TrialEngine, tasks: envs.Tasks, size: Size
) -> Callable[[], None]:
    """One trial of every task with a recurrent policy."""
    learner = algorithm.learner(algorithm.init(0))
    options = {"scaling": algorithm.scaling, "device": algorithm.device}

    def run() -> None:
        collect_trials(learner, trials, tasks, rng(0), **options)
        _wait(size)

    return run


def _wait(size: Size) -> None:
    """For all that was asked of a GPU."""
    if size.device == "cuda":
        torch.cuda.synchronize()

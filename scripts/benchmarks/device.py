"""Sampling and whole iterations on a device: MuJoCo Warp beside its bare steps, by size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from benchmarks.measure import Row, Size

import envs
from envs.engines.device import DeviceEngine
from envs.engines.warp import WarpEngine
from metarl.algorithms.maml_trpo import MamlTrpo
from metarl.experiment.seeding import rng
from metarl.presets import maml_trpo_preset
from metarl.rl.rollout import rollout

GRIDS = ((40, 20), (40, 100), (64, 64), (128, 128), (256, 256))
ITERATIONS = (("deleu2020", 160_000), ("finn2017", 320_000))


def sampling_rows(size: Size) -> list[Row]:
    """half-cheetah-vel with a policy per task, observations, rewards and storage, by T × E.

    Each beside the bare physics steps of as many environments: the share of its rate is the share
    of the time that is physics. bandit-k5 and tabular-mdp with the policy of MAML-TRPO.
    """
    rows: list[Row] = []
    for tasks, episodes in ((2, 2),) if size.tiny else GRIDS:
        engine, run, steps = _sampler("half-cheetah-vel", tasks, episodes, size)
        assert isinstance(engine, WarpEngine)
        count = f"{tasks} × {episodes} environments"
        rows.append((f"bare physics, {count}", _physics(engine), steps))
        rows.append((f"half-cheetah-vel, {count}", run, steps))
    for env in ("bandit-k5", "tabular-mdp"):
        tasks = 2 if size.tiny else 65_536
        _, run, steps = _sampler(env, tasks, 1, size)
        rows.append((f"{env}, {tasks:,} environments", run, steps))
    return rows


def iteration_rows(size: Size) -> list[Row]:
    """Whole iterations of MAML-TRPO on half-cheetah-vel, everything included, per preset."""
    return [_iteration(preset, size) for preset, _ in ITERATIONS]


def _iteration(preset: str, size: Size) -> Row:
    family = envs.make_family("half-cheetah-vel", preset, 5 if size.tiny else None)
    config = maml_trpo_preset(preset, "half-cheetah-vel")
    tasks, episodes = (2, 2) if size.tiny else (config.tasks, config.episodes)
    algorithm = _algorithm(family, preset, size)
    env = envs.make_engine(family, tasks, episodes, device=size.device, engine="warp")
    drawn = family.split("train").sample(tasks, 0)
    state = algorithm.init(0)

    def run() -> None:
        algorithm.iteration(state, env, drawn, lambda k: rng(0, k))
        _wait(size)

    steps = tasks * episodes * family.horizon * 2
    return f"iteration, {preset}, {steps:,} steps", run, steps


def _sampler(
    env: str, tasks: int, episodes: int, size: Size
) -> tuple[DeviceEngine, Callable[[], None], int]:
    """The engine, one whole rollout, and its steps."""
    family = envs.make_family(env, horizon=5 if size.tiny else None)
    algorithm = _algorithm(family, "default", size)
    physics = family.definition.engine == "threads"
    engine = envs.make_engine(
        family, tasks, episodes, engine="warp" if physics else "auto", device=size.device
    )
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

    return engine, run, tasks * episodes * family.horizon  # type: ignore[return-value]


def _physics(engine: WarpEngine) -> Callable[[], None]:
    """As many control steps as an episode has, and nothing else."""

    def run() -> None:
        for _ in range(engine.horizon):
            engine._advance()
        if engine.device.type == "cuda":
            torch.cuda.synchronize()

    return run


def _algorithm(family: envs.TaskFamily, preset: str, size: Size) -> MamlTrpo:
    config = maml_trpo_preset(preset, family.name)
    spaces = family.observation_space, family.action_space
    return MamlTrpo(config, *spaces, device=size.device)


def _wait(size: Size) -> None:
    """For all that was asked of a GPU."""
    if size.device == "cuda":
        torch.cuda.synchronize()

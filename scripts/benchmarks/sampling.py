"""Sampling the half-cheetah with a policy per task, against the machine's limit and other tools."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import gymnasium
import mujoco
import numpy as np
from benchmarks.engines import array_rows
from benchmarks.measure import CORES, Row, Size
from mujoco import rollout as mujoco_rollout

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.maml_trpo.presets import maml_trpo_preset
from metarl.algorithms.maml_trpo.state import MetaState
from metarl.core.params import map_params
from metarl.experiment.seeding import rng
from metarl.rl.data import Episodes
from metarl.rl.rollout import rollout
from metarl.tasks import TaskFamily, make_engine, make_family
from metarl.tasks.engines.mujoco import ThreadsEngine


def sampling(size: Size) -> list[Row]:
    """The machine's limit, ours, and other tools, all of them with the controls of our policy.

    Families without a MuJoCo model are stepped with random actions, see `array_rows`.
    """
    family = make_family(size.env, horizon=5 if size.tiny else None)
    definition = family.definition
    if definition.engine != "threads":
        return array_rows(family, size)
    algorithm = make_algorithm(maml_trpo_preset("default", size.env), CORES, env=size.env)
    run, engine = collect(algorithm, algorithm.init(0), family, size)
    episodes = run()
    space = family.action_space
    assert isinstance(space, gymnasium.spaces.Box)
    controls = (
        algorithm.scaling(episodes.action.flatten(0, 1))
        .clip(space.low, space.high)
        .astype(np.float64)
    )
    taken = int(episodes.mask.any(0).any(0).sum())  # fewer than the horizon where all have ended
    name = f"metarl, {size.tasks} x {size.episodes} environments"
    others = size.env == "half-cheetah-vel"
    models = [model for part in engine.parts or [engine] for model in part.models]
    return [
        raw_limit(models, definition.frame_skip, controls[:, :taken]),
        (name, run, int(episodes.mask.sum())),
        *([sync_vector(controls), *envpool_rows(controls)] if others else []),
    ]


def raw_limit(models: list[mujoco.MjModel], skip: int, controls: np.ndarray) -> Row:
    """mj_step in C on all cores: one call, long rollouts, recorded controls `[N, steps, nu]`."""
    model = models[0]
    pool = mujoco_rollout.Rollout(nthread=CORES)
    data = [mujoco.MjData(model) for _ in range(CORES)]
    start = np.zeros(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS))
    mujoco.mj_getState(model, data[0], start, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    held = np.ascontiguousarray(np.repeat(controls, skip, axis=1))
    count, steps = controls.shape[:2]
    state = np.zeros((count, steps * skip, len(start)))
    starts = np.tile(start, (count, 1))

    def run() -> None:
        pool.rollout(models, data, starts, held, skip_checks=True, nstep=steps * skip, state=state)

    return f"mj_step in C, {count} environments on {CORES} threads", run, count * steps


def sync_vector(controls: np.ndarray) -> Row:
    """Gymnasium's SyncVectorEnv of 20 HalfCheetah-v5 with recorded controls `[N, steps, nu]`."""
    count = min(20, len(controls))
    env = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("HalfCheetah-v5")] * count)
    env.reset(seed=0)
    actions = controls[:count].swapaxes(0, 1).astype(np.float32)

    def run() -> None:
        for action in actions:
            env.step(action)

    return f"SyncVectorEnv, {count} environments", run, count * len(actions)


def envpool_rows(controls: np.ndarray) -> list[Row]:
    """EnvPool's HalfCheetah-v5 with recorded controls `[N, steps, nu]`, if it is installed.

    With as many environments as the SyncVectorEnv has, and with all N.
    """
    if importlib.util.find_spec("envpool") is None:
        return []
    return [envpool_row(controls[:20]), envpool_row(controls)]


def envpool_row(controls: np.ndarray) -> Row:
    """EnvPool with an environment for each of `[N, steps, nu]`."""
    import envpool

    env = envpool.make_gymnasium("HalfCheetah-v5", num_envs=len(controls), num_threads=CORES)
    env.reset()
    actions = np.ascontiguousarray(controls.swapaxes(0, 1))

    def run() -> None:
        for action in actions:
            env.step(action)

    return f"EnvPool, {len(controls)} environments", run, len(controls) * len(actions)


def collect(
    algorithm: MamlTrpo, state: MetaState, family: TaskFamily, size: Size
) -> tuple[Callable[[], Episodes], ThreadsEngine]:
    """Sampling with per-task policies, everything included, and the engine that it runs on."""
    env = make_engine(family, size.tasks, size.episodes, threads=CORES)
    assert isinstance(env, ThreadsEngine)
    tasks = family.split("train").sample(size.tasks, 0)
    learner = algorithm.learner(state)
    start = learner.start(size.tasks)
    adapted = start._replace(phi=map_params(lambda p: p.clone(), start.phi))

    def run() -> Episodes:
        episodes, _ = rollout(
            learner,
            adapted,
            env,
            tasks,
            rng(0),
            scaling=algorithm.scaling,
            device=algorithm.device,
            workers=algorithm.workers,
        )
        return episodes

    return run, env


def make_algorithm(
    config: MamlTrpoConfig, threads: int, *, env: str = "half-cheetah-vel", compiled: bool = False
) -> MamlTrpo:
    """MAML-TRPO for a family."""
    family = make_family(env)
    spaces = family.observation_space, family.action_space
    return MamlTrpo(config, *spaces, threads=threads, compiled=compiled)

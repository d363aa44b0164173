"""The engines without a policy: array families with random actions, and worker processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from benchmarks.measure import CORES, Row, Size

from metarl.tasks import TaskFamily, Uniform
from metarl.tasks.engines.arrays import ArraysEngine
from metarl.tasks.engines.vector.engine import VectorEngine

WIDE = 4096


def array_rows(family: TaskFamily, size: Size) -> list[Row]:
    """4,096 tasks on one core, resets, noise and rewards included, beside 20 plain environments."""
    wide = 8 if size.tiny else WIDE
    engine = ArraysEngine(family, wide, 1)
    tasks = family.split("train").sample(wide, 0)
    actions = _random_actions(family.action_space, (family.horizon, wide, 1))
    generator = np.random.default_rng(0)

    def run() -> None:
        noise = engine.draw_noise(generator)
        engine.reset(tasks, noise.reset)
        for t in range(family.horizon):
            engine.step(actions[t], noise.step[t])

    few = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(family.env_id)] * 20)
    few.reset(seed=0)
    theirs = _random_actions(family.action_space, (family.horizon, 20))

    def run_few() -> None:
        for action in theirs:
            few.step(action)

    return [
        ("SyncVectorEnv, 20 environments", run_few, 20 * family.horizon),
        (f"arrays, {wide:,} environments, one core", run, wide * family.horizon),
    ]


def vector_rows(size: Size) -> list[Row]:
    """A user's environment, Pendulum-v1, in a worker process per core: Gymnasium's and ours."""
    count, horizon = (2, 5) if size.tiny else (40, 200)
    family = TaskFamily(env="Pendulum-v1", parameters={"g": Uniform(6.0, 14.0)}, horizon=horizon)
    theirs = gymnasium.vector.AsyncVectorEnv(
        [lambda: gymnasium.make("Pendulum-v1", max_episode_steps=horizon)] * count
    )
    each = "AsyncVectorEnv, a process per environment"
    rows: list[Row] = [(each, _async(theirs, horizon), count * horizon)]
    for workers in (CORES, 0):
        engine = VectorEngine(family, count, 1, workers)
        name = f"vector, {workers} worker processes" if workers else "vector, this process"
        rows.append((name, _vector(engine, family, horizon), count * horizon))
    return rows


def _async(env: Any, horizon: int) -> Callable[[], None]:
    actions = _random_actions(env.single_action_space, (horizon, env.num_envs)).astype(np.float32)
    env.reset(seed=0)

    def run() -> None:
        for action in actions:
            env.step(action)

    return run


def _vector(engine: VectorEngine, family: TaskFamily, horizon: int) -> Callable[[], None]:
    tasks = family.split("train").sample(engine.num_tasks, 0)
    actions = _random_actions(family.action_space, (horizon, *engine.shape))
    noise = engine.draw_noise(np.random.default_rng(0))

    def run() -> None:
        engine.reset(tasks, noise.reset)
        for t in range(horizon):
            engine.step(actions[t], noise.step[t])

    return run


def _random_actions(space: Any, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.default_rng(0)
    if isinstance(space, gymnasium.spaces.Discrete):
        return generator.integers(space.n, size=shape)
    return generator.uniform(space.low, space.high, (*shape, *space.shape))

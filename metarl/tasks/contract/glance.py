"""A short look at an environment of which nothing is known yet."""

from __future__ import annotations

import numpy as np

from metarl.tasks.family import TaskFamily
from metarl.tasks.task import task_at

TASKS, STEPS = 4, 100


def reward_range(family: TaskFamily) -> tuple[float, float]:
    """The least and the greatest reward that random actions meet in the first steps of some tasks.

    It is the same for the same family: actions, tasks and resets have a seed of their own.

    Raises:
        Exception: whatever the environment raises.
    """
    tasks = family.split("train").sample(TASKS, 0)
    env, seen = family.make(), []
    env.action_space.seed(0)
    try:
        for i in range(TASKS):
            env.reset(seed=i, options={"task": task_at(tasks, i)})
            for _ in range(min(STEPS, family.horizon)):
                _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
                seen.append(float(reward))
                if terminated or truncated:
                    break
    finally:
        env.close()
    return float(np.min(seen)), float(np.max(seen))

"""What the contract looks at: some tasks of a family, and episodes of them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from metarl.tasks.custom.definition import CustomDefinition
from metarl.tasks.distributions import Choice
from metarl.tasks.family import TaskFamily
from metarl.tasks.task import Task, task_at
from metarl.tasks.values import value_at

TASKS, STEPS = 8, 30
Env = gymnasium.Env[Any, Any]


class Trajectory(NamedTuple):
    """An environment returned this from a reset on."""

    obs: np.ndarray  # [H + 1, O]
    reward: np.ndarray  # [H]

    def equals(self, other: Trajectory) -> bool:
        """Bit for bit."""
        return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(self, other, strict=True))


def some_tasks(family: TaskFamily) -> list[Task]:
    """Some that are drawn, and those at the two ends of all ranges that have ends."""
    drawn = family.split("train").sample(TASKS, 0)
    tasks = [task_at(drawn, i) for i in range(TASKS)]
    return tasks + [{**tasks[end], **_ends(family, end)} for end in (0, 1) if _ends(family, end)]


def _ends(family: TaskFamily, end: int) -> Task:
    """The lowest (0) or the highest (1) value of every parameter that may take it."""
    found = {}
    for name, declared in family.parameters.items():
        if isinstance(declared, Choice):
            found[name] = _choice_at(declared, end)
            continue
        value = np.full((1, *family.shapes[name]), declared.bounds[end], np.float64)
        if declared.contains(value).all():
            found[name] = value[0].tolist()
    return found


def _choice_at(choice: Choice, end: int) -> Any:
    """The least (0) or the largest (1) of numbers, the first or the last of other values."""
    one_number = choice.numeric and np.ndim(choice.values) == 1
    values = sorted(choice.values) if one_number else choice.values
    drawn = replace(choice, values=(values[-end],)).sample(1, np.random.default_rng(0))
    return value_at(drawn, 0)


def play(env: Env, family: TaskFamily, seed: int, task: Task | None, hold: int = 0) -> Trajectory:
    """An episode of up to `STEPS` steps; a seed has its actions, or one action to hold."""
    space = copy.deepcopy(family.action_space)
    space.seed(hold)
    held = space.sample()
    obs, _ = env.reset(seed=seed, options={"task": task}) if task else env.reset(seed=seed)
    seen, rewards = [obs], []
    for _ in range(min(STEPS, family.horizon)):
        action = held if hold else space.sample()
        obs, reward, terminated, truncated, _ = env.step(action)
        seen.append(obs)
        rewards.append(reward)
        if terminated or truncated:
            break
    return Trajectory(np.stack(seen), np.array(rewards))


def wander(env: Env, family: TaskFamily, seed: int, task: Task) -> Trajectory:
    """A whole episode with random actions; in every other one each is kept for a while."""
    rng, space = np.random.default_rng(seed), copy.deepcopy(family.action_space)
    space.seed(seed)
    obs, _ = env.reset(seed=seed, options={"task": task})
    seen, rewards, left = [obs], [], 0
    for _ in range(family.horizon):
        if left == 0:
            action = space.sample()
            left = int(rng.integers(1, 1 + max(1, family.horizon // 4))) if seed % 2 else 1
        left -= 1
        obs, reward, terminated, truncated, _ = env.step(action)
        seen.append(obs)
        rewards.append(reward)
        if terminated or truncated:
            break
    return Trajectory(np.stack(seen), np.array(rewards))


def play_each(
    family: TaskFamily, tasks: list[Task], seed: int = 0, hold: int = 0
) -> list[Trajectory]:
    """One episode of each task with the same seed and actions, each in a new environment."""
    runs = []
    for task in tasks:
        env = family.make()
        runs.append(play(env, family, seed, task, hold))
        env.close()
    return runs


def raw_env(family: TaskFamily) -> Env:
    """The environment as its author made it."""
    definition = family.definition
    return definition.build() if isinstance(definition, CustomDefinition) else family.make()

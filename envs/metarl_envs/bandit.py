"""Bernoulli bandits whose arms the agent has to try out (RL², arXiv 1611.02779)."""

from __future__ import annotations

from typing import Literal

import gymnasium
import numpy as np

from metarl.tasks.distributions import Beta
from metarl.tasks.family import TaskFamily
from metarl.tasks.models import Bandit
from metarl.tasks.protocols import NoiseSource, Stepped
from metarl.tasks.task import Task, Tasks
from metarl.tasks.xp import Array, Shape, TaskArrays, Xp


class BernoulliBandit:
    """Arm a pays 1 with probability means[a], else 0. There is nothing to see: a constant 0."""

    engine: Literal["arrays"] = "arrays"
    ends_early = False
    score = "mean"
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)

    def __init__(self, arms: int) -> None:
        """Make a bandit.

        Args:
            arms: k, how many.
        """
        self.action_space = gymnasium.spaces.Discrete(arms)
        self.default_task: Task = {"means": ((np.arange(arms) + 0.5) / arms).tolist()}

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """`[*shape, 0]`: an episode always starts the same way."""
        return np.zeros((*shape, 0))

    def draw_step_noise(self, xp: Xp, rng: NoiseSource, shape: Shape) -> Array:
        """`[*shape, 1]`: the coin of a pull, U(0, 1)."""
        return rng.random((*shape, 1))

    def start(self, xp: Xp, task: TaskArrays, noise: Array) -> Array:
        """The state `[…, 1]`, zero: a bandit has none."""
        return task["means"][..., :1] * 0.0

    def observe(self, xp: Xp, state: Array) -> Array:
        """`[…, 1]`."""
        return state

    def step(self, xp: Xp, state: Array, action: Array, task: TaskArrays, noise: Array) -> Stepped:
        """Next state, reward, terminated and metrics; `mean` is that of the arm pulled."""
        means = xp.broadcast_to(task["means"], (*action.shape, task["means"].shape[-1]))
        mean = xp.take_along_axis(means, action[..., None], axis=-1)[..., 0]
        reward = xp.astype(noise[..., 0] < mean, mean.dtype)
        never = mean < 0.0
        return state, reward, never, {"mean": mean}


def known_arms(tasks: Tasks, horizon: int) -> dict[str, np.ndarray]:
    """Expected returns `[T]` of pulling any arm, and of pulling the best one every time."""
    means = tasks["means"]
    return {"random arm": horizon * means.mean(-1), "best arm": horizon * means.max(-1)}


def _bandit(arms: int) -> TaskFamily:
    return TaskFamily(
        name=f"bandit-k{arms}",
        env_id=f"metarl/BanditK{arms}-v0",
        definition=BernoulliBandit(arms),
        parameters={"means": Beta(size=arms)},
        meaning={"means": "probability that an arm pays"},
        horizon=10,
        references=known_arms,
        model=Bandit("means"),
        presets={"rl2_2016": {"horizon": 10}, "deleu2020": {"horizon": 10}},
    )


BANDIT_K5, BANDIT_K10, BANDIT_K50 = BANDITS = tuple(_bandit(arms) for arms in (5, 10, 50))

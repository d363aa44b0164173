"""A grid in which an unseen cell pays (VariBAD's GridNavi, arXiv 1910.08348)."""

from __future__ import annotations

from itertools import product
from typing import Literal

import gymnasium
import numpy as np

from metarl.tasks.distributions import Choice
from metarl.tasks.family import TaskFamily
from metarl.tasks.pictures import AGENT, GOAL, PALE, Canvas
from metarl.tasks.protocols import NoiseSource, Stepped
from metarl.tasks.task import Task
from metarl.tasks.xp import Array, Shape, TaskArrays, Xp

CELLS = 5
NEAR_START = ((0, 0), (0, 1), (1, 0), (1, 1))


class GridNavigation:
    """−.1 per step, +1 for every step that ends in the goal's cell; the episode goes on there.

    Actions: stay, up (+y), right (+x), down (−y), left (−x); walls stop. The start is (0, 0).
    """

    engine: Literal["arrays"] = "arrays"
    ends_early = False
    frames_per_second = 4
    observation_space = gymnasium.spaces.Box(0.0, CELLS - 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(5)
    default_task: Task = {"goal": [4.0, 4.0]}  # noqa: RUF012

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """`[*shape, 0]`: every episode starts in the corner."""
        return np.zeros((*shape, 0))

    def draw_step_noise(self, xp: Xp, rng: NoiseSource, shape: Shape) -> Array:
        """`[*shape, 0]`: moves succeed."""
        return np.zeros((*shape, 0))

    def start(self, xp: Xp, task: TaskArrays, noise: Array) -> Array:
        """The cell (0, 0): `[…, 2]`."""
        return task["goal"] * 0.0

    def observe(self, xp: Xp, state: Array) -> Array:
        """The cell (x, y), `[…, 2]`."""
        return state

    def step(self, xp: Xp, state: Array, action: Array, task: TaskArrays, noise: Array) -> Stepped:
        """Next state, reward, terminated and metrics."""
        up, right, down, left = (xp.astype(action == k, state.dtype) for k in (1, 2, 3, 4))
        state = xp.clip(state + xp.stack([right - left, up - down], axis=-1), 0.0, CELLS - 1.0)
        met = xp.all(state == task["goal"], axis=-1)
        at_goal = xp.astype(met, state.dtype)
        never = met & ~met
        reward = at_goal - 0.1 * (1.0 - at_goal)
        return state, reward, never, {"at_goal": at_goal}

    def picture(self, state: np.ndarray, task: Task) -> np.ndarray:
        """The cells, the goal's and the agent."""
        canvas = Canvas(((CELLS - 1) / 2, (CELLS - 1) / 2), CELLS + 0.4)
        for cell in product(range(CELLS), repeat=2):
            canvas.box(cell, 0.94, 0.94, PALE)
        canvas.box(task["goal"], 0.94, 0.94, GOAL)
        canvas.disc(state, 0.3, AGENT)
        return canvas.pixels


_GOALS = tuple(
    (float(x), float(y)) for x, y in product(range(CELLS), repeat=2) if (x, y) not in NEAR_START
)

GRID_NAVI = TaskFamily(
    name="grid-navi",
    env_id="metarl/GridNavi-v0",
    definition=GridNavigation(),
    parameters={"goal": Choice(_GOALS)},
    meaning={"goal": "cell that pays, not beside the start"},
    horizon=15,
    presets={"varibad2020": {"horizon": 15}},
)

"""A point that is to reach a goal that it cannot see."""

from __future__ import annotations

from math import pi
from typing import Literal

import gymnasium
import numpy as np

from metarl.tasks.distributions import OnCircle, Uniform
from metarl.tasks.family import TaskFamily
from metarl.tasks.pictures import AGENT, GOAL, PALE, Canvas
from metarl.tasks.protocols import NoiseSource, Stepped
from metarl.tasks.task import Task
from metarl.tasks.xp import Array, Shape, TaskArrays, Xp


class PointMass:
    """A point that starts at the origin and moves by its action, up to .1 in each axis."""

    engine: Literal["arrays"] = "arrays"
    ends_early = True
    frames_per_second = 10
    reach = 1.5  # of the picture, on each side of the origin
    radius = 0.01
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-0.1, 0.1, (2,), np.float32)

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """`[*shape, 0]`: the start is fixed."""
        return np.zeros((*shape, 0))

    def draw_step_noise(self, xp: Xp, rng: NoiseSource, shape: Shape) -> Array:
        """`[*shape, 0]`: moves are exact."""
        return np.zeros((*shape, 0))

    def start(self, xp: Xp, task: TaskArrays, noise: Array) -> Array:
        """The origin: `[…, 2]`."""
        return task["goal"] * 0.0

    def observe(self, xp: Xp, state: Array) -> Array:
        """The position `[…, 2]`."""
        return state

    def picture(self, state: np.ndarray, task: Task) -> np.ndarray:
        """The point, its goal and where it started."""
        canvas = Canvas((0.0, 0.0), 2 * self.reach)
        canvas.disc(task["goal"], max(self.radius, 0.02 * self.reach), GOAL)
        canvas.disc((0.0, 0.0), 0.01 * self.reach, PALE)
        canvas.disc(state, 0.02 * self.reach, AGENT)
        return canvas.pixels


class PointNavigation(PointMass):
    """−‖x − g‖₂ per step until |x − g| < .01 in both axes (Finn et al. 2017, arXiv 1703.03400)."""

    default_task: Task = {"goal": [0.3, 0.3]}  # noqa: RUF012
    reach = 0.75

    def step(self, xp: Xp, state: Array, action: Array, task: TaskArrays, noise: Array) -> Stepped:
        """Next state, reward, terminated and metrics."""
        state = state + action
        gap = state - task["goal"]
        distance = xp.sqrt(xp.sum(gap * gap, axis=-1))
        terminated = xp.all(xp.abs(gap) < self.radius, axis=-1)
        return state, -distance, terminated, {"distance": distance}


class SparsePointNavigation(PointMass):
    """1 − ‖x − g‖₂ where that distance is at most .2, else 0 (PEARL, arXiv 1903.08254).

    The goal lies on the half circle of radius 1 above the start; the episode goes on there.
    """

    ends_early = False
    default_task: Task = {"goal": [0.0, 1.0]}  # noqa: RUF012
    radius = 0.2

    def step(self, xp: Xp, state: Array, action: Array, task: TaskArrays, noise: Array) -> Stepped:
        """Next state, reward, terminated and metrics."""
        state = state + action
        gap = state - task["goal"]
        distance = xp.sqrt(xp.sum(gap * gap, axis=-1))
        near = xp.astype(distance <= self.radius, state.dtype)
        never = distance < 0.0
        return state, near * (1.0 - distance), never, {"distance": distance}


POINT_NAV = TaskFamily(
    name="point-nav",
    env_id="metarl/PointNav-v0",
    definition=PointNavigation(),
    parameters={"goal": Uniform(-0.5, 0.5, unit="m", size=2)},
    meaning={"goal": "position to reach"},
    horizon=100,
    presets={"finn2017": {}, "deleu2020": {}},
)

POINT_NAV_SPARSE = TaskFamily(
    name="point-nav-sparse",
    env_id="metarl/PointNavSparse-v0",
    definition=SparsePointNavigation(),
    parameters={"goal": OnCircle(1.0, 0.0, pi, unit="m")},
    meaning={"goal": "position that pays"},
    horizon=100,
    presets={"pearl2019": {"horizon": 20}, "varibad2020": {"horizon": 100}},
)

"""Gymnasium's acrobot, with links that differ from task to task."""

from __future__ import annotations

from math import pi

import gymnasium
import numpy as np

from metarl.tasks.distributions import Uniform
from metarl.tasks.family import TaskFamily
from metarl.tasks.pictures import AGENT, GOAL, INK, Canvas
from metarl.tasks.protocols import Stepped
from metarl.tasks.task import Task
from metarl.tasks.xp import Array, Shape, TaskArrays, Xp

from .control import Control, symmetric, wrap


class Acrobot(Control):
    """Swing the tip a link's length above the joint: −1 per step, 0 at the last (Acrobot-v1).

    State: θ₁, θ₂ and their velocities. The centres of mass are half-way along the links, the
    moments of inertia m l². Gymnasium's height of 1 is the first link's length here.
    """

    observation_space = symmetric(1.0, 1.0, 1.0, 1.0, 4 * pi, 9 * pi)
    action_space = gymnasium.spaces.Discrete(3)
    default_task: Task = {  # noqa: RUF012
        "length_1": 1.0,
        "length_2": 1.0,
        "mass_1": 1.0,
        "mass_2": 1.0,
    }
    gravity, dt = 9.8, 0.2
    frames_per_second = 15

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """`[*shape, 4]`: U(−.1, .1)."""
        return rng.uniform(-0.1, 0.1, (*shape, 4))

    def start(self, xp: Xp, task: TaskArrays, noise: Array) -> Array:
        """The state `[…, 4]`."""
        return noise

    def observe(self, xp: Xp, state: Array) -> Array:
        """cos θ₁, sin θ₁, cos θ₂, sin θ₂ and the velocities, `[…, 6]`."""
        one, two = state[..., 0], state[..., 1]
        turned = xp.stack([xp.cos(one), xp.sin(one), xp.cos(two), xp.sin(two)], axis=-1)
        obs: Array = xp.concat([turned, state[..., 2:]], axis=-1)
        return obs

    def step(self, xp: Xp, state: Array, action: Array, task: TaskArrays, noise: Array) -> Stepped:
        """Next state, reward, terminated and metrics; torques −1, 0 and 1 on the second joint."""
        torque, h = xp.astype(action, state.dtype) - 1.0, self.dt
        k1 = self._slope(xp, state, torque, task)
        k2 = self._slope(xp, state + h / 2 * k1, torque, task)
        k3 = self._slope(xp, state + h / 2 * k2, torque, task)
        k4 = self._slope(xp, state + h * k3, torque, task)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)  # Runge-Kutta of fourth order
        one, two = wrap(xp, state[..., 0]), wrap(xp, state[..., 1])
        spin_one = xp.clip(state[..., 2], -4 * pi, 4 * pi)
        spin_two = xp.clip(state[..., 3], -9 * pi, 9 * pi)
        height = -task["length_1"] * xp.cos(one) - task["length_2"] * xp.cos(one + two)
        arrived = height > task["length_1"]
        reward = xp.astype(arrived, state.dtype) - 1.0
        return xp.stack([one, two, spin_one, spin_two], axis=-1), reward, arrived, {}

    def _slope(self, xp: Xp, state: Array, torque: Array, task: TaskArrays) -> Array:
        """d state / dt, `[…, 4]` (Sutton and Barto's book)."""
        m1, m2, l1, l2 = (task[k] for k in ("mass_1", "mass_2", "length_1", "length_2"))
        c1, c2, i1, i2 = l1 / 2, l2 / 2, m1 * l1**2, m2 * l2**2
        one, two, v1, v2 = (state[..., i] for i in range(4))
        cos, sin = xp.cos(two), xp.sin(two)
        d1 = m1 * c1**2 + m2 * (l1**2 + c2**2 + 2 * l1 * c2 * cos) + i1 + i2
        d2 = m2 * (c2**2 + l1 * c2 * cos) + i2
        phi2 = m2 * c2 * self.gravity * xp.cos(one + two - pi / 2)
        phi1 = -m2 * l1 * c2 * sin * (v2**2 + 2 * v2 * v1) + phi2
        phi1 = phi1 + (m1 * c1 + m2 * l1) * self.gravity * xp.cos(one - pi / 2)
        a2 = torque + d2 / d1 * phi1 - m2 * l1 * c2 * v1**2 * sin - phi2
        a2 = a2 / (m2 * c2**2 + i2 - d2**2 / d1)
        slope: Array = xp.stack([v1, v2, -(d2 * a2 + phi1) / d1, a2], axis=-1)
        return slope

    def picture(self, state: np.ndarray, task: Task) -> np.ndarray:
        """Both links and the height to reach."""
        canvas, (l1, l2) = Canvas((0.0, 0.0), 6.6), (task["length_1"], task["length_2"])
        joint = l1 * np.sin(state[0]), -l1 * np.cos(state[0])
        both = state[0] + state[1]
        tip = joint[0] + l2 * np.sin(both), joint[1] - l2 * np.cos(both)
        canvas.line((-9.0, l1), (9.0, l1), 0.02, GOAL)
        canvas.line((0.0, 0.0), joint, 0.15, INK)
        canvas.line(joint, tip, 0.15, AGENT)
        return canvas.pixels


ACROBOT = TaskFamily(
    name="acrobot",
    env_id="metarl/Acrobot-v0",
    definition=Acrobot(),
    parameters={
        "length_1": Uniform(0.5, 1.5, unit="m"),
        "length_2": Uniform(0.5, 1.5, unit="m"),
        "mass_1": Uniform(0.5, 1.5, unit="kg"),
        "mass_2": Uniform(0.5, 1.5, unit="kg"),
    },
    meaning={
        "length_1": "of the first link",
        "length_2": "of the second link",
        "mass_1": "of the first link",
        "mass_2": "of the second link",
    },
    horizon=500,
)

"""Gymnasium's pendulum, cart-pole and mountain car, with bodies that differ from task to task.

At the default task each is Gymnasium's own environment, step by step. What follows from a varied
quantity follows it here: a longer link has its centre of mass farther out and more inertia.
"""

from __future__ import annotations

from itertools import pairwise
from math import pi
from typing import Literal

import gymnasium
import numpy as np

from metarl.tasks.distributions import Uniform
from metarl.tasks.family import TaskFamily
from metarl.tasks.pictures import AGENT, GOAL, INK, PALE, Canvas
from metarl.tasks.protocols import NoiseSource, Stepped
from metarl.tasks.task import Task
from metarl.tasks.xp import Array, Shape, TaskArrays, Xp


class Control:
    """All of them share this: the arrays engine, and steps without noise."""

    engine: Literal["arrays"] = "arrays"
    ends_early = True

    def draw_step_noise(self, xp: Xp, rng: NoiseSource, shape: Shape) -> Array:
        """`[*shape, 0]`: physics is exact."""
        return np.zeros((*shape, 0))


def symmetric(*high: float) -> gymnasium.spaces.Box:
    """Make the space from −high to high."""
    bound = np.array(high, dtype=np.float32)
    return gymnasium.spaces.Box(-bound, bound, dtype=np.float32)


class Pendulum(Control):
    """Swing up and stay: −(θ² + 0.1 θ̇² + 0.001 u²) (Pendulum-v1). State: θ, θ̇."""

    observation_space = symmetric(1.0, 1.0, 8.0)
    action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
    ends_early = False
    default_task: Task = {"gravity": 10.0, "mass": 1.0, "length": 1.0}  # noqa: RUF012
    dt = 0.05
    frames_per_second = 30

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """`[*shape, 2]`: any angle, θ̇ in ±1 rad/s."""
        return rng.uniform([-pi, -1.0], [pi, 1.0], (*shape, 2))

    def start(self, xp: Xp, task: TaskArrays, noise: Array) -> Array:
        """The state `[…, 2]`."""
        return noise

    def observe(self, xp: Xp, state: Array) -> Array:
        """cos θ, sin θ and θ̇, `[…, 3]`."""
        angle, speed = state[..., 0], state[..., 1]
        obs: Array = xp.stack([xp.cos(angle), xp.sin(angle), speed], axis=-1)
        return obs

    def step(self, xp: Xp, state: Array, action: Array, task: TaskArrays, noise: Array) -> Stepped:
        """Next state, reward, terminated and metrics."""
        g, m, length = task["gravity"], task["mass"], task["length"]
        angle, speed, u = state[..., 0], state[..., 1], action[..., 0]
        cost = wrap(xp, angle) ** 2 + 0.1 * speed**2 + 0.001 * u**2
        torque = 3 * g / (2 * length) * xp.sin(angle) + 3.0 / (m * length**2) * u
        speed = xp.clip(speed + torque * self.dt, -8.0, 8.0)
        never = speed > 8.0
        return xp.stack([angle + speed * self.dt, speed], axis=-1), -cost, never, {}

    def picture(self, state: np.ndarray, task: Task) -> np.ndarray:
        """The rod; upwards is θ = 0."""
        canvas, length = Canvas((0.0, 0.0), 3.6), task["length"]
        canvas.line(
            (0.0, 0.0), (-length * np.sin(state[0]), length * np.cos(state[0])), 0.16, AGENT
        )
        canvas.disc((0.0, 0.0), 0.05, INK)
        return canvas.pixels


class CartPole(Control):
    """Balance the pole: 1 per step until it falls (CartPole-v1). State: x, ẋ, θ, θ̇."""

    observation_space = symmetric(4.8, np.inf, 24 * pi / 180, np.inf)
    action_space = gymnasium.spaces.Discrete(2)
    default_task: Task = {"half_length": 0.5, "cart_mass": 1.0, "pole_mass": 0.1}  # noqa: RUF012
    gravity, force, dt = 9.8, 10.0, 0.02
    frames_per_second = 50
    x_limit, angle_limit = 2.4, 12 * 2 * pi / 360

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """`[*shape, 4]`: U(−.05, .05)."""
        return rng.uniform(-0.05, 0.05, (*shape, 4))

    def start(self, xp: Xp, task: TaskArrays, noise: Array) -> Array:
        """The state `[…, 4]`."""
        return noise

    def observe(self, xp: Xp, state: Array) -> Array:
        """The state `[…, 4]`."""
        return state

    def step(self, xp: Xp, state: Array, action: Array, task: TaskArrays, noise: Array) -> Stepped:
        """Next state, reward, terminated and metrics; left is 0, right is 1."""
        half, pole = task["half_length"], task["pole_mass"]
        total = task["cart_mass"] + pole
        x, v, angle, spin = (state[..., i] for i in range(4))
        force = self.force * (2.0 * xp.astype(action, state.dtype) - 1.0)
        cos, sin = xp.cos(angle), xp.sin(angle)
        push = (force + pole * half * spin**2 * sin) / total
        turn = (self.gravity * sin - cos * push) / (half * (4.0 / 3.0 - pole * cos**2 / total))
        x, v = x + self.dt * v, v + self.dt * (push - pole * half * turn * cos / total)
        angle, spin = angle + self.dt * spin, spin + self.dt * turn
        fallen = (xp.abs(x) > self.x_limit) | (xp.abs(angle) > self.angle_limit)
        return xp.stack([x, v, angle, spin], axis=-1), x * 0.0 + 1.0, fallen, {}

    def picture(self, state: np.ndarray, task: Task) -> np.ndarray:
        """Cart and pole, to scale."""
        canvas, (x, _, angle, _) = Canvas((0.0, 1.0), 2 * self.x_limit), state
        length = 2 * task["half_length"]
        canvas.line((-9.0, 0.0), (9.0, 0.0), 0.02, PALE)
        canvas.box((x, 0.0), 0.5, 0.25, INK)
        canvas.line(
            (x, 0.1), (x + length * np.sin(angle), 0.1 + length * np.cos(angle)), 0.08, AGENT
        )
        return canvas.pixels


class MountainCar(Control):
    """Reach the top of a hill: −1 per step (MountainCar-v0). State: position, velocity."""

    observation_space = gymnasium.spaces.Box(
        np.array([-1.2, -0.07], np.float32), np.array([0.6, 0.07], np.float32)
    )
    action_space = gymnasium.spaces.Discrete(3)
    default_task: Task = {"force": 0.001}  # noqa: RUF012
    gravity, goal = 0.0025, 0.5
    frames_per_second = 30

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """`[*shape, 1]`: the position, U(−.6, −.4)."""
        return rng.uniform(-0.6, -0.4, (*shape, 1))

    def start(self, xp: Xp, task: TaskArrays, noise: Array) -> Array:
        """The state `[…, 2]`, at rest."""
        state: Array = xp.concat([noise, noise * 0.0], axis=-1)
        return state

    def observe(self, xp: Xp, state: Array) -> Array:
        """The state `[…, 2]`."""
        return state

    def step(self, xp: Xp, state: Array, action: Array, task: TaskArrays, noise: Array) -> Stepped:
        """Next state, reward, terminated and metrics; 0 is left, 1 nothing, 2 right."""
        x, v = state[..., 0], state[..., 1]
        throttle = xp.astype(action, state.dtype) - 1.0
        v = xp.clip(v + throttle * task["force"] - xp.cos(3 * x) * self.gravity, -0.07, 0.07)
        x = xp.clip(x + v, -1.2, 0.6)
        v = xp.where((x == -1.2) & (v < 0.0), v * 0.0, v)  # the wall on the left
        arrived = (x >= self.goal) & (v >= 0.0)
        return xp.stack([x, v], axis=-1), x * 0.0 - 1.0, arrived, {}

    def picture(self, state: np.ndarray, task: Task) -> np.ndarray:
        """The car on its hill, the flag at the goal."""
        canvas = Canvas((-0.3, 0.6), 1.9)
        slope = np.linspace(-1.2, 0.6, 40)
        for left, right in pairwise(slope):
            canvas.line((left, _height(left)), (right, _height(right)), 0.015, INK)
        canvas.box((self.goal, _height(self.goal) + 0.1), 0.02, 0.2, GOAL)
        canvas.disc((state[0], _height(state[0]) + 0.04), 0.04, AGENT)
        return canvas.pixels


def _height(x: float) -> float:
    """Return the height of the mountain car's track."""
    return float(np.sin(3 * x) * 0.45 + 0.55)


def wrap(xp: Xp, angle: Array) -> Array:
    """The same angle in [−π, π)."""
    wrapped: Array = xp.remainder(angle + pi, 2 * pi) - pi
    return wrapped


PENDULUM = TaskFamily(
    name="pendulum",
    env_id="metarl/Pendulum-v0",
    definition=Pendulum(),
    parameters={
        "gravity": Uniform(5.0, 15.0, unit="m/s²"),
        "mass": Uniform(0.5, 1.5, unit="kg"),
        "length": Uniform(0.5, 1.5, unit="m"),
    },
    meaning={"gravity": "downwards", "mass": "of the rod", "length": "of the rod"},
    horizon=200,
)

CARTPOLE = TaskFamily(
    name="cartpole",
    env_id="metarl/CartPole-v0",
    definition=CartPole(),
    parameters={
        "half_length": Uniform(0.25, 1.0, unit="m"),
        "cart_mass": Uniform(0.5, 2.0, unit="kg"),
        "pole_mass": Uniform(0.05, 0.5, unit="kg"),
    },
    meaning={
        "half_length": "half the pole's length",
        "cart_mass": "of the cart",
        "pole_mass": "of the pole",
    },
    horizon=500,
)

MOUNTAIN_CAR = TaskFamily(
    name="mountain-car",
    env_id="metarl/MountainCar-v0",
    definition=MountainCar(),
    parameters={"force": Uniform(0.0008, 0.0016)},
    meaning={"force": "what the engine adds to the velocity"},
    horizon=200,
)

CONTROL = (PENDULUM, CARTPOLE, MOUNTAIN_CAR)

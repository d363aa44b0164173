"""Gymnasium's classic control, with bodies that differ from task to task.

At the default task each is Gymnasium's own environment, step by step. What follows from a varied
quantity follows it here: a longer link has its centre of mass farther out and more inertia.
"""

from __future__ import annotations

from math import pi
from typing import Any

import gymnasium
import numpy as np

from envs.distributions import Uniform
from envs.family import Task, TaskFamily


class _Control:
    """What the four share: the arrays engine, and steps without noise."""

    engine = "arrays"

    def draw_step_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """`[*shape, 0]`: physics is exact."""
        return np.zeros((*shape, 0))


def _box(*high: float) -> gymnasium.spaces.Box:
    """From −high to high."""
    bound = np.array(high, dtype=np.float32)
    return gymnasium.spaces.Box(-bound, bound, dtype=np.float32)


class Pendulum(_Control):
    """Swing up and stay: −(θ² + 0.1 θ̇² + 0.001 u²) (Pendulum-v1). State: θ, θ̇."""

    observation_space = _box(1.0, 1.0, 8.0)
    action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
    default_task: Task = {"gravity": 10.0, "mass": 1.0, "length": 1.0}  # noqa: RUF012
    dt = 0.05

    def draw_reset_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """`[*shape, 2]`: any angle, θ̇ in ±1 rad/s."""
        return rng.uniform([-pi, -1.0], [pi, 1.0], (*shape, 2))

    def start(self, xp: Any, task: Any, noise: Any) -> Any:
        """The state `[…, 2]`."""
        return noise

    def observe(self, xp: Any, state: Any) -> Any:
        """cos θ, sin θ and θ̇, `[…, 3]`."""
        angle, speed = state[..., 0], state[..., 1]
        return xp.stack([xp.cos(angle), xp.sin(angle), speed], axis=-1)

    def step(self, xp: Any, state: Any, action: Any, task: Any, noise: Any) -> Any:
        """Next state, reward, terminated and metrics."""
        g, m, length = task["gravity"], task["mass"], task["length"]
        angle, speed, u = state[..., 0], state[..., 1], action[..., 0]
        cost = _wrap(xp, angle) ** 2 + 0.1 * speed**2 + 0.001 * u**2
        torque = 3 * g / (2 * length) * xp.sin(angle) + 3.0 / (m * length**2) * u
        speed = xp.clip(speed + torque * self.dt, -8.0, 8.0)
        never = speed > 8.0
        return xp.stack([angle + speed * self.dt, speed], axis=-1), -cost, never, {}


class CartPole(_Control):
    """Balance the pole: 1 per step until it falls (CartPole-v1). State: x, ẋ, θ, θ̇."""

    observation_space = _box(4.8, np.inf, 24 * pi / 180, np.inf)
    action_space = gymnasium.spaces.Discrete(2)
    default_task: Task = {"half_length": 0.5, "cart_mass": 1.0, "pole_mass": 0.1}  # noqa: RUF012
    gravity, force, dt = 9.8, 10.0, 0.02
    x_limit, angle_limit = 2.4, 12 * 2 * pi / 360

    def draw_reset_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """`[*shape, 4]`: U(−.05, .05)."""
        return rng.uniform(-0.05, 0.05, (*shape, 4))

    def start(self, xp: Any, task: Any, noise: Any) -> Any:
        """The state `[…, 4]`."""
        return noise

    def observe(self, xp: Any, state: Any) -> Any:
        """The state `[…, 4]`."""
        return state

    def step(self, xp: Any, state: Any, action: Any, task: Any, noise: Any) -> Any:
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


class MountainCar(_Control):
    """Reach the top of a hill: −1 per step (MountainCar-v0). State: position, velocity."""

    observation_space = gymnasium.spaces.Box(
        np.array([-1.2, -0.07], np.float32), np.array([0.6, 0.07], np.float32)
    )
    action_space = gymnasium.spaces.Discrete(3)
    default_task: Task = {"force": 0.001}  # noqa: RUF012
    gravity, goal = 0.0025, 0.5

    def draw_reset_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """`[*shape, 1]`: the position, U(−.6, −.4)."""
        return rng.uniform(-0.6, -0.4, (*shape, 1))

    def start(self, xp: Any, task: Any, noise: Any) -> Any:
        """The state `[…, 2]`, at rest."""
        return xp.concat([noise, noise * 0.0], axis=-1)

    def observe(self, xp: Any, state: Any) -> Any:
        """The state `[…, 2]`."""
        return state

    def step(self, xp: Any, state: Any, action: Any, task: Any, noise: Any) -> Any:
        """Next state, reward, terminated and metrics; 0 is left, 1 nothing, 2 right."""
        x, v = state[..., 0], state[..., 1]
        throttle = xp.astype(action, state.dtype) - 1.0
        v = xp.clip(v + throttle * task["force"] - xp.cos(3 * x) * self.gravity, -0.07, 0.07)
        x = xp.clip(x + v, -1.2, 0.6)
        v = xp.where((x == -1.2) & (v < 0.0), v * 0.0, v)  # the wall on the left
        arrived = (x >= self.goal) & (v >= 0.0)
        return xp.stack([x, v], axis=-1), x * 0.0 - 1.0, arrived, {}


class Acrobot(_Control):
    """Swing the tip a link's length above the joint: −1 per step, 0 at the last (Acrobot-v1).

    State: θ₁, θ₂ and their velocities. The centres of mass are half-way along the links, the
    moments of inertia m l². Gymnasium's height of 1 is the first link's length here.
    """

    observation_space = _box(1.0, 1.0, 1.0, 1.0, 4 * pi, 9 * pi)
    action_space = gymnasium.spaces.Discrete(3)
    default_task: Task = {  # noqa: RUF012
        "length_1": 1.0,
        "length_2": 1.0,
        "mass_1": 1.0,
        "mass_2": 1.0,
    }
    gravity, dt = 9.8, 0.2

    def draw_reset_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """`[*shape, 4]`: U(−.1, .1)."""
        return rng.uniform(-0.1, 0.1, (*shape, 4))

    def start(self, xp: Any, task: Any, noise: Any) -> Any:
        """The state `[…, 4]`."""
        return noise

    def observe(self, xp: Any, state: Any) -> Any:
        """cos θ₁, sin θ₁, cos θ₂, sin θ₂ and the velocities, `[…, 6]`."""
        one, two = state[..., 0], state[..., 1]
        turned = xp.stack([xp.cos(one), xp.sin(one), xp.cos(two), xp.sin(two)], axis=-1)
        return xp.concat([turned, state[..., 2:]], axis=-1)

    def step(self, xp: Any, state: Any, action: Any, task: Any, noise: Any) -> Any:
        """Next state, reward, terminated and metrics; torques −1, 0 and 1 on the second joint."""
        torque, h = xp.astype(action, state.dtype) - 1.0, self.dt
        k1 = self._slope(xp, state, torque, task)
        k2 = self._slope(xp, state + h / 2 * k1, torque, task)
        k3 = self._slope(xp, state + h / 2 * k2, torque, task)
        k4 = self._slope(xp, state + h * k3, torque, task)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)  # Runge-Kutta of fourth order
        one, two = _wrap(xp, state[..., 0]), _wrap(xp, state[..., 1])
        spin_one = xp.clip(state[..., 2], -4 * pi, 4 * pi)
        spin_two = xp.clip(state[..., 3], -9 * pi, 9 * pi)
        height = -task["length_1"] * xp.cos(one) - task["length_2"] * xp.cos(one + two)
        arrived = height > task["length_1"]
        reward = xp.astype(arrived, state.dtype) - 1.0
        return xp.stack([one, two, spin_one, spin_two], axis=-1), reward, arrived, {}

    def _slope(self, xp: Any, state: Any, torque: Any, task: Any) -> Any:
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
        return xp.stack([v1, v2, -(d2 * a2 + phi1) / d1, a2], axis=-1)


def _wrap(xp: Any, angle: Any) -> Any:
    """The same angle in [−π, π)."""
    return xp.remainder(angle + pi, 2 * pi) - pi


PENDULUM = TaskFamily(
    name="pendulum",
    env_id="metarl/Pendulum-v0",
    definition=Pendulum(),
    parameters={
        "gravity": Uniform(5.0, 15.0, unit="m/s²"),
        "mass": Uniform(0.5, 1.5, unit="kg"),
        "length": Uniform(0.5, 1.5, unit="m"),
    },
    meaning={"gravity": "gravity", "mass": "of the rod", "length": "of the rod"},
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
    meaning={"force": "what the engine adds to the velocity per step"},
    horizon=200,
)

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
        "length_1": "of the link at the joint that is held",
        "length_2": "of the link at its end",
        "mass_1": "of the first link",
        "mass_2": "of the second link",
    },
    horizon=500,
)

CONTROL = (PENDULUM, CARTPOLE, MOUNTAIN_CAR, ACROBOT)

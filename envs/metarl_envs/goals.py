"""What a body is to do: a reward for each kind of task; `a` is the action after clipping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from metarl.tasks.physics import Physics
from metarl.tasks.task import Task
from metarl.tasks.xp import Array, Metrics, TaskArrays, Xp

from .bodies import Body


class Goal(Protocol):
    """Rewards one control step of a body."""

    @property
    def default_task(self) -> Task:
        """A plain `reset()` takes this task."""

    def reward(
        self, xp: Xp, body: Body, before: Physics, action: Array, after: Physics, task: TaskArrays
    ) -> tuple[Array, Metrics]:
        """The reward `[…]` and the metrics; every array may have any leading axes."""


@dataclass(frozen=True)
class RunAtVelocity:
    """−|v − v*| + alive − control Σa², v the velocity along x."""

    control: float
    alive: float = 0.0
    default: float = 1.0

    @property
    def default_task(self) -> Task:
        """One velocity."""
        return {"velocity": self.default}

    def reward(
        self, xp: Xp, body: Body, before: Physics, action: Array, after: Physics, task: TaskArrays
    ) -> tuple[Array, Metrics]:
        """The reward `[…]` and the metrics."""
        v = body.velocity(xp, before, after)[..., 0]
        effort = xp.sum(action * action, axis=-1)
        reward = self.alive - xp.abs(v - task["velocity"]) - self.control * effort
        return reward, {"velocity": v}


@dataclass(frozen=True)
class RunForwardsOrBackwards:
    """d v + alive − control Σa², v the velocity along x and d = ±1."""

    control: float
    alive: float = 0.0

    @property
    def default_task(self) -> Task:
        """Forwards."""
        return {"direction": 1.0}

    def reward(
        self, xp: Xp, body: Body, before: Physics, action: Array, after: Physics, task: TaskArrays
    ) -> tuple[Array, Metrics]:
        """The reward `[…]` and the metrics."""
        v = body.velocity(xp, before, after)[..., 0]
        effort = xp.sum(action * action, axis=-1)
        return task["direction"] * v + self.alive - self.control * effort, {"velocity": v}


@dataclass(frozen=True)
class RunTowards:
    """w d·v + alive − control Σa², d a unit vector in the plane."""

    control: float
    alive: float = 0.0
    weight: float = 1.0

    @property
    def default_task(self) -> Task:
        """Along x."""
        return {"direction": [1.0, 0.0]}

    def reward(
        self, xp: Xp, body: Body, before: Physics, action: Array, after: Physics, task: TaskArrays
    ) -> tuple[Array, Metrics]:
        """The reward `[…]` and the metrics; `velocity` is that along d."""
        along = xp.sum(body.velocity(xp, before, after) * task["direction"], axis=-1)
        effort = xp.sum(action * action, axis=-1)
        return self.weight * along + self.alive - self.control * effort, {"velocity": along}


@dataclass(frozen=True)
class Reach:
    """−‖x − g‖₁ − control Σa², x the position after the step."""

    control: float

    @property
    def default_task(self) -> Task:
        """Two metres ahead."""
        return {"goal": [2.0, 0.0]}

    def reward(
        self, xp: Xp, body: Body, before: Physics, action: Array, after: Physics, task: TaskArrays
    ) -> tuple[Array, Metrics]:
        """The reward `[…]` and the metrics."""
        distance = xp.sum(xp.abs(body.position(xp, after) - task["goal"]), axis=-1)
        effort = xp.sum(action * action, axis=-1)
        return -distance - self.control * effort, {"distance": distance}


@dataclass(frozen=True)
class RunForwards:
    """v + alive (while it has not fallen) − control Σa²: Gymnasium's own reward."""

    control: float
    alive: float = 0.0
    default_task: Task = field(default_factory=dict)

    def reward(
        self, xp: Xp, body: Body, before: Physics, action: Array, after: Physics, task: TaskArrays
    ) -> tuple[Array, Metrics]:
        """The reward `[…]` and the metrics."""
        v = body.velocity(xp, before, after)[..., 0]
        upright = xp.astype(~body.fallen(xp, after), v.dtype)
        effort = xp.sum(action * action, axis=-1)
        return v + self.alive * upright - self.control * effort, {"velocity": v}

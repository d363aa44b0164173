"""Bodies that are to run somewhere, at some speed, or in some direction.

Velocity is (x_after − x_before) / dt of the root's position (the humanoid's: of its centre of
mass). No episode ends before the horizon unless a body falls, which is a termination.
"""

from __future__ import annotations

from math import pi
from typing import Literal

import gymnasium
import mujoco
import numpy as np

from metarl.tasks.distributions import Choice, InDisk, OnCircle, Uniform
from metarl.tasks.family import TaskFamily
from metarl.tasks.physics import Physics
from metarl.tasks.task import Task, Tasks
from metarl.tasks.xp import Array, Metrics, TaskArrays, Xp

from .bodies import Ant, Body, HalfCheetah, Hopper, Humanoid, Swimmer, Walker2d
from .goals import Goal, Reach, RunAtVelocity, RunForwardsOrBackwards, RunTowards


class Locomotion:
    """A body and its goal, as the threads engine steps them."""

    engine: Literal["threads"] = "threads"
    camera = "track"
    changes_model = False

    def __init__(self, body: Body, goal: Goal) -> None:
        """Join a body and a goal.

        Args:
            body: physics and observation.
            goal: the reward.
        """
        self.body = body
        self.goal = goal
        self.default_task = goal.default_task
        self.frame_skip = body.frame_skip
        self.derived = body.derived
        self.draw_reset_noise = body.draw_reset_noise
        self.observe = body.observe
        self.terminated = body.fallen
        self.ends_early = body.ends_early

    @property
    def model(self) -> mujoco.MjModel:
        """The compiled MuJoCo model; of the default task where tasks change it."""
        return self.body.model

    @property
    def frames_per_second(self) -> int:
        """Control steps per second."""
        return round(1 / self.body.dt)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        """Unbounded."""
        return gymnasium.spaces.Box(-np.inf, np.inf, (self.body.observation_size,), np.float32)

    @property
    def action_space(self) -> gymnasium.spaces.Box:
        """The actuators take these actions."""
        low, high = self.model.actuator_ctrlrange.astype(np.float32).T
        return gymnasium.spaces.Box(low, high, dtype=np.float32)

    def apply(self, model: mujoco.MjModel, task: Task) -> None:
        """Nothing: all tasks have the same model."""

    def reward(
        self, xp: Xp, before: Physics, action: Array, after: Physics, task: TaskArrays
    ) -> tuple[Array, Metrics]:
        """The reward `[…]` and the metrics."""
        return self.goal.reward(xp, self.body, before, action, after, task)


def best_constant_speed(tasks: Tasks, horizon: int) -> dict[str, np.ndarray]:
    """−H |v − v*| of the one speed v that is best on average over `tasks`, without any effort.

    No policy that does not adapt does better on a reward of −|v − v*| − effort.
    """
    wanted = tasks["velocity"]
    return {"best constant speed": -horizon * np.abs(wanted - np.median(wanted))}


_SLOW = {"velocity": Uniform(0.0, 2.0, unit="m/s")}
_FAST = {"velocity": Uniform(0.0, 3.0, unit="m/s")}
_VELOCITY = {"velocity": "target velocity of the torso"}
_TWO_WAYS = Choice((-1.0, 1.0))
_DIRECTION = {"direction": "+1 forwards, −1 backwards"}
_ALL_WAYS = OnCircle(1.0, 0.0, 2 * pi)
_HEADING = {"direction": "unit vector to run along"}


def _cheetah(goal: Goal, *, torso: bool) -> Locomotion:
    return Locomotion(HalfCheetah(torso=torso), goal)


_VEL, _VEL_20D = (_cheetah(RunAtVelocity(control=0.05), torso=t) for t in (False, True))
_DIR, _DIR_20D = (_cheetah(RunForwardsOrBackwards(control=0.05), torso=t) for t in (False, True))

HALF_CHEETAH_VEL = TaskFamily(
    name="half-cheetah-vel",
    env_id="metarl/HalfCheetahVel-v0",
    definition=_VEL,
    parameters=_SLOW,
    meaning=_VELOCITY,
    horizon=200,
    references=best_constant_speed,
    presets={
        "finn2017": {"parameters": _SLOW, "horizon": 200},
        "deleu2020": {"parameters": _SLOW, "horizon": 100},
        "promp2018": {"parameters": _FAST, "horizon": 100},
        "pearl2019": {"parameters": _FAST, "horizon": 200},
        "varibad2020": {"parameters": _FAST, "horizon": 200},
        "varibad2020-gpu": {"parameters": _FAST, "horizon": 200},
        "finn2017-20d": {"definition": _VEL_20D, "parameters": _SLOW, "horizon": 200},
        "deleu2020-20d": {"definition": _VEL_20D, "parameters": _SLOW, "horizon": 100},
        "varibad2020-20d": {"definition": _VEL_20D, "parameters": _FAST, "horizon": 200},
    },
)

HALF_CHEETAH_DIR = TaskFamily(
    name="half-cheetah-dir",
    env_id="metarl/HalfCheetahDir-v0",
    definition=_DIR,
    parameters={"direction": _TWO_WAYS},
    meaning=_DIRECTION,
    horizon=200,
    presets={
        "finn2017": {"horizon": 200},
        "deleu2020": {"horizon": 100},
        "promp2018": {"horizon": 100},
        "pearl2019": {"horizon": 200},
        "varibad2020": {"horizon": 200},
        "varibad2020-gpu": {"horizon": 200},
        "finn2017-20d": {"definition": _DIR_20D, "horizon": 200},
        "deleu2020-20d": {"definition": _DIR_20D, "horizon": 100},
        "varibad2020-20d": {"definition": _DIR_20D, "horizon": 200},
    },
)

ANT_VEL = TaskFamily(
    name="ant-vel",
    env_id="metarl/AntVel-v0",
    definition=Locomotion(Ant(), RunAtVelocity(control=0.005, alive=1.05)),
    parameters=_FAST,
    meaning=_VELOCITY,
    horizon=200,
    presets={"finn2017": {"horizon": 200}, "deleu2020": {"horizon": 100}},
)

_ANT_DIR_COSTLY = Locomotion(Ant(), RunForwardsOrBackwards(control=0.5, alive=1.0))

ANT_DIR = TaskFamily(
    name="ant-dir",
    env_id="metarl/AntDir-v0",
    definition=Locomotion(Ant(), RunForwardsOrBackwards(control=0.005, alive=0.05)),
    parameters={"direction": _TWO_WAYS},
    meaning=_DIRECTION,
    horizon=200,
    presets={
        "finn2017": {"horizon": 200},
        "deleu2020": {"horizon": 100},
        "promp2018": {"definition": _ANT_DIR_COSTLY, "horizon": 100},
        "pearl2019": {"definition": _ANT_DIR_COSTLY, "horizon": 200},
        "varibad2020": {"definition": _ANT_DIR_COSTLY, "horizon": 200},
    },
)

ANT_DIR_2D = TaskFamily(
    name="ant-dir-2d",
    env_id="metarl/AntDir2d-v0",
    definition=Locomotion(Ant(), RunTowards(control=0.5, alive=1.0)),
    parameters={"direction": _ALL_WAYS},
    meaning=_HEADING,
    horizon=200,
    presets={"promp2018": {"horizon": 100}, "pearl2019": {"horizon": 200}},
)

ANT_GOAL = TaskFamily(
    name="ant-goal",
    env_id="metarl/AntGoal-v0",
    definition=Locomotion(Ant(see_position=True, falls=False), Reach(control=0.1)),
    parameters={"goal": InDisk(3.0, unit="m")},
    meaning={"goal": "where the torso is to be"},
    horizon=200,
    presets={
        "promp2018": {"horizon": 200},
        "pearl2019": {"horizon": 200},
        "varibad2020": {"horizon": 200},
    },
)

HUMANOID_DIR = TaskFamily(
    name="humanoid-dir",
    env_id="metarl/HumanoidDir-v0",
    definition=Locomotion(Humanoid(), RunTowards(control=0.1, alive=5.0, weight=1.25)),
    parameters={"direction": _ALL_WAYS},
    meaning=_HEADING,
    horizon=200,
    presets={"promp2018": {"horizon": 200}, "pearl2019": {"horizon": 200}},
)

_WALKER = RunAtVelocity(control=1e-3, alive=15.0, default=5.0)

WALKER2D_VEL = TaskFamily(
    name="walker2d-vel",
    env_id="metarl/Walker2dVel-v0",
    definition=Locomotion(Walker2d(frame_skip=8), _WALKER),
    parameters={"velocity": Uniform(0.0, 10.0, unit="m/s")},
    meaning=_VELOCITY,
    horizon=200,
    presets={"promp2018": {"horizon": 200}},
)

HOPPER_VEL = TaskFamily(
    name="hopper-vel",
    env_id="metarl/HopperVel-v0",
    definition=Locomotion(Hopper(), RunAtVelocity(control=1e-3, alive=2.0)),
    parameters=_SLOW,
    meaning=_VELOCITY,
    horizon=200,
)

SWIMMER_VEL = TaskFamily(
    name="swimmer-vel",
    env_id="metarl/SwimmerVel-v0",
    definition=Locomotion(Swimmer(), RunAtVelocity(control=1e-4, default=0.15)),
    parameters={"velocity": Uniform(0.1, 0.2, unit="m/s")},
    meaning=_VELOCITY,
    horizon=200,
    references=best_constant_speed,
    presets={"promp2018": {"horizon": 200}},
)

LOCOMOTION = (
    HALF_CHEETAH_VEL,
    HALF_CHEETAH_DIR,
    ANT_VEL,
    ANT_DIR,
    ANT_DIR_2D,
    ANT_GOAL,
    HUMANOID_DIR,
    WALKER2D_VEL,
    HOPPER_VEL,
    SWIMMER_VEL,
)

"""Half-cheetah families on Gymnasium's own model (HalfCheetah-v5's physics).

Velocity is (x_after − x_before) / dt of the torso; `a` is the action after clipping.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np

from envs.distributions import Choice, Uniform
from envs.family import Task, TaskFamily

_ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
CONTROL_COST = 0.05


class HalfCheetah:
    """The cheetah's physics and observation; a subclass says what is rewarded."""

    engine = "threads"
    frame_skip = 5
    camera = "track"
    reset_noise_scale = 0.1
    default_task: Task

    @cached_property
    def model(self) -> Any:
        """The compiled MuJoCo model, of 14 kg as in HalfCheetah-v5.

        The model file asks the compiler for its total mass, which MuJoCo 4 has deprecated; the
        same scaling is done on the compiled model.
        """
        spec = mujoco.MjSpec.from_file(str(_ASSETS / "half_cheetah.xml"))
        mass, spec.compiler.settotalmass = spec.compiler.settotalmass, -1.0
        model = spec.compile()
        mujoco.mj_setTotalmass(model, mass)
        mujoco.mj_setConst(model, mujoco.MjData(model))
        return model

    @cached_property
    def observation_space(self) -> gymnasium.spaces.Box:
        """Positions without the torso's x (8), then velocities (9)."""
        return gymnasium.spaces.Box(-np.inf, np.inf, (17,), np.float32)

    @cached_property
    def action_space(self) -> gymnasium.spaces.Box:
        """Torques of six joints."""
        low, high = self.model.actuator_ctrlrange.astype(np.float32).T
        return gymnasium.spaces.Box(low, high, dtype=np.float32)

    @property
    def dt(self) -> float:
        """Seconds per control step."""
        return float(self.model.opt.timestep) * self.frame_skip

    def draw_reset_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """`[*shape, 18]`: offsets of positions, U(−.1, .1), and of velocities, .1 N(0, 1)."""
        scale = self.reset_noise_scale
        position = rng.uniform(-scale, scale, (*shape, self.model.nq))
        velocity = scale * rng.standard_normal((*shape, self.model.nv))
        return np.concatenate([position, velocity], -1)

    def observe(self, xp: Any, qpos: Any, qvel: Any) -> Any:
        """`[…, 17]`."""
        return xp.concat([qpos[..., 1:], qvel], axis=-1)

    def velocity(self, before: Any, after: Any) -> Any:
        """Metres per second of the torso from its positions `[…, 9]` before and after a step."""
        return (after[..., 0] - before[..., 0]) / self.dt


class HalfCheetahVelocity(HalfCheetah):
    """Run at a target velocity: −|v − v*| − 0.05 Σa² (Finn et al. 2017, arXiv 1703.03400)."""

    default_task: Task = {"velocity": 1.0}  # noqa: RUF012

    def reward(self, xp: Any, before: Any, action: Any, after: Any, task: Any) -> tuple[Any, Any]:
        """The reward `[…]` and the metrics."""
        v = self.velocity(before, after)
        reward = -xp.abs(v - task["velocity"]) - CONTROL_COST * xp.sum(action * action, axis=-1)
        return reward, {"velocity": v}


class HalfCheetahDirection(HalfCheetah):
    """Run forwards (+1) or backwards (−1): d·v − 0.05 Σa² (Finn et al. 2017)."""

    default_task: Task = {"direction": 1.0}  # noqa: RUF012

    def reward(self, xp: Any, before: Any, action: Any, after: Any, task: Any) -> tuple[Any, Any]:
        """The reward `[…]` and the metrics."""
        v = self.velocity(before, after)
        reward = task["direction"] * v - CONTROL_COST * xp.sum(action * action, axis=-1)
        return reward, {"velocity": v}


_SLOW = {"velocity": Uniform(0.0, 2.0, unit="m/s")}
_FAST = {"velocity": Uniform(0.0, 3.0, unit="m/s")}

HALF_CHEETAH_VEL = TaskFamily(
    name="half-cheetah-vel",
    env_id="metarl/HalfCheetahVel-v0",
    definition=HalfCheetahVelocity(),
    parameters=_SLOW,
    meaning={"velocity": "target velocity of the torso"},
    horizon=200,
    presets={
        "finn2017": {"parameters": _SLOW, "horizon": 200},
        "deleu2020": {"parameters": _SLOW, "horizon": 100},
        "promp2018": {"parameters": _FAST, "horizon": 100},
        "varibad2020": {"parameters": _FAST, "horizon": 200},
    },
)

HALF_CHEETAH_DIR = TaskFamily(
    name="half-cheetah-dir",
    env_id="metarl/HalfCheetahDir-v0",
    definition=HalfCheetahDirection(),
    parameters={"direction": Choice((-1.0, 1.0))},
    meaning={"direction": "+1 forwards, −1 backwards"},
    horizon=200,
    presets={
        "finn2017": {"horizon": 200},
        "deleu2020": {"horizon": 100},
        "promp2018": {"horizon": 100},
        "varibad2020": {"horizon": 200},
    },
)

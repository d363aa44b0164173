"""Gymnasium's MuJoCo bodies: model, physics and observation of each as in its v5 environment.

Contact forces are left out of observations (and of rewards): they are not among what MuJoCo's
batched rollouts return, and were zero in every implementation that ran on MuJoCo 2.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import gymnasium
import mujoco
import numpy as np

from metarl.tasks.physics import Physics
from metarl.tasks.xp import Array, Shape, Xp

_ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"


class Body:
    """A model, what is seen of it and when it has fallen; subclasses fill in the differences.

    Derived fields have the lag of one physics step that MuJoCo, and so Gymnasium, gives them:
    they belong to the state before the last physics step.
    """

    file: str
    frame_skip: int
    hidden = 1  # positions of the root that are not observed
    derived: tuple[str, ...] = ()
    position_noise = 0.1
    ends_early = False

    @cached_property
    def model(self) -> mujoco.MjModel:
        """The compiled MuJoCo model.

        A model file may ask the compiler for its total mass, which MuJoCo 4 has deprecated; the
        same scaling is done on the compiled model.
        """
        spec = mujoco.MjSpec.from_file(str(_ASSETS / self.file))
        mass, spec.compiler.settotalmass = spec.compiler.settotalmass, -1.0
        model = spec.compile()
        if mass > 0:
            mujoco.mj_setTotalmass(model, mass)
            mujoco.mj_setConst(model, mujoco.MjData(model))
        return model

    @property
    def observation_size(self) -> int:
        """Positions without the hidden ones, then velocities."""
        return int(self.model.nq) - self.hidden + int(self.model.nv)

    @property
    def dt(self) -> float:
        """Seconds per control step."""
        return float(self.model.opt.timestep) * self.frame_skip

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """`[*shape, nq + nv]`: offsets of positions, U(−.1, .1), and of velocities, .1 N(0, 1)."""
        scale = self.position_noise
        position = rng.uniform(-scale, scale, (*shape, self.model.nq))
        velocity = scale * rng.standard_normal((*shape, self.model.nv))
        return np.concatenate([position, velocity], -1)

    def observe(self, xp: Xp, after: Physics) -> Array:
        """`[…, O]`."""
        obs: Array = xp.concat([after.qpos[..., self.hidden :], after.qvel], axis=-1)
        return obs

    def position(self, xp: Xp, after: Physics) -> Array:
        """Return where the body is, in metres: `[…, 1]` in a plane, else `[…, 2]`."""
        place: Array = after.qpos[..., : self.hidden]
        return place

    def velocity(self, xp: Xp, before: Physics, after: Physics) -> Array:
        """Metres per second over the control step, of `position`'s shape."""
        velocity: Array = (self.position(xp, after) - self.position(xp, before)) / self.dt
        return velocity

    def fallen(self, xp: Xp, after: Physics) -> Array:
        """Say where the episode has ended for good, `[…]` bool; this body cannot fall."""
        return after.qpos[..., 0] * 0.0 > 0.0


class HalfCheetah(Body):
    """17 observations, or 20 with the position of the torso as in rllab."""

    file = "half_cheetah.xml"
    frame_skip = 5

    def __init__(self, *, torso: bool = False) -> None:
        """Make the body.

        Args:
            torso: observe the torso's position (x, y, z) too.
        """
        self.derived = ("xpos",) if torso else ()

    @property
    def observation_size(self) -> int:
        """17 or 20."""
        return super().observation_size + 3 * len(self.derived)

    def observe(self, xp: Xp, after: Physics) -> Array:
        """`[…, 17]` or `[…, 20]`."""
        state = super().observe(xp, after)
        if not self.derived:
            return state
        obs: Array = xp.concat([state, after.derived["xpos"][..., 3:6]], axis=-1)  # body 1
        return obs


class Ant(Body):
    """27 observations, or 29 with the position of the torso; falls below .2 m or above 1 m."""

    file = "ant.xml"
    ends_early = True
    frame_skip = 5
    hidden = 2

    def __init__(self, *, see_position: bool = False, falls: bool = True) -> None:
        """Make the ant.

        Args:
            see_position: observe x and y of the torso too.
            falls: whether an ant out of its range of heights ends the episode.
        """
        self.see_position = see_position
        self.falls = falls

    @property
    def observation_size(self) -> int:
        """27 or 29."""
        return super().observation_size + 2 * self.see_position

    def observe(self, xp: Xp, after: Physics) -> Array:
        """`[…, 27]` or `[…, 29]`."""
        skipped = 0 if self.see_position else self.hidden
        obs: Array = xp.concat([after.qpos[..., skipped:], after.qvel], axis=-1)
        return obs

    def fallen(self, xp: Xp, after: Physics) -> Array:
        """`[…]` bool."""
        if not self.falls:
            return super().fallen(xp, after)
        height = after.qpos[..., 2]
        return (height < 0.2) | (height > 1.0)


class Swimmer(Body):
    """8 observations; cannot fall."""

    file = "swimmer.xml"
    frame_skip = 4
    hidden = 2

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """`[*shape, nq + nv]`: U(−.1, .1)."""
        return rng.uniform(-0.1, 0.1, (*shape, self.model.nq + self.model.nv))


class _Biped(Body):
    """Small reset noise, and velocities clipped to ±10 in the observation."""

    ends_early = True
    frame_skip = 4

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """`[*shape, nq + nv]`: U(−.005, .005)."""
        return rng.uniform(-0.005, 0.005, (*shape, self.model.nq + self.model.nv))

    def observe(self, xp: Xp, after: Physics) -> Array:
        """`[…, O]`."""
        clipped = xp.clip(after.qvel, -10.0, 10.0)
        obs: Array = xp.concat([after.qpos[..., self.hidden :], clipped], axis=-1)
        return obs


class Hopper(_Biped):
    """11 observations; falls below .7 m or when it leans by more than .2 rad."""

    file = "hopper.xml"

    def fallen(self, xp: Xp, after: Physics) -> Array:
        """`[…]` bool."""
        rest = xp.concat([after.qpos[..., 2:], after.qvel], axis=-1)
        healthy = xp.all(xp.abs(rest) < 100.0, axis=-1)
        fallen: Array = ~(healthy & (after.qpos[..., 1] > 0.7) & (xp.abs(after.qpos[..., 2]) < 0.2))
        return fallen


class Walker2d(_Biped):
    """17 observations; falls outside .8 to 2 m or when it leans by more than 1 rad."""

    file = "walker2d_v5.xml"

    def __init__(self, *, frame_skip: int = 4) -> None:
        """Make the body.

        Args:
            frame_skip: physics steps of 2 ms per control step.
        """
        self.frame_skip = frame_skip

    def fallen(self, xp: Xp, after: Physics) -> Array:
        """`[…]` bool."""
        height, angle = after.qpos[..., 1], after.qpos[..., 2]
        fallen: Array = ~((height > 0.8) & (height < 2.0) & (xp.abs(angle) < 1.0))
        return fallen


class Humanoid(Body):
    """270 observations: state, inertia and velocity of all bodies, actuator forces.

    Its position is that of its centre of mass; falls outside 1 to 2 m.
    """

    file = "humanoid.xml"
    ends_early = True
    frame_skip = 5
    hidden = 2
    derived = ("cinert", "cvel", "qfrc_actuator", "subtree_com")

    @property
    def observation_size(self) -> int:
        """270."""
        m = self.model
        return super().observation_size + (10 + 6) * (int(m.nbody) - 1) + int(m.nv) - 6

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """`[*shape, nq + nv]`: U(−.01, .01)."""
        return rng.uniform(-0.01, 0.01, (*shape, self.model.nq + self.model.nv))

    def observe(self, xp: Xp, after: Physics) -> Array:
        """`[…, 270]`; the world and the root, which no actuator moves, are left out."""
        d = after.derived
        body = [d["cinert"][..., 10:], d["cvel"][..., 6:], d["qfrc_actuator"][..., 6:]]
        obs: Array = xp.concat([after.qpos[..., 2:], after.qvel, *body], axis=-1)
        return obs

    def position(self, xp: Xp, after: Physics) -> Array:
        """The centre of mass, `[…, 2]`."""
        return after.derived["subtree_com"][..., :2]

    def fallen(self, xp: Xp, after: Physics) -> Array:
        """`[…]` bool."""
        height = after.qpos[..., 2]
        return ~((height > 1.0) & (height < 2.0))

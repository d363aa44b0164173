"""Bodies whose physics differs from task to task (ProMP, arXiv 1810.06784; PEARL, 1903.08254).

A task holds factors of the default body's values, as in the sources' rand_param_envs: of every
body's mass and three principal moments of inertia and every geom's three coefficients of friction
1.5^U(−3, 3), of every joint's damping 1.3^U(−3, 3).
"""

from __future__ import annotations

import mujoco
import numpy as np

from metarl.tasks.distributions import Distribution, LogUniform
from metarl.tasks.family import TaskFamily
from metarl.tasks.task import Task

from .bodies import Body, HalfCheetah, Hopper, Walker2d
from .goals import RunForwards
from .locomotion import Locomotion


class RandomPhysics(Locomotion):
    """A body that runs forwards, with one MuJoCo model per task."""

    changes_model = True

    def __init__(self, body: Body, goal: RunForwards) -> None:
        """Join a body and a goal.

        Args:
            body: at its default values.
            goal: Gymnasium's own reward.
        """
        super().__init__(body, goal)
        self.default_task = {
            name: np.ones(values.shape).tolist() for name, values in varied(body.model).items()
        }

    def apply(self, model: mujoco.MjModel, task: Task) -> None:
        """Multiply the model's values by the task's factors, in place."""
        for name, values in varied(model).items():
            values *= np.asarray(task[name])


def varied(model: mujoco.MjModel) -> dict[str, np.ndarray]:
    """Return what tasks change, as views of the model; the world (body 0) has no mass."""
    return {
        "mass": model.body_mass[1:],  # [bodies]
        "inertia": model.body_inertia[1:],  # [bodies, 3]
        "friction": model.geom_friction,  # [geoms, 3]: sliding, torsional, rolling
        "damping": model.dof_damping,  # [degrees of freedom]
    }


def _factors(body: Body) -> dict[str, Distribution]:
    base = {"mass": 1.5, "inertia": 1.5, "friction": 1.5, "damping": 1.3}
    return {
        name: LogUniform(base[name] ** -3, base[name] ** 3, size=values.shape)
        for name, values in varied(body.model).items()
    }


def _family(name: str, env_id: str, body: Body, goal: RunForwards, *sources: str) -> TaskFamily:
    return TaskFamily(
        name=name,
        env_id=env_id,
        definition=RandomPhysics(body, goal),
        parameters=_factors(body),
        meaning={
            "mass": "its factor, of each body",
            "inertia": "its three factors, of each body",
            "friction": "its three factors, of each geom",
            "damping": "its factor, of each joint",
        },
        horizon=200,
        presets={source: {"horizon": 200} for source in sources},
    )


_SOURCES = ("promp2018", "pearl2019")

HALF_CHEETAH_PARAMS = _family(
    "half-cheetah-params",
    "metarl/HalfCheetahParams-v0",
    HalfCheetah(),
    RunForwards(control=0.1),
)
HOPPER_PARAMS = _family(
    "hopper-params",
    "metarl/HopperParams-v0",
    Hopper(),
    RunForwards(control=1e-3, alive=1.0),
    *_SOURCES,
)
WALKER2D_PARAMS = _family(
    "walker2d-params",
    "metarl/Walker2dParams-v0",
    Walker2d(),
    RunForwards(control=1e-3, alive=1.0),
    *_SOURCES,
)

PHYSICS = (HALF_CHEETAH_PARAMS, HOPPER_PARAMS, WALKER2D_PARAMS)

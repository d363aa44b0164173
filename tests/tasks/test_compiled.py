"""MuJoCo models that a task changes."""

from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv

from metarl.tasks import Choice, TaskFamily, load_family
from metarl.tasks.contract.rules import check_family
from metarl.tasks.custom.compiled import models, stale_constants

TORSO = {"model.body_mass[1]": Choice((3.0, 13.0))}


class Told(HalfCheetahEnv):
    """Changes its model when it is told a task, and computes nothing again."""

    def set_task(self, task):
        self.model.body_mass[1] = task["mass"]


class ToldLate(HalfCheetahEnv):
    """In its reset."""

    mass = None

    def set_task(self, task):
        self.mass = task["mass"]

    def reset(self, **options):
        if self.mass is not None:
            self.model.body_mass[1] = self.mass
        return super().reset(**options)


class Born(HalfCheetahEnv):
    """In its constructor, which nobody can mend from outside."""

    def __init__(self, mass=None):
        super().__init__()
        if mass is not None:
            self.model.body_mass[1] = mass


def load(env: Any, task: dict[str, Any]) -> None:
    env.unwrapped.model.body_mass[1] = task["mass"]


MASS = {"mass": Choice((3.0, 13.0))}
FAMILIES = {
    "attributes": TaskFamily(env="HalfCheetah-v5", parameters=TORSO, horizon=5),
    "a function": TaskFamily(env="HalfCheetah-v5", parameters=MASS, apply=load, horizon=5),
    "set_task": TaskFamily(env=Told, parameters=MASS, horizon=5),
    "a reset": TaskFamily(env=ToldLate, parameters=MASS, horizon=5),
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_constants_of_a_changed_model_are_computed_again(family: TaskFamily) -> None:
    """The mass of the whole is the sum of its parts, and all is what MuJoCo would say itself."""
    env: Any = family.make()
    for mass in (3.0, 13.0, 3.0):
        env.reset(seed=0, options={"task": dict.fromkeys(family.parameters, mass)})
        model = env.env.unwrapped.model
        assert model.body_mass[1] == mass
        np.testing.assert_allclose(model.body_subtreemass[0], model.body_mass.sum(), rtol=1e-12)
        weights = model.dof_invweight0.copy()
        mujoco.mj_setConst(model, mujoco.MjData(model))
        np.testing.assert_array_equal(model.dof_invweight0, weights)
    assert [v.rule for v in check_family(family) if not v.passed] == []


def test_constants_that_are_stale_are_told() -> None:
    """Those of a constructor, which is the author's to mend."""
    family = TaskFamily(env=Born, parameters=MASS, apply="constructor", horizon=5)
    (wrong,) = [v for v in check_family(family) if not v.passed]
    assert "derived" in wrong.rule
    assert "body_subtreemass" in wrong.advice
    assert "mujoco.mj_setConst(model, data) after the change" in wrong.advice


@pytest.mark.parametrize("name", ["Ant-v5", "Hopper-v5", "Humanoid-v5", "Pusher-v5", "Swimmer-v5"])
def test_models_that_nobody_changed_have_no_stale_constants(name: str) -> None:
    """What MuJoCo computes again is what it computed."""
    env = gymnasium.make(name).unwrapped
    assert len(models(env)) == 1
    assert stale_constants(models(env)) == []
    env.model.body_mass[1] *= 2  # type: ignore[attr-defined]
    assert "body_subtreemass" in stale_constants(models(env))


def test_a_model_that_no_task_changes_is_left_alone() -> None:
    """An author's own constants stay."""
    family = load_family("InvertedPendulum-v5", vary=["frame_skip=choice(2,3)"])
    env: Any = family.make()
    env.env.unwrapped.model.body_subtreemass[1] = 7.0
    env.reset(seed=0, options={"task": {"frame_skip": 3.0}})
    assert env.env.unwrapped.model.body_subtreemass[1] == 7.0

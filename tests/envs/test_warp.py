"""MuJoCo Warp: bodies that differ from task to task."""

import copy
from typing import Any

import mujoco
import numpy as np
import pytest

import envs
from envs.engines.warp import WarpEngine
from envs.family import TaskFamily, Tasks
from tests.envs.test_device import DEVICES, available

MASSES, FRICTIONS, DAMPINGS = (0.5, 1.0, 2.0, 3.0), (1.0, 0.4, 2.0, 0.7), (2.0, 0.5, 1.0, 1.5)


def four_bodies(family: TaskFamily, order: slice = slice(None)) -> Tasks:
    """Four tasks whose factors of mass, friction and damping are chosen by hand."""
    tasks = {name: np.ones((4, *np.shape(v))) for name, v in default(family).items()}
    factors = {"mass": MASSES, "inertia": MASSES, "friction": FRICTIONS, "damping": DAMPINGS}
    return {name: (ones.T * np.array(factors[name][order])).T for name, ones in tasks.items()}


def default(family: TaskFamily) -> dict[str, Any]:
    found: dict[str, Any] = family.definition.default_task
    return found


def model_of(family: TaskFamily, tasks: Tasks, i: int) -> Any:
    """A CPU model of one task, made without the family's own code."""
    model = copy.copy(family.definition.model)
    model.body_mass[1:] *= tasks["mass"][i]
    model.body_inertia[1:] *= tasks["inertia"][i]
    model.geom_friction[:] *= tasks["friction"][i]
    model.dof_damping[:] *= tasks["damping"][i]
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def bodies_of(family: TaskFamily, tasks: Tasks, offset: np.ndarray) -> list[tuple[Any, Any]]:
    """Models and data of all tasks, two episodes each, that start `offset` from the default."""
    bodies = []
    for model in (model_of(family, tasks, i) for i in range(4)):
        for start in offset:
            data = mujoco.MjData(model)
            data.qpos += start[: model.nq]
            data.qvel += start[model.nq :]
            bodies.append((model, data))
    return bodies


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["half-cheetah-params", "hopper-params", "walker2d-params"])
def test_bodies_of_one_batch_move_as_on_models_of_their_own(name: str, device: str) -> None:
    """Four masses, frictions and dampings, ten control steps each, then the other way round.

    The second time would show a captured graph that still steps the bodies of the first.
    """
    family = envs.make_family(name)
    engine, model = WarpEngine(family, 4, 2, available(device)), family.definition.model
    rng = np.random.default_rng(0)
    offset = 0.05 * rng.standard_normal((2, model.nq + model.nv))
    for order in (slice(None), slice(None, None, -1)):
        tasks = four_bodies(family, order)
        engine.reset(tasks, np.tile(offset, (4, 1, 1)))
        bodies = bodies_of(family, tasks, offset)
        for _ in range(10):
            action = rng.uniform(-1, 1, (2, model.nu)).astype(np.float32)
            engine.step(np.tile(action, (4, 1, 1)), None)
            for i, (body, data) in enumerate(bodies):
                data.ctrl[:] = action[i % 2]
                mujoco.mj_step(body, data, family.definition.frame_skip)
        found = np.concatenate([engine._tensors[n].cpu() for n in ("qpos", "qvel")], 1)
        expected = np.stack([np.concatenate([data.qpos, data.qvel]) for _, data in bodies])
        assert np.all(np.abs(found - expected) <= 1e-3 * (1 + np.abs(expected)))
        # bodies that moved alike would show no mistake
        assert np.all(expected.reshape(4, 2, -1).std(0).max(-1) > 0.05)

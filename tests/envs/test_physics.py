"""Bodies whose physics differs from task to task, against Gymnasium's with the same values."""

import gymnasium
import mujoco
import numpy as np
import pytest

from metarl.tasks import make_engine, make_family, stack_tasks, task_at
from metarl_envs import bodies

THEIRS = {
    "half-cheetah-params": "HalfCheetah-v5",
    "hopper-params": "Hopper-v5",
    "walker2d-params": "Walker2d-v5",
}


def their_body(name: str, task: dict) -> gymnasium.Env:
    """Gymnasium's environment with a task's factors."""
    theirs = gymnasium.make(THEIRS[name]).unwrapped
    m = theirs.model
    m.body_mass[1:] *= task["mass"]
    m.body_inertia[1:] *= task["inertia"]
    m.geom_friction[:] *= task["friction"]
    m.dof_damping[:] *= task["damping"]
    mujoco.mj_setConst(m, mujoco.MjData(m))
    theirs.reset(seed=0)
    return theirs


@pytest.mark.parametrize("name", THEIRS)
def test_every_task_of_a_batch_is_gymnasiums_body_with_its_values(name: str) -> None:
    """Three tasks, the default first: observations and rewards over 20 control steps, or until
    a body falls, and that.
    """
    family = make_family(name)
    rng = np.random.default_rng(0)
    rows = [task_at(family.sample(2, rng), i) for i in range(2)]
    tasks = [family.definition.default_task, *rows]
    engine = make_engine(family, 3, 2, threads=1)
    noise = engine.draw_noise(rng)
    engine.reset(stack_tasks(tasks), noise.reset)
    theirs = [[their_body(name, task) for _ in range(2)] for task in tasks]
    for i in range(3):
        for e in range(2):
            env, offset = theirs[i][e], noise.reset[i, e]
            nq = env.model.nq
            env.set_state(env.init_qpos + offset[:nq], env.init_qvel + offset[nq:])
    fallen: set[tuple[int, int]] = set()
    for t in range(20):
        action = rng.uniform(-1, 1, (3, 2, *family.action_space.shape))
        out = engine.step(action, noise.step[t])
        for i in range(3):
            for e in {0, 1} - {episode for task, episode in fallen if task == i}:
                obs, reward, terminated, _, _ = theirs[i][e].step(action[i, e])
                np.testing.assert_allclose(out.obs[i, e], obs, rtol=1e-5, atol=1e-5)
                assert out.reward[i, e] == pytest.approx(reward, abs=1e-4)
                assert out.terminated[i, e] == terminated
                if terminated:
                    fallen.add((i, e))
    assert len(fallen) < 6


def test_the_mass_that_a_task_names_is_the_mass_that_falls() -> None:
    """The weight of a hopper that has come to rest is what the floor carries."""
    family = make_family("hopper-params")
    task = family.sample(2, np.random.default_rng(1))
    engine = make_engine(family, 2, 1, threads=1)
    engine.reset(task, engine.draw_noise(np.random.default_rng(0)).reset)
    default = family.definition.model.body_mass[1:]
    for i, model in enumerate(engine._models):
        data = mujoco.MjData(model)
        mujoco.mj_step(model, data, 10_000)
        carried = data.qfrc_constraint[1]  # along the root's vertical slide
        assert carried == pytest.approx(9.81 * task["mass"][i] @ default, rel=1e-3)


def test_the_default_body_is_never_changed() -> None:
    """Tasks act on copies."""
    family = make_family("walker2d-params")
    before = family.definition.model.body_mass.copy()
    engine = make_engine(family, 4, 1)
    rng = np.random.default_rng(0)
    engine.reset(family.sample(4, rng), engine.draw_noise(rng).reset)
    np.testing.assert_array_equal(family.definition.model.body_mass, before)


@pytest.mark.parametrize("name", THEIRS)
def test_what_follows_from_a_tasks_masses_is_what_the_compiler_makes_of_them(name: str) -> None:
    """Subtree masses, inverse weights and inertias, of a model compiled with the task's numbers."""
    family = make_family(name)
    tasks = family.sample(1, np.random.default_rng(0))
    tasks["inertia"][:] = tasks["inertia"][..., :1]  # others than a rigid body's do not compile
    engine = make_engine(family, 1, 1, threads=1)
    engine.reset(tasks, engine.draw_noise(np.random.default_rng(0)).reset)
    model, default = engine.models[0], family.definition.model
    spec = mujoco.MjSpec.from_file(str(bodies._ASSETS / family.definition.body.file))
    spec.compiler.settotalmass, spec.compiler.inertiafromgeom = -1.0, 0
    for i, body in enumerate(spec.bodies[1:], start=1):
        body.explicitinertial = True
        body.mass = default.body_mass[i] * tasks["mass"][0, i - 1]
        body.inertia = default.body_inertia[i] * tasks["inertia"][0, i - 1]
        body.ipos, body.iquat = default.body_ipos[i], default.body_iquat[i]
    compiled = spec.compile()
    assert abs(compiled.body_mass.sum() - default.body_mass.sum()) > 0.1
    fields = ("body_mass", "body_inertia", "body_subtreemass", "body_invweight0", "dof_invweight0")
    for field in (*fields, "dof_M0", "actuator_acc0"):
        np.testing.assert_allclose(getattr(model, field), getattr(compiled, field), rtol=1e-9)

"""Every body against Gymnasium's own environment, and the rewards against their definitions."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from metarl.tasks import TaskFamily, make_engine, make_family, stack_tasks, task_at
from metarl.tasks.physics import Physics
from metarl_envs.locomotion import LOCOMOTION

NO_CONTACTS = {"include_cfrc_ext_in_observation": False}
# family, Gymnasium's environment and its options, tolerance over 20 control steps
BODIES = [
    ("half-cheetah-vel", "HalfCheetah-v5", {}, 1e-6),
    ("ant-vel", "Ant-v5", NO_CONTACTS, 1e-6),
    (
        "ant-goal",
        "Ant-v5",
        NO_CONTACTS | {"exclude_current_positions_from_observation": False},
        1e-6,
    ),
    ("humanoid-dir", "Humanoid-v5", NO_CONTACTS, 1e-4),
    ("hopper-vel", "Hopper-v5", {}, 1e-6),
    ("walker2d-vel", "Walker2d-v5", {"frame_skip": 8}, 1e-6),
    ("swimmer-vel", "Swimmer-v5", {}, 1e-6),
]


def same_start(name: str, their_id: str, options: dict[str, Any], throw: float = 0.0) -> tuple:
    """One environment of ours and Gymnasium's, in the same state, thrown up in m/s."""
    family = make_family(name)
    engine = make_engine(family, 1, 1, threads=1)
    rng = np.random.default_rng(0)
    noise = engine.draw_noise(rng)
    noise.reset[..., engine.family.definition.model.nq + 2] += throw
    task = stack_tasks([family.definition.default_task])
    obs = engine.reset(task, noise.reset)
    theirs = gymnasium.make(their_id, **options).unwrapped
    theirs.reset(seed=0)
    nq = theirs.model.nq
    offset = noise.reset[0, 0]
    theirs.set_state(theirs.init_qpos + offset[:nq], theirs.init_qvel + offset[nq:])
    return engine, noise, theirs, obs, rng


@pytest.mark.parametrize(
    ("name", "their_id", "options", "atol"), BODIES, ids=[b[0] for b in BODIES]
)
def test_the_physics_is_gymnasiums(name: str, their_id: str, options: dict, atol: float) -> None:
    """Observations and root velocity over 20 control steps of random actions, or until a fall."""
    engine, noise, theirs, obs, rng = same_start(name, their_id, options)
    space = engine.action_space
    assert engine.family.definition.body.dt == pytest.approx(theirs.dt)
    np.testing.assert_array_equal(space.low, theirs.action_space.low)
    np.testing.assert_allclose(obs[0, 0], theirs._get_obs(), rtol=1e-6, atol=atol)
    for t in range(20):
        action = rng.uniform(space.low, space.high)
        before = theirs.data.qpos.copy()
        out = engine.step(action[None, None], noise.step[t])
        expected, _, terminated, _, info = theirs.step(action)
        np.testing.assert_allclose(out.obs[0, 0], expected, rtol=2e-6, atol=2 * atol)
        assert out.terminated.item() == (terminated and name != "ant-goal")
        if "velocity" in out.metrics:
            lagged = their_id == "Ant-v5"  # Gymnasium's ant takes it from the lagged xpos
            v = (theirs.data.qpos - before)[0] / theirs.dt if lagged else info["x_velocity"]
            assert out.metrics["velocity"].item() == pytest.approx(v, abs=200 * atol)
        if out.terminated.item():
            break
    assert t >= 5


@pytest.mark.parametrize("name", ["ant-vel", "humanoid-dir", "hopper-vel", "walker2d-vel"])
def test_a_body_that_falls_terminates_when_gymnasiums_does(name: str) -> None:
    """Full torque makes it fall, the ant is thrown; the step is the same, it is no truncation."""
    _, their_id, options, _ = next(b for b in BODIES if b[0] == name)
    throw = 6.0 if their_id == "Ant-v5" else 0.0
    engine, noise, theirs, _, _ = same_start(name, their_id, options, throw)
    action, terminated = engine.action_space.high.astype(float), False
    for step_noise in noise.step:
        out = engine.step(action[None, None], step_noise)
        _, _, terminated, _, _ = theirs.step(action)
        assert out.terminated.item() == terminated
        if terminated:
            break
    assert terminated
    assert not out.truncated.item()


@pytest.mark.parametrize(("name", "height"), [("walker2d-vel", 1), ("ant-vel", 2)])
def test_who_has_fallen_rests_until_its_reset(name: str, height: int) -> None:
    """The others do what they would do without it."""
    family = make_family(name)
    task = stack_tasks([family.definition.default_task])
    both, alone = (make_engine(family, 1, n, threads=2) for n in (2, 1))
    noise = both.draw_noise(np.random.default_rng(0))
    noise.reset[0, 0, height] += 10.0  # of the first one, which counts as fallen
    both.reset(task, noise.reset)
    last = alone.reset(task, noise.reset[:, 1:])
    rng = np.random.default_rng(1)
    for t in range(8):
        action = rng.uniform(-0.1, 0.1, (1, 2, *family.action_space.shape))
        out = both.step(action, noise.step[t])
        if t == 0:
            assert out.terminated.tolist() == [[True, False]]
            fallen = out.obs[0, 0]
        np.testing.assert_array_equal(out.obs[0, 0], fallen)
        assert out.terminated[0, 0]
        last = alone.step(action[:, 1:], noise.step[t]).obs
        np.testing.assert_array_equal(out.obs[0, 1], last[0, 0])
    again = both.reset(task, noise.reset[:, ::-1], np.array([[True, False]]))
    np.testing.assert_array_equal(again[0, 1], last[0, 0])
    moved = both.step(action, noise.step[0]).obs
    assert not np.array_equal(moved[0, 0], again[0, 0])


def test_the_cheetahs_torso_is_observed_with_gymnasiums_lag() -> None:
    """20 observations: the last three are xpos, which lies one physics step behind qpos."""
    engine, noise, theirs, obs, rng = same_start("half-cheetah-vel", "HalfCheetah-v5", {})
    family = make_family("half-cheetah-vel", "deleu2020-20d")
    engine = make_engine(family, 1, 1, threads=1)
    obs = engine.reset({"velocity": np.array([1.0])}, noise.reset)
    for t in range(20):
        expected = np.concatenate([theirs._get_obs(), theirs.data.body("torso").xpos])
        np.testing.assert_allclose(obs[0, 0], expected, rtol=2e-6, atol=2e-6)
        action = rng.uniform(-1, 1, 6)
        obs = engine.step(action[None, None], noise.step[t]).obs
        theirs.step(action)
    assert abs(obs[0, 0, 17] - theirs.data.qpos[0]) > 1e-4


def test_the_half_cheetah_is_paid_by_its_definition() -> None:
    """−|v − v*| − 0.05 Σa² with Gymnasium's own velocity, of the clipped action."""
    engine, noise, theirs, _, rng = same_start("half-cheetah-vel", "HalfCheetah-v5", {})
    for t in range(10):
        action = rng.uniform(-2, 2, 6)
        out = engine.step(action[None, None], noise.step[t])
        clipped = np.clip(action, -1, 1)
        v = theirs.step(clipped)[4]["x_velocity"]
        expected = -abs(v - 1) - 0.05 * np.square(clipped).sum()
        assert out.reward.item() == pytest.approx(expected, abs=1e-6)


def moves(task: dict[str, Any], dt: float) -> list[tuple[float, float]]:
    """Displacements over a control step: first the one that the task asks for, then others."""
    if "velocity" in task:
        v = task["velocity"]
        return [(speed * dt, 0.0) for speed in (v, v - 0.3, v + 0.3, -v)]
    if "goal" in task:
        x, y = task["goal"]
        return [(x, y), (0.7 * x, 0.7 * y), (1.3 * x, 1.3 * y), (-x, -y), (-y, x)]
    x, y = np.broadcast_to(task["direction"], 2) * (1.0, np.ndim(task["direction"]))
    angles = np.linspace(0.0, 2 * np.pi, 16, endpoint=False)
    turns = np.stack([np.cos(angles), np.sin(angles)], -1)
    return [(c * x - s * y, s * x + c * y) for c, s in turns]


@pytest.mark.parametrize(
    "family", [*LOCOMOTION, make_family("ant-dir", "promp2018")], ids=lambda f: f.name
)
def test_the_reward_is_best_when_the_task_is_met(family: TaskFamily) -> None:
    """Of several moves from the origin the one that is asked for pays most; effort costs."""
    definition = family.definition
    model = definition.model

    def paid(task: dict[str, Any], move: tuple[float, float], effort: float = 0.0) -> float:
        states = []
        for x, y in ((0.0, 0.0), move):
            qpos = np.concatenate([[x, y], np.zeros(model.nq - 2)])
            states.append(Physics(qpos, np.zeros(model.nv), {"subtree_com": np.array([x, y, 1.0])}))
        task = {name: np.asarray(value) for name, value in task.items()}
        return definition.reward(np, states[0], np.full(model.nu, effort), states[1], task)[0]

    tasks = family.sample(5, np.random.default_rng(0))
    for task in (task_at(tasks, i) for i in range(5)):
        asked, *others = moves(task, definition.body.dt)
        assert all(paid(task, asked) > paid(task, other) for other in others)
        assert paid(task, asked) > paid(task, asked, effort=1.0)


@pytest.mark.parametrize("family", ["half-cheetah-vel", "humanoid-dir"])
def test_results_do_not_depend_on_the_number_of_threads(family: str) -> None:
    """One and two threads agree bit for bit, with and without derived fields."""
    family = make_family(family)
    results = []
    for threads in (1, 2):
        engine = make_engine(family, 3, 3, threads=threads)
        rng = np.random.default_rng(0)
        noise = engine.draw_noise(rng)
        engine.reset(family.sample(3, rng), noise.reset)
        for t in range(4):
            action = rng.uniform(-1, 1, (3, 3, *family.action_space.shape))
            out = engine.step(action, noise.step[t])
        results.append(out)
        engine.close()
    np.testing.assert_array_equal(results[0].obs, results[1].obs)
    np.testing.assert_array_equal(results[0].reward, results[1].reward)


@pytest.mark.parametrize("name", ["half-cheetah-vel", "humanoid-dir"])
def test_a_masked_reset_leaves_the_other_environments(name: str) -> None:
    """Only the chosen ones start again."""
    family = make_family(name)
    engine = make_engine(family, 2, 1, threads=1)
    rng = np.random.default_rng(0)
    tasks, noise = family.sample(2, rng), engine.draw_noise(rng)
    start = engine.reset(tasks, noise.reset)
    action = np.ones((2, 1, *family.action_space.shape))
    moved = engine.step(action, noise.step[0]).obs
    again = engine.reset(tasks, noise.reset, np.array([[True], [False]]))
    np.testing.assert_array_equal(again[0], start[0])
    np.testing.assert_array_equal(again[1], moved[1])

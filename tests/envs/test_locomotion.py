"""The half-cheetah against Gymnasium's, and the rewards against their definitions."""

import gymnasium
import numpy as np
import pytest

import envs


def test_the_threads_engine_follows_gymnasiums_half_cheetah() -> None:
    """To 1e-6 over 20 control steps from the same state with the same actions."""
    family = envs.make_family("half-cheetah-vel")
    engine = envs.make_engine(family, 1, 1, threads=1)
    rng = np.random.default_rng(0)
    noise = engine.draw_noise(rng)
    obs = engine.reset({"velocity": np.array([1.0])}, noise.reset)
    theirs = gymnasium.make("HalfCheetah-v5").unwrapped
    theirs.reset(seed=0)
    offset = noise.reset[0, 0]
    theirs.set_state(theirs.init_qpos + offset[:9], theirs.init_qvel + offset[9:])
    np.testing.assert_allclose(obs[0, 0], theirs._get_obs(), atol=1e-6)
    for t in range(20):
        action = rng.uniform(-1, 1, 6)
        out = engine.step(action[None, None], noise.step[t])
        expected, _, _, _, info = theirs.step(action)
        np.testing.assert_allclose(out.obs[0, 0], expected, atol=2e-6)
        assert out.metrics["velocity"].item() == pytest.approx(info["x_velocity"], abs=1e-6)
        control = 0.05 * np.square(action).sum()
        assert out.reward.item() == pytest.approx(-abs(info["x_velocity"] - 1) - control, abs=1e-6)


def test_the_reward_is_best_when_the_task_is_met() -> None:
    """Velocity: highest at the target. Direction: the sign of the way that is run."""
    velocity = envs.make_family("half-cheetah-vel").definition
    before, action = np.zeros((3, 9)), np.zeros((3, 6))
    after = np.zeros((3, 9))
    after[:, 0] = np.array([0.5, 1.0, 1.5]) * velocity.dt
    reward, _ = velocity.reward(np, before, action, after, {"velocity": np.array(1.0)})
    np.testing.assert_allclose(reward, [-0.5, 0.0, -0.5], atol=1e-12)
    direction = envs.make_family("half-cheetah-dir").definition
    forwards, _ = direction.reward(np, before, action, after, {"direction": np.array(1.0)})
    backwards, _ = direction.reward(np, before, action, after, {"direction": np.array(-1.0)})
    np.testing.assert_allclose(forwards, [0.5, 1.0, 1.5])
    np.testing.assert_allclose(backwards, -forwards)


def test_actions_are_clipped_before_they_cost() -> None:
    """An action of 10 costs what an action of 1 costs."""
    engine = envs.make_engine(envs.make_family("half-cheetah-dir"), 1, 1, threads=1)
    noise = engine.draw_noise(np.random.default_rng(0))
    rewards = []
    for size in (1.0, 10.0):
        engine.reset({"direction": np.array([1.0])}, noise.reset)
        rewards.append(engine.step(np.full((1, 1, 6), size), noise.step[0]).reward.item())
    assert rewards[0] == rewards[1]


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    """One and two threads agree bit for bit."""
    family = envs.make_family("half-cheetah-vel")
    results = []
    for threads in (1, 2):
        engine = envs.make_engine(family, 5, 4, threads=threads)
        rng = np.random.default_rng(0)
        noise = engine.draw_noise(rng)
        engine.reset(family.sample(5, rng), noise.reset)
        for t in range(5):
            out = engine.step(rng.uniform(-1, 1, (5, 4, 6)), noise.step[t])
        results.append(out)
        engine.close()
    np.testing.assert_array_equal(results[0].obs, results[1].obs)
    np.testing.assert_array_equal(results[0].reward, results[1].reward)


def test_a_masked_reset_leaves_the_other_environments() -> None:
    """Only the chosen ones start again."""
    family = envs.make_family("half-cheetah-vel")
    engine = envs.make_engine(family, 2, 1, threads=1)
    rng = np.random.default_rng(0)
    tasks, noise = family.sample(2, rng), engine.draw_noise(rng)
    start = engine.reset(tasks, noise.reset)
    moved = engine.step(np.ones((2, 1, 6)), noise.step[0]).obs
    again = engine.reset(tasks, noise.reset, np.array([[True], [False]]))
    np.testing.assert_array_equal(again[0], start[0])
    np.testing.assert_array_equal(again[1], moved[1])

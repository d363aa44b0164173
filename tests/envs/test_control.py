"""Classic control: at the default task it is Gymnasium's own, step by step."""

import gymnasium
import numpy as np
import pytest

from metarl.tasks import FamilyEnv, make_engine, make_family, stack_tasks

THEIRS = {
    "pendulum": "Pendulum-v1",
    "cartpole": "CartPole-v1",
    "mountain-car": "MountainCar-v0",
    "acrobot": "Acrobot-v1",
}


@pytest.mark.parametrize("name", THEIRS)
def test_the_default_task_is_gymnasiums_environment(name: str) -> None:
    """Five episodes of random actions: observations, rewards and ends agree."""
    family = make_family(name)
    theirs = gymnasium.make(THEIRS[name])
    space = family.action_space
    assert (family.observation_space, space) == (theirs.observation_space, theirs.action_space)
    assert family.horizon == theirs.spec.max_episode_steps
    engine, rng = make_engine(family, 1, 1), np.random.default_rng(0)
    task = stack_tasks([family.definition.default_task])
    for _ in range(5):
        noise = engine.draw_noise(rng)
        engine.reset(task, noise.reset)
        theirs.reset(seed=0)
        theirs.unwrapped.state = engine._state[0, 0].copy()
        running = True
        for step_noise in noise.step:
            action = (
                int(rng.integers(space.n))
                if isinstance(space, gymnasium.spaces.Discrete)
                else rng.uniform(-3, 3, 1)
            )
            out = engine.step(np.asarray(action)[None, None], step_noise)
            obs, reward, terminated, truncated, _ = theirs.step(action)
            np.testing.assert_allclose(out.obs[0, 0], obs, atol=1e-5)
            assert out.reward.item() == pytest.approx(reward, abs=1e-9)
            assert out.terminated.item() == terminated
            assert out.truncated.item() == truncated
            running = not (terminated or truncated)
            if not running:
                break
        assert not running


def test_a_car_that_pushes_with_its_velocity_arrives_and_ends() -> None:
    """Termination on the hill, at the same step as Gymnasium's."""
    family = make_family("mountain-car")
    env, theirs = FamilyEnv(family), gymnasium.make("MountainCar-v0")
    obs, _ = env.reset(seed=0)
    theirs.reset(seed=0)
    theirs.unwrapped.state = env._engine._state[0, 0].copy()
    steps, terminated = 0, False
    while not terminated:
        steps += 1
        action = 2 if obs[1] >= 0 else 0
        obs, reward, terminated, truncated, _ = env.step(action)
        expected = theirs.step(action)
        assert (reward, terminated, truncated) == expected[1:4]
    assert 50 < steps < 200


def test_what_follows_from_a_varied_quantity_follows_it() -> None:
    """A longer pole falls more slowly, whatever else was computed for the default one."""
    family = make_family("cartpole")
    engine = make_engine(family, 2, 1)
    noise = engine.draw_noise(np.random.default_rng(0))
    tasks = {"half_length": [0.25, 1.0], "cart_mass": [1.0, 1.0], "pole_mass": [0.1, 0.1]}
    engine.reset({k: np.array(v) for k, v in tasks.items()}, np.full((2, 1, 4), 0.02))
    for step_noise in noise.step[:5]:
        out = engine.step(np.ones((2, 1), int), step_noise)
    assert abs(out.obs[0, 0, 3]) > abs(out.obs[1, 0, 3])


def test_a_pendulum_keeps_its_energy_whatever_its_task() -> None:
    """Near the bottom, ω = √(3 g / 2 l) of a rod: the small-angle period of each task."""
    family = make_family("pendulum", horizon=400)
    engine = make_engine(family, 3, 1)
    tasks = {"gravity": [10.0, 5.0, 15.0], "mass": [1.0, 0.5, 1.5], "length": [1.0, 1.5, 0.5]}
    tasks = {k: np.array(v) for k, v in tasks.items()}
    noise = engine.draw_noise(np.random.default_rng(0))
    engine.reset(tasks, np.tile([np.pi - 0.02, 0.0], (3, 1, 1)))
    sines = []
    for step_noise in noise.step:
        sines.append(engine.step(np.zeros((3, 1, 1)), step_noise).obs[:, 0, 1])
    crossings = [(np.diff(np.sign(s)) != 0).sum() for s in np.array(sines).T]
    expected = 400 * 0.05 * np.sqrt(3 * tasks["gravity"] / (2 * tasks["length"])) / np.pi
    np.testing.assert_allclose(crossings, expected, atol=1.5)

"""K episodes of one task as one trial."""

import array_api_compat.numpy as numpy_api
import array_api_compat.torch as torch_api
import array_api_strict
import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.vec_env import DummyVecEnv

from metarl.rl.rollout import ActionScaling
from metarl.tasks import FamilyEnv, make_engine, make_family, task_at
from metarl.tasks.trial import TrialEngine, TrialEnv
from metarl.tasks.views import ActionCode, History, trial_space

FAMILY = make_family("point-nav", horizon=4)
NEAR = {"goal": np.array([[0.1, 0.0], [0.5, 0.5], [0.2, 0.0]])}  # ends at step 1, never, step 2
RIGHT = np.full((3, 2, 2), [0.1, 0.0])


def started(episodes: int = 3) -> tuple[TrialEngine, np.ndarray]:
    trial = TrialEngine(make_engine(FAMILY, 3, 2), episodes)
    noise = trial.draw_noise(np.random.default_rng(0))
    return trial, trial.reset(NEAR, noise.reset)


def test_a_trial_starts_with_nothing_but_the_observation() -> None:
    """Previous action, reward and done are zero."""
    trial, view = started()
    assert view.shape == (3, 2, 2 + 2 + 2)
    assert trial.observation_space.shape == (6,)
    np.testing.assert_array_equal(view, 0.0)
    assert trial.horizon == 12


def test_the_last_reward_and_done_come_with_the_next_first_observation() -> None:
    """At an episode's end, and only there, done is 1; the task goes on."""
    trial, _ = started()
    view, reward, over, truncated, metrics = trial.step(RIGHT, np.zeros((3, 2, 0)))
    obs, action, seen_reward, done = np.split(view, [2, 4, 5], axis=-1)
    np.testing.assert_array_equal(done[:, 0, 0], [1, 0, 0])
    np.testing.assert_array_equal(seen_reward[..., 0], reward.astype(np.float32))
    np.testing.assert_allclose(action, np.broadcast_to([1.0, 0.0], (3, 2, 2)))
    np.testing.assert_allclose(obs[:, 0], [[0, 0], [0.1, 0], [0.1, 0]], atol=1e-6)
    assert not over.any()
    assert not truncated.any()
    np.testing.assert_array_equal(metrics["episode"], 0)


def test_episodes_of_different_lengths_make_trials_of_different_lengths() -> None:
    """Three episodes of 1, 4 and 2 steps; the last view of a trial holds the true successor."""
    trial, _ = started()
    lengths, episodes = np.zeros(3, int), []
    for t in range(12):
        view, _, over, _, metrics = trial.step(RIGHT, np.zeros((3, 2, 0)))
        episodes.append(metrics["episode"][:, 0])
        for i in np.flatnonzero(over[:, 0] & (lengths == 0)):
            lengths[i] = t + 1
            last = {0: [0.1, 0.0], 1: [0.4, 0.0], 2: [0.2, 0.0]}[int(i)]
            np.testing.assert_allclose(view[i, 0, :2], last, atol=1e-6)
    np.testing.assert_array_equal(lengths, [3, 12, 6])
    rows = np.stack(episodes, 1)
    np.testing.assert_array_equal(rows[0], [0, 1, 2, *[3] * 9])
    np.testing.assert_array_equal(rows[1], np.repeat([0, 1, 2], 4))
    np.testing.assert_array_equal(rows[2], [0, 0, 1, 1, 2, 2, *[3] * 6])


def test_an_endless_trial_shows_how_a_further_episode_starts() -> None:
    """With the last reward and done = 1, as at the ends of its other episodes; once, at its end."""
    plain, endless = (TrialEngine(make_engine(FAMILY, 3, 2), 2, endless=e) for e in (0, 1))
    noise = plain.draw_noise(np.random.default_rng(0))
    for trial in (plain, endless):
        trial.reset(NEAR, noise.reset)
    running = np.ones((3, 2), bool)
    for _ in range(8):
        expected, found = (t.step(RIGHT, np.zeros((3, 2, 0))) for t in (plain, endless))
        for one, other in zip(expected[1:4], found[1:4], strict=True):
            np.testing.assert_array_equal(one[running], other[running])
        ended = running & expected[2]
        seen, last = found[0][ended], expected[0][ended]
        np.testing.assert_array_equal(seen[:, :2], 0.0)
        np.testing.assert_array_equal(seen[:, 2:], last[:, 2:])
        assert (seen[:, -1] == 1).all()
        running &= ~expected[2]
        np.testing.assert_array_equal(expected[0][running], found[0][running])
    assert not running.any()


def test_every_episode_of_a_trial_has_its_own_noise() -> None:
    """The cheetah starts its episodes in different states, the same for the same generator."""
    family = make_family("half-cheetah-vel", horizon=2)
    trial = TrialEngine(make_engine(family, 2, 1, threads=1), 2)
    tasks = family.split("train").sample(2, 0)

    def starts() -> list[np.ndarray]:
        noise = trial.draw_noise(np.random.default_rng(0))
        first = trial.reset(tasks, noise.reset)
        for t in range(2):
            view = trial.step(np.zeros((2, 1, 6)), noise.step[t])[0]
        return [first[..., :17], view[..., :17]]

    first, second = starts()
    assert (first != second).any()
    for one, other in zip((first, second), starts(), strict=True):
        np.testing.assert_array_equal(one, other)
    trial.close()


def test_some_trials_can_be_restarted() -> None:
    """Where the mask holds; the others go on."""
    trial, _ = started(episodes=1)
    trial.step(RIGHT, np.zeros((3, 2, 0)))
    mask = np.zeros((3, 2), bool)
    mask[0] = True
    noise = trial.draw_noise(np.random.default_rng(1))
    view = trial.reset(NEAR, noise.reset, mask)
    np.testing.assert_allclose(view[:, 0, 0], [0.0, 0.1, 0.1], atol=1e-6)
    np.testing.assert_allclose(view[:, 0, 2], [0.0, 1.0, 1.0])  # the previous action
    _, _, over, _, _ = trial.step(RIGHT, np.zeros((3, 2, 0)))
    np.testing.assert_array_equal(over[:, 0], [True, False, True])


def test_one_environment_gives_what_the_engine_gives() -> None:
    """The Gymnasium wrapper and the batched trial show the same views."""
    trial, view = started()
    env = TrialEnv(FamilyEnv(FAMILY), 3)
    for i in range(3):
        trial, view = started()
        single, _ = env.reset(options={"task": {"goal": NEAR["goal"][i].tolist()}})
        np.testing.assert_allclose(single, view[i, 0])
        over = False
        while not over:
            batched = trial.step(RIGHT, np.zeros((3, 2, 0)))
            single, reward, over, truncated, info = env.step(np.array([0.1, 0.0], np.float32))
            np.testing.assert_allclose(single, batched[0][i, 0], atol=1e-6)
            assert reward == pytest.approx(batched[1][i, 0], abs=1e-6)
            assert over == batched[2][i, 0]
            assert not truncated
            assert info["trial_episode"] == batched[4]["episode"][i, 0]


@pytest.mark.filterwarnings("ignore::UserWarning")  # advice: infinite bounds, it is a wrapper
def test_the_wrapper_obeys_gymnasium_and_draws_a_task_per_trial() -> None:
    """With a task of its own for every trial, the same after the same seed."""

    def draw(rng: np.random.Generator) -> dict:
        return {"goal": rng.uniform(-0.5, 0.5, 2).tolist()}

    env = TrialEnv(FamilyEnv(FAMILY), 2, draw_task=draw)
    env.reset(seed=3)
    first = env.unwrapped.task
    env.reset()
    second = env.unwrapped.task
    env.reset(seed=3)
    assert first == env.unwrapped.task != second
    check_env(env)


def test_actions_are_seen_as_the_environment_took_them() -> None:
    """Clipped to its bounds, which are ±1."""
    env = TrialEnv(FamilyEnv(FAMILY), 1)
    env.reset()
    view = env.step(np.array([0.05, -0.3], np.float32))[0]
    np.testing.assert_allclose(view[2:4], [0.5, -1.0])


def test_a_wrapper_may_start_with_a_history() -> None:
    """That of the trial which an adapted agent remembers."""
    before = History(np.array([0.5, 0.25], np.float32), np.array(-3.0), np.array(1.0))
    env = TrialEnv(FamilyEnv(FAMILY), 1, before=before)
    np.testing.assert_allclose(env.reset()[0], [0, 0, 0.5, 0.25, -3, 1])


def test_discrete_actions_are_seen_one_hot() -> None:
    """An arm of a bandit."""
    space = gymnasium.spaces.Discrete(3)
    np.testing.assert_array_equal(ActionCode(space)(np.array([[2], [0]])).reshape(2, 3), [
        [0, 0, 1],
        [1, 0, 0],
    ])  # fmt: skip


@pytest.mark.parametrize("xp", [numpy_api, torch_api, array_api_strict], ids=lambda xp: xp.__name__)
def test_actions_of_several_parts_are_seen_one_hot_one_after_the_other(xp) -> None:
    """As gymnasium flattens them, in every array namespace."""
    space = gymnasium.spaces.MultiDiscrete([2, 4, 1])
    actions = np.array([[[1, 3, 0]], [[0, 2, 0]]])
    seen = np.asarray(ActionCode(space, xp, None)(xp.asarray(actions)))
    assert seen.shape == (2, 1, 7)
    for row, action in zip(seen[:, 0], actions[:, 0], strict=True):
        np.testing.assert_array_equal(row, gymnasium.spaces.flatten(space, action))


def test_actions_with_one_bound_are_seen_from_that_bound_on() -> None:
    """What a unit action of the policy means is seen as that unit action."""
    low, high = np.array([5.0, -np.inf, -np.inf, -2.0]), np.array([np.inf, -3.0, np.inf, 4.0])
    space = gymnasium.spaces.Box(low, high, dtype=np.float64)
    scaling, unit = ActionScaling.of(space, 1.0), torch.tensor([-1.0, 0.5, 3.0, 0.0])
    np.testing.assert_array_equal(scaling(unit), [5.0, -3.5, 3.0, 1.0])
    np.testing.assert_array_equal(ActionCode(space)(scaling(unit)), unit)
    assert (scaling(torch.zeros(4)) > low).all()
    assert (scaling(torch.zeros(4)) < high).all()


def test_impossible_trials_are_refused() -> None:
    """No episodes, or spaces that do not fit."""
    with pytest.raises(ValueError, match="at least 1 episode per trial, got 0"):
        TrialEngine(make_engine(FAMILY, 1, 1), 0)
    with pytest.raises(ValueError, match="flat Box, got Discrete"):
        TrialEnv(gymnasium.make("FrozenLake-v1"), 2)
    image = gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="or encode images before they are seen"):
        trial_space(image, gymnasium.spaces.Discrete(2))
    for space in (gymnasium.spaces.MultiDiscrete([2], start=[1]), gymnasium.spaces.MultiBinary(2)):
        with pytest.raises(ValueError, match="flat MultiDiscrete from 0, got Multi"):
            ActionCode(space)


def test_recurrent_agents_of_other_libraries_run_on_trials() -> None:
    """sb3-contrib's RecurrentPPO becomes RL² on it, with a new task for every trial."""
    family = make_family("bandit-k5", horizon=3)

    def make() -> TrialEnv:
        def draw(rng: np.random.Generator) -> dict:
            return task_at(family.sample(1, rng), 0)

        return TrialEnv(FamilyEnv(family), 2, draw_task=draw)

    both = DummyVecEnv([make, make])
    agent = RecurrentPPO(
        "MlpLstmPolicy", both, n_steps=6, batch_size=12, n_epochs=1, seed=0, device="cpu",
        policy_kwargs={"lstm_hidden_size": 4},
    ).learn(24)  # fmt: skip
    assert agent.num_timesteps == 24
    assert agent.policy.observation_space.shape == (1 + 5 + 2,)

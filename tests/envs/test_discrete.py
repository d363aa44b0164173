"""Bandits, random MDPs and the grid against their definitions."""

import array_api_compat.torch as xp
import numpy as np
import pytest
import torch

from metarl.tasks import make_engine, make_family


def play(name: str, tasks: dict, actions: np.ndarray, horizon: int | None = None) -> tuple:
    """Rewards `[H, T, E]`, observations after each step and the last metrics."""
    family = make_family(name, horizon=horizon)
    engine = make_engine(family, *actions.shape[1:])
    noise = engine.draw_noise(np.random.default_rng(0))
    start = engine.reset(tasks, noise.reset)
    outs = [engine.step(a, z) for a, z in zip(actions, noise.step, strict=True)]
    seen = np.array([start] + [out.obs for out in outs])
    return np.array([out.reward for out in outs]), seen, outs


def test_an_arm_pays_with_its_probability_and_nothing_is_seen() -> None:
    """Each of five arms pulled 4,000 times; 4 standard errors."""
    means = np.array([[0.0, 0.1, 0.5, 0.9, 1.0]])
    pulls = np.tile(np.arange(5), (8, 1, 500))
    reward, seen, outs = play("bandit-k5", {"means": means}, pulls, horizon=8)
    assert set(np.unique(reward)) == {0.0, 1.0}
    paid = reward.reshape(-1, 5).mean(0)
    np.testing.assert_allclose(paid, means[0], atol=4 * 0.5 / np.sqrt(4000))
    assert (paid[0], paid[4]) == (0.0, 1.0)
    assert not seen.any()
    np.testing.assert_array_equal(outs[-1].metrics["mean"], means[0, pulls[-1]])


def test_a_random_bandit_policy_earns_half_a_coin_per_pull() -> None:
    """5.0 over ten pulls, as in the table of RL² (arXiv 1611.02779); 4 standard errors."""
    for name, arms in (("bandit-k5", 5), ("bandit-k50", 50)):
        rng = np.random.default_rng(1)
        tasks = make_family(name).sample(4000, rng)
        reward, _, _ = play(name, tasks, rng.integers(arms, size=(10, 4000, 1)))
        assert reward.sum(0).mean() == pytest.approx(5.0, abs=4 * np.sqrt(10 / 4 / 4000))


def test_references_of_a_bandit_are_those_of_known_arms() -> None:
    """Over ten pulls; a single arm is both the best and a random one."""
    tasks = {"means": np.array([[0.1, 0.5, 0.9, 0.5, 0.5], [0.2] * 5])}
    returns = make_family("bandit-k5").reference_returns(tasks)
    np.testing.assert_allclose(returns["best arm"], [9.0, 2.0])
    np.testing.assert_allclose(returns["random arm"], [5.0, 2.0])


def test_transitions_and_rewards_of_an_mdp_have_the_declared_distributions() -> None:
    """Empirical frequencies of s' and the mean and variance of r, 20,000 samples."""
    task = make_family("tabular-mdp").sample(1, np.random.default_rng(0))
    reward, seen, _ = play("tabular-mdp", task, np.full((1, 1, 20_000), 2), horizon=1)
    assert (seen[0] == np.eye(10)[0]).all()
    np.testing.assert_array_equal(seen[1].sum(-1), 1.0)
    np.testing.assert_allclose(seen[1][0].mean(0), task["transitions"][0, 0, 2], atol=0.015)
    assert reward.mean() == pytest.approx(task["rewards"][0, 0, 2], abs=0.03)
    assert reward.var() == pytest.approx(1.0, abs=0.05)


def test_an_mdp_walks_along_certain_transitions() -> None:
    """A cycle through all states by action 1; every other action stays."""
    transitions = np.tile(np.eye(10)[:, None], (1, 5, 1))
    transitions[:, 1] = np.roll(np.eye(10), 1, axis=1)
    task = {"transitions": transitions[None], "rewards": np.arange(50.0).reshape(1, 10, 5)}
    actions = np.array([1, 1, 0, 1, 4, 1, 1, 1, 1, 1]).reshape(10, 1, 1)
    _, seen, outs = play("tabular-mdp", task, actions)
    states = seen[:, 0, 0].argmax(-1)
    np.testing.assert_array_equal(states, [0, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8])
    means = [out.metrics["mean"].item() for out in outs]
    assert means == [5 * s + a for s, a in zip(states, actions.ravel(), strict=False)]


def test_the_best_policy_of_random_mdps_earns_what_value_iteration_says() -> None:
    """Each task's reference, and its policy played in the engine; 4 standard errors."""
    family = make_family("tabular-mdp")
    tasks = family.sample(200, np.random.default_rng(2))
    value, best = np.zeros((200, 10)), []
    for _ in range(10):
        q = tasks["rewards"] + np.einsum("tsan,tn->tsa", tasks["transitions"], value)
        value = q.max(-1)
        best.insert(0, q.argmax(-1))
    reference = family.reference_returns(tasks)["value iteration"]
    engine = make_engine(family, 200, 50)
    noise = engine.draw_noise(np.random.default_rng(0))
    obs, earned = engine.reset(tasks, noise.reset), np.zeros((200, 50))
    for policy, step_noise in zip(best, noise.step, strict=True):
        out = engine.step(np.take_along_axis(policy, obs.argmax(-1), -1), step_noise)
        obs, earned = out.obs, earned + out.reward
    regret = (earned - reference[:, None]).ravel()
    assert abs(regret.mean()) < 4 * regret.std() / np.sqrt(regret.size)


def test_the_grid_pays_in_the_goals_cell_and_goes_on() -> None:
    """Up and right to (1, 2), stay, leave by the left; walls stop."""
    moves = np.array([4, 3, 1, 1, 2, 0, 4]).reshape(7, 1, 1)
    reward, seen, outs = play("grid-navi", {"goal": np.array([[1.0, 2.0]])}, moves, horizon=7)
    path = [[0, 0], [0, 0], [0, 0], [0, 1], [0, 2], [1, 2], [1, 2], [0, 2]]
    np.testing.assert_array_equal(seen[:, 0, 0], path)
    np.testing.assert_allclose(reward[:, 0, 0], [-0.1, -0.1, -0.1, -0.1, 1.0, 1.0, -0.1])
    assert not any(out.terminated.item() for out in outs)


def test_goals_of_the_grid_are_never_beside_the_start() -> None:
    """21 cells, each equally likely."""
    goals = make_family("grid-navi").sample(2000, np.random.default_rng(0))["goal"]
    cells, counts = np.unique(goals, axis=0, return_counts=True)
    assert len(cells) == 21
    assert (cells.max(1) >= 2).all()
    np.testing.assert_allclose(counts / 2000, 1 / 21, atol=0.02)


def test_as_many_tasks_keep_their_tables_as_numbers_can_count() -> None:
    """Half precision counts to 2,048, and single precision to 16.8 million; more are refused."""
    definition = make_family("tabular-mdp").definition
    generator = torch.Generator().manual_seed(0)

    def tasks(count: int) -> dict[str, torch.Tensor]:
        rewards = torch.randn(count, 1, 10, 5, generator=generator).half()
        leads = torch.randint(10, (count, 1, 10, 5), generator=generator)
        return {"transitions": torch.eye(10).half()[leads], "rewards": rewards}

    given = tasks(2048)
    state = definition.start(xp, given, torch.zeros(2048, 1, 0))
    place = torch.zeros(2048, dtype=torch.int64)
    for action in (3, 1, 4):
        actions = torch.full((2048, 1), action)
        noise = torch.full((2048, 1, 2), 0.5).half()
        state, _, _, metrics = definition.step(xp, state, actions, given, noise)
        row = torch.arange(2048), 0, place, action
        assert torch.equal(metrics["mean"][:, 0], given["rewards"][row])
        place = given["transitions"][row].argmax(-1)
        assert torch.equal(state[:, 0, :10].argmax(-1), place)
    with pytest.raises(ValueError, match="at most 2,048 tasks of tabular-mdp at once, got 2,049"):
        definition.start(xp, tasks(2049), torch.zeros(2049, 1, 0))

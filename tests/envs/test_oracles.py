"""The players that agents are compared with, against closed forms and published numbers."""

import numpy as np
import pytest

import envs
from envs.oracles import oracle_scores
from envs.oracles.bandit import gittins_table, greedy
from envs.oracles.bandit import play as play_bandit
from envs.oracles.bayes import BayesOptimal, TooManyStatesError
from envs.oracles.tabular import _optimistic, random_value, value_iteration


@pytest.mark.parametrize(
    ("arms", "pulls", "value"),
    [
        (2, 5, 2.888889),
        (2, 10, 6.021786),
        (2, 20, 12.431265),
        (3, 10, 6.409643),
        (5, 10, 6.659988),
        (10, 10, 6.713951),
        (50, 10, 6.713951),
    ],
)
def test_the_bayes_optimal_value_is_that_of_exact_dynamic_programming(
    arms: int, pulls: int, value: float
) -> None:
    """To the digits that were computed elsewhere."""
    assert BayesOptimal(arms, pulls).value == pytest.approx(value, abs=1e-6)


def test_the_bayes_optimal_player_earns_its_value() -> None:
    """On 20,000 instances, within the interval; and no other player earns more."""
    family = envs.make_family("bandit-k5")
    tasks = family.split("test").sample(20_000, 0)
    scores = oracle_scores(family, tasks, 1, np.random.default_rng(0))
    best = scores["Bayes-optimal"]
    assert abs(best.mean() - 6.659988) < 3 * best.std() / np.sqrt(len(best))
    for name, score in scores.items():
        gap = best - score  # on the same instances
        assert gap.mean() >= -3 * gap.std() / np.sqrt(len(gap)), name
    assert scores["random"].mean() == pytest.approx(5.0, abs=0.05)
    assert scores["Gittins"].mean() == pytest.approx(6.6, abs=0.1)  # arXiv 1611.02779, table 1
    assert scores["UCB1 0.2"].mean() == pytest.approx(6.7, abs=0.1)


def test_gittins_indices_are_those_of_the_tables() -> None:
    """Gittins 1989: a uniform prior's index at γ = .9 and .99."""
    assert gittins_table(0.9, 2)[0, 0] == pytest.approx(0.7029, abs=1e-4)
    assert gittins_table(0.9, 2)[1, 0] == pytest.approx(0.8001, abs=1e-4)
    assert gittins_table(0.9, 2)[0, 1] == pytest.approx(0.5001, abs=2e-4)
    assert gittins_table(0.99, 2)[0, 0] == pytest.approx(0.8699, abs=1e-4)


def test_a_bandit_of_too_many_states_is_refused() -> None:
    """Before memory runs out; scores then come without the exact optimum."""
    with pytest.raises(TooManyStatesError, match="5 arms and 100 pulls has more than"):
        BayesOptimal(5, 100)


def test_players_learn_from_what_paid() -> None:
    """With sure arms the greedy player finds one that pays and stays."""
    means = np.array([[0.0, 1.0, 0.0]])
    assert play_bandit(greedy, means, 10, np.random.default_rng(0))[0] == 9.0


def chain() -> tuple[np.ndarray, np.ndarray]:
    """Two states: action 1 moves on from state 0 and pays 0; in state 1 everything pays 1."""
    p = np.zeros((1, 2, 2, 2))
    p[0, 0, 0, 0] = p[0, 0, 1, 1] = p[0, 1, :, 1] = 1.0
    r = np.array([[[0.1, 0.0], [1.0, 1.0]]])
    return p, r


def test_value_iteration_looks_ahead_up_to_the_horizon() -> None:
    """Moving on pays with two steps left, not with one."""
    p, r = chain()
    assert value_iteration(p, r, 1)[1][0] == pytest.approx(0.1)
    actions, value = value_iteration(p, r, 5)
    assert value[0] == pytest.approx(4.0)
    assert actions[0, :, 0].tolist() == [1, 1, 1, 1, 0]
    assert random_value(p, r, 1)[0] == pytest.approx(0.05)
    assert random_value(p, r, 2)[0] == pytest.approx(0.05 + 0.5 * 0.05 + 0.5)


def test_optimism_moves_mass_from_the_worst_to_the_best_state() -> None:
    """Half of the 1-norm, and never more than there is."""
    p = np.array([0.5, 0.3, 0.2]).reshape(1, 1, 1, 3)
    value = np.array([[1.0, 3.0, 2.0]])
    plain = float((p * value).sum())
    for slack, expected in ((0.0, plain), (0.4, plain + 0.2 * 2.0), (9.0, 3.0)):
        assert _optimistic(p, np.full((1, 1, 1), slack), value)[0, 0, 0] == pytest.approx(expected)
    # beyond the worst state's mass, the second worst one gives
    assert _optimistic(p, np.full((1, 1, 1), 1.2), value)[0, 0, 0] == pytest.approx(
        0.9 * 3.0 + 0.1 * 2.0
    )


def test_players_of_random_mdps_are_in_order() -> None:
    """Random actions earn 100 in ten episodes; nobody earns what the true model gives."""
    family = envs.make_family("tabular-mdp")
    tasks = family.split("test").sample(300, 0)
    scores = oracle_scores(family, tasks, 10, np.random.default_rng(0))
    mean = {name: score.mean() for name, score in scores.items()}
    assert mean["random"] == pytest.approx(100.0, abs=3.0)
    # planning beats the greatest of five N(1, 1) per step, whose mean is 1 + 1.16296
    assert mean["value iteration"] > 216.296 - 3.0
    assert mean["random"] < mean["PSRL"] < mean["OPSRL"] < mean["value iteration"]
    assert mean["PSRL"] < mean["UCRL2 × 0.05"] < mean["value iteration"]


def test_a_family_without_oracles_is_named() -> None:
    """And which have them."""
    family = envs.make_family("point-nav")
    with pytest.raises(ValueError, match="no oracles for point-nav, only for bandits and tabular"):
        oracle_scores(family, family.split("test").sample(2, 0), 1, np.random.default_rng(0))

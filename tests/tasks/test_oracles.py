"""The players that agents are compared with, against closed forms and published numbers."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import linprog
from scipy.stats import beta, norm

from metarl.tasks import make_family
from metarl.tasks.oracles import bandit, oracle_scores, tabular
from metarl.tasks.oracles.bandit import gittins_table, greedy
from metarl.tasks.oracles.bandit import play as play_bandit
from metarl.tasks.oracles.bayes import BayesOptimal, TooManyStatesError
from metarl.tasks.oracles.tabular import Counts, _optimistic, random_value, value_iteration


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
    family = make_family("bandit-k5")
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


def greedy_value(arms: tuple[tuple[int, int], ...], pulls: int) -> float:
    """What pulling the first arm of the greatest posterior mean earns, by plain enumeration."""
    if not pulls:
        return 0.0
    means = [(s + 1) / (s + f + 2) for s, f in arms]
    i, p = means.index(max(means)), max(means)
    win, lose = (
        (*arms[:i], (arms[i][0] + paid, arms[i][1] + 1 - paid), *arms[i + 1 :]) for paid in (1, 0)
    )
    return p * (1 + greedy_value(win, pulls - 1)) + (1 - p) * greedy_value(lose, pulls - 1)


def test_a_player_earns_what_enumeration_says() -> None:
    """Three arms, six pulls, on 100,000 instances."""
    rng = np.random.default_rng(0)
    score = play_bandit(greedy, rng.random((100_000, 3)), 6, rng)
    error = score.std() / np.sqrt(len(score))
    assert abs(score.mean() - greedy_value(((0, 0),) * 3, 6)) < 3 * error


STATES = [((0, 0), (0, 0)), ((2, 1), (0, 0)), ((1, 3), (2, 2)), ((0, 2), (4, 1))]
DRAWS = 100_000


def frequency(index: bandit.Index, state: tuple[tuple[int, int], ...], left: int) -> float:
    """How often the first arm is pulled in a state."""
    s, f = (np.broadcast_to([arm[i] for arm in state], (DRAWS, len(state))) for i in (0, 1))
    return float((index(s, f, left).argmax(-1) == 0).mean())


@pytest.mark.parametrize("state", STATES, ids=str)
def test_players_of_bandits_pull_arms_as_often_as_their_definition_says(
    state: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    """Of two arms, by numerical integration of the posteriors; ties go to the first."""
    rng = np.random.default_rng(0)
    posterior = [beta(s + 1, f + 1) for s, f in state]
    a, b = posterior
    m, n = a.mean(), b.mean()
    first = float(m >= n)
    thompson = quad(lambda x: a.pdf(x) * b.cdf(x), 0, 1)[0]
    # max(draw, mean) of each: the first stays at its mean, or is above it and both of the other
    optimistic = a.cdf(m) * b.cdf(m) * first
    optimistic += quad(lambda x: a.pdf(x) * b.cdf(x), max(m, n), 1)[0]
    done = sum(s + f for s, f in state)
    bonus = [math.sqrt(2 * math.log(done + 1) / (s + f + 2)) for s, f in state]
    expected = {
        "greedy": (greedy, first),
        "ε-greedy": (bandit.epsilon_greedy(0.1, rng), 0.9 * first + 0.1 / 2),
        "UCB1": (bandit.ucb1(0.2, 100), float(m + 0.2 * bonus[0] >= n + 0.2 * bonus[1])),
        "wider UCB1": (bandit.ucb1(1.0, 100), float(m + bonus[0] >= n + bonus[1])),
        "Thompson": (bandit.thompson(rng), thompson),
        "optimistic Thompson": (bandit.optimistic_thompson(rng), optimistic),
    }
    for name, (index, chance) in expected.items():
        tolerance = 4 * math.sqrt(chance * (1 - chance) / DRAWS)
        assert abs(frequency(index, state, 100 - done) - chance) <= tolerance, name


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


def random_mdp(states: int = 2, choices: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(states), (1, states, choices))
    return p, rng.normal(1.0, 1.0, (1, states, choices))


def test_value_iteration_is_the_best_of_all_policies() -> None:
    """Of the 64 of three steps; random actions earn their mean, and a player what its plan does."""
    p, r = random_mdp()
    values = []
    for policy in product((0, 1), repeat=6):
        at, total = np.array([1.0, 0.0]), 0.0
        for h in range(3):
            chosen = policy[2 * h], policy[2 * h + 1]
            total += sum(at[s] * r[0, s, chosen[s]] for s in (0, 1))
            at = sum(at[s] * p[0, s, chosen[s]] for s in (0, 1))
        values.append(total)
    actions, best = value_iteration(p, r, 3)
    assert best[0] == pytest.approx(max(values))
    assert random_value(p, r, 3)[0] == pytest.approx(np.mean(values))
    copies = [np.repeat(x, 20_000, 0) for x in (p, r, actions)]
    score = tabular.play(lambda *_: copies[2], *copies[:2], 3, 2, np.random.default_rng(0))
    assert abs(score.mean() - 2 * best[0]) < 3 * score.std() / np.sqrt(len(score))


def seen(visits: tuple[int, int], rewards: tuple[float, float]) -> Counts:
    """Of one state and two actions, of many instances."""
    n, total = np.array(visits, float), np.array(rewards)
    return Counts(np.tile(n[None, None, :, None], (DRAWS, 1, 1, 1)), np.tile(total, (DRAWS, 1, 1)))


def test_players_of_random_mdps_choose_as_often_as_their_definition_says() -> None:
    """Of two actions, one step to go: a mean's posterior is N((1 + Σr)/(1 + n), 1/(1 + n))."""
    rng = np.random.default_rng(0)
    visits, rewards = (3, 1), (4.0, 0.5)
    means = [(1 + r) / (1 + n) for n, r in zip(visits, rewards, strict=True)]
    a, b = (norm(m, (1 + n) ** -0.5) for m, n in zip(means, visits, strict=True))
    assert means == [1.25, 0.75]
    width = [math.sqrt(4 * math.log(2 * 1 * 2 * 5 / 0.05) / n) for n in visits]  # t = 4 · 1 + 1
    optimistic = 1 - quad(lambda x: b.pdf(x) * a.cdf(x), means[0], np.inf)[0]
    expected = {
        "greedy": (tabular.greedy, 1.0),
        "PSRL": (tabular.psrl(rng), norm.cdf(0.5 / math.sqrt(1 / 4 + 1 / 2))),
        "OPSRL": (tabular.opsrl(rng), optimistic),
    }
    for scale in (0.05, 0.24, 0.243):  # on either side of where the widths decide
        bound = [m + scale * w for m, w in zip(means, width, strict=True)]
        expected[f"UCRL2 × {scale}"] = (tabular.ucrl2(scale), float(bound[0] > bound[1]))
    assert {chance for _, chance in list(expected.values())[3:]} == {0.0, 1.0}
    for name, (plan, chance) in expected.items():
        found = (plan(seen(visits, rewards), 1, 4)[:, 0, 0] == 0).mean()
        assert abs(found - chance) <= 4 * math.sqrt(chance * (1 - chance) / DRAWS), name


def test_a_drawn_model_has_the_moments_of_the_posterior() -> None:
    """Dirichlet(1 + counts), with which PSRL and OPSRL plan."""
    counts = np.array([[[[0.0, 3.0, 1.0]]]])
    many = Counts(np.repeat(counts, DRAWS, 0), np.zeros((DRAWS, 1, 1)))
    p, _ = tabular._draw(many, np.random.default_rng(0))
    alpha = counts.ravel() + 1
    mean = alpha / alpha.sum()
    np.testing.assert_allclose(p[:, 0, 0].mean(0), mean, atol=5e-3)
    np.testing.assert_allclose(p[:, 0, 0].var(0), mean * (1 - mean) / (alpha.sum() + 1), atol=1e-3)


def test_optimism_is_the_linear_programme() -> None:
    """max p' · V over |p' − p|₁ ≤ slack: mass that is added and mass that is taken, in [0, 1]."""
    rng = np.random.default_rng(0)
    for slack in (0.05, 0.3, 0.9, 1.7):
        p, value = rng.dirichlet(np.ones(4)), rng.normal(size=4)
        sums = np.repeat([1.0, -1.0], 4)  # what is added less what is taken
        best = linprog(
            -np.concatenate([value, -value]),
            A_ub=np.ones((1, 8)),
            b_ub=[slack],
            A_eq=sums[None],
            b_eq=[0.0],
            bounds=[(0, 1)] * 4 + [(0, mass) for mass in p],
        )
        found = _optimistic(p[None, None, None], np.full((1, 1, 1), slack), value[None])
        assert found[0, 0, 0] == pytest.approx(p @ value - best.fun)


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


def optimistic_actions(counts: Counts, i: int, horizon: int, t: int, scale: float) -> np.ndarray:
    """UCRL2's plan for one instance, `[H, S]`, by loops and a linear programme's solution."""
    visits, total = counts.visits[i], counts.rewards[i]
    states, choices = total.shape
    log = math.log(2 * states * choices * t / 0.05)
    value, plan = np.zeros(states), np.zeros((horizon, states), dtype=np.int64)
    for h in reversed(range(horizon)):
        q = np.zeros((states, choices))
        for s, a in product(range(states), range(choices)):
            n = visits[s, a].sum()
            p = (visits[s, a] + 1) / (n + states)
            free = scale * math.sqrt(4 * states * log / max(n, 1)) / 2
            best = int(value.argmax())
            free = min(free, 1 - p[best])
            p[best] += free
            for worst in value.argsort():
                taken = min(free, p[worst]) if worst != best else 0.0
                p[worst] -= taken
                free -= taken
            q[s, a] = (
                (1 + total[s, a]) / (1 + n) + scale * math.sqrt(4 * log / max(n, 1)) + p @ value
            )
        plan[h], value = q.argmax(-1), q.max(-1)
    return plan


@pytest.mark.parametrize("scale", [0.05, 0.2])
def test_ucrl2_plans_within_widths_that_grow_with_the_number_of_states(scale: float) -> None:
    """√(4 S ln(2SAt/δ) / n) in the 1-norm of transitions, √(4 ln(2SAt/δ) / n) of rewards."""
    rng = np.random.default_rng(0)
    visits = rng.integers(0, 30, (300, 4, 2, 4)).astype(float)
    counts = Counts(visits, rng.normal(1.0, 0.3, (300, 4, 2)) * visits.sum(-1))
    found = tabular.ucrl2(scale)(counts, 4, 5)
    expected = [optimistic_actions(counts, i, 4, 5 * 4 + 1, scale) for i in range(300)]
    np.testing.assert_array_equal(found, expected)


def test_players_of_random_mdps_are_in_order() -> None:
    """Random actions earn 100 in ten episodes; nobody earns what the true model gives."""
    family = make_family("tabular-mdp")
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
    family = make_family("point-nav")
    with pytest.raises(ValueError, match="no oracles for point-nav, only for bandits and tabular"):
        oracle_scores(family, family.split("test").sample(2, 0), 1, np.random.default_rng(0))

"""Oracles of other families than the built-in ones: any Beta priors, any small MDP."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from metarl.cli import evaluate as evaluate_metarl
from metarl.cli import train as train_metarl
from metarl.tasks import (
    Bandit,
    Belief,
    Beta,
    Choice,
    Dirichlet,
    Mdp,
    Normal,
    TaskFamily,
    Uniform,
    make_family,
)
from metarl.tasks.oracles import bandit, oracle_scores, require_oracles, tabular
from metarl.tasks.oracles.bandit import gittins_table
from metarl.tasks.oracles.bayes import BayesOptimal
from metarl.tasks.oracles.tabular import Counts
from tests.tasks import gallery


def best_value(arms: tuple[tuple[float, float], ...], pulls: int) -> float:
    """The Bayes-optimal value of arms with Beta(a, b) beliefs, by recursion over ordered arms."""

    @cache
    def value(beliefs: tuple[tuple[float, float], ...], left: int) -> float:
        if not left:
            return 0.0
        worth = []
        for i, (a, b) in enumerate(beliefs):
            p = a / (a + b)
            win = (*beliefs[:i], (a + 1, b), *beliefs[i + 1 :])
            lose = (*beliefs[:i], (a, b + 1), *beliefs[i + 1 :])
            worth.append(p * (1 + value(win, left - 1)) + (1 - p) * value(lose, left - 1))
        return max(worth)

    return value(arms, pulls)


PRIORS = [((1.0, 1.0), (1.0, 1.0)), ((2.0, 1.0), (1.0, 3.5)), ((0.5, 0.5),) * 3, ((4.0, 2.0),) * 2]


@pytest.mark.parametrize("prior", PRIORS, ids=str)
def test_the_bayes_optimal_value_of_any_beta_priors_is_that_of_plain_recursion(
    prior: tuple[tuple[float, float], ...],
) -> None:
    """Whether the arms share a prior or not; and the player earns it on instances of the prior."""
    player = BayesOptimal(len(prior), 7, np.array(prior))
    assert player.value == pytest.approx(best_value(prior, 7), abs=1e-12)
    rng = np.random.default_rng(0)
    means = np.stack([rng.beta(a, b, 40_000) for a, b in prior], -1)
    scores = bandit.bandit_scores(means, np.array(prior), 7, rng)
    best = scores["Bayes-optimal"]
    assert abs(best.mean() - player.value) < 3 * best.std() / np.sqrt(len(best))
    for name, score in scores.items():
        gap = best - score
        assert gap.mean() >= -3 * gap.std() / np.sqrt(len(gap)), name


def test_a_gittins_index_after_a_success_is_that_of_the_prior_with_one_success() -> None:
    """Beta(2, 1) is the uniform prior after a success, Beta(1, 3) that after two failures."""
    flat = gittins_table(0.95, 6)
    assert gittins_table(0.95, 6, 2.0, 1.0)[0, 0] == pytest.approx(flat[1, 0], abs=1e-4)
    assert gittins_table(0.95, 6, 1.0, 3.0)[1, 0] == pytest.approx(flat[1, 2], abs=1e-4)


def test_an_own_bandit_is_played_by_the_oracles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A parameter per arm; the exact optimum of two arms and ten pulls is 6.021786."""
    tasks = gallery.two_arms.split("test").sample(20_000, 0)
    best = oracle_scores(gallery.two_arms, tasks, 1, np.random.default_rng(0))["Bayes-optimal"]
    assert abs(best.mean() - 6.021786) < 3 * best.std() / np.sqrt(len(best))
    run, file = tmp_path / "run", tmp_path / "table.json"
    options = ["--algo", "rl2", "--env", "tests.tasks.gallery:two_arms", "--run-dir", str(run)]
    tiny = ["--iterations", "1", "--tasks", "4", "--minibatches", "1", "--eval-tasks", "0"]
    assert train_metarl.main([*options, *tiny, "--episodes", "1"]) == 0
    evaluate = [str(run), "--oracles", "--tasks", "5", "--json", str(file)]
    assert evaluate_metarl.main(evaluate) == 0
    assert "Gittins" in json.loads(file.read_text())["players"]


def two_arms(**options: object) -> TaskFamily:
    return TaskFamily(env=gallery.TwoArms, horizon=10, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (two_arms(parameters={"left": Uniform(0, 1), "right": Uniform(0, 1)}), "model=Bandit"),
        (
            two_arms(
                parameters={"left": Uniform(0, 1), "right": Uniform(0.2, 0.8)},
                model=Bandit(("left", "right")),
            ),
            r"U\(0.2, 0.8\) is no prior of a bandit's arm",
        ),
        (
            two_arms(
                parameters={"left": Uniform(0, 1), "right": Choice((0.5,))},
                model=Bandit(("left", "right"), prior=(Beta(1, 1), Beta(1, 1), Beta(1, 1))),
            ),
            "2 arms needs as many Beta distributions, got 3",
        ),
        (two_arms(parameters={"left": Beta(size=3)}, model=Bandit("left")), "has 3 actions"),
        (two_arms(parameters={"left": Normal(0, 1, size=2)}, model=Bandit("left")), "probabilit"),
        (
            two_arms(parameters={"left": Beta(size=(2, 2)), "right": Beta(size=2)},
                     model=Mdp("left", "right")),
            r"transitions \[S, A, S\]",
        ),
    ],
)  # fmt: skip
def test_a_model_that_does_not_fit_is_refused(family: TaskFamily, message: str) -> None:
    """Before anything is played; the message says what would fit."""
    with pytest.raises(ValueError, match=message):
        require_oracles(family)


def corridor(task: dict[str, float]) -> np.ndarray:
    """Transitions `[3, 2, 3]`: action 1 moves on with probability `grip`, 0 stays."""
    p = np.zeros((3, 2, 3))
    p[range(3), 0, range(3)] = 1.0
    for s in range(3):
        p[s, 1, min(s + 1, 2)] += task["grip"]
        p[s, 1, s] += 1 - task["grip"]
    return p


def test_an_own_mdp_is_played_by_the_oracles() -> None:
    """Tables that a function computes of the task, from a start that is not state 0."""
    model = Mdp(
        corridor, lambda task: np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]), start=1, noise=0.0
    )
    family = two_arms(parameters={"grip": Uniform(0.3, 0.9), "left": Choice((0.5,))}, model=model)
    tasks = family.split("test").sample(50, 0)
    scores = oracle_scores(family, tasks, 40, np.random.default_rng(0))
    # with h steps to go after the t-th try: Σ_t P(first grip at t) (9 − t + 1 …)
    grip = tasks["grip"]
    exact = sum(grip * (1 - grip) ** (t - 1) * (10 - t) for t in range(1, 10))
    np.testing.assert_allclose(scores["value iteration"], 40 * exact)
    assert scores["random"].mean() < scores["PSRL"].mean() <= scores["value iteration"].mean()
    assert scores["PSRL"].mean() > 0.9 * scores["value iteration"].mean()


def test_what_players_believe_of_rewards_is_the_conjugate_posterior() -> None:
    """N(m, s²) and noise σ: precision 1/s² + n/σ², by which drawn rewards spread."""
    belief = Belief(concentration=2.0, mean=-1.0, std=0.5, noise=2.0)
    n, total, draws = 3.0, 4.5, 100_000
    counts = Counts(np.full((draws, 1, 1, 1), n), np.full((draws, 1, 1), total))
    precision = 1 / 0.5**2 + n / 2.0**2
    mean = (-1.0 / 0.5**2 + total / 2.0**2) / precision
    _, r = tabular._draw(counts, np.random.default_rng(0), belief)
    assert r.mean() == pytest.approx(mean, abs=4 * precision**-0.5 / np.sqrt(draws))
    assert r.std() == pytest.approx(precision**-0.5, rel=0.01)
    assert np.mean(r < 0) == pytest.approx(norm(mean, precision**-0.5).cdf(0), abs=0.01)
    parameters = {"transitions": Dirichlet(3, 2.0, size=(3, 2)), "rewards": Normal(-1.0, 0.5)}
    assert Mdp(noise=2.0).beliefs(parameters) == belief


def test_a_stronger_prior_needs_more_to_be_convinced() -> None:
    """Dirichlet(c) counts c visits of every state before the first one."""
    counts = Counts(np.array([[[[3.0, 0.0, 1.0]]]]), np.zeros((1, 1, 1)))
    found = tabular._mean_transitions(counts, Belief(concentration=2.0))
    np.testing.assert_allclose(found.ravel(), np.array([5.0, 2.0, 3.0]) / 10)


def test_built_in_families_are_what_they_are() -> None:
    """Their priors are flat, and their beliefs those that they are drawn from."""
    family = make_family("bandit-k5")
    assert require_oracles(family) == Bandit("means")
    np.testing.assert_array_equal(Bandit("means").beliefs(family.parameters, 5), np.ones((5, 2)))
    mdp = make_family("tabular-mdp")
    assert Mdp().beliefs(mdp.parameters) == Belief()

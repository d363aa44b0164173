"""Players of Bernoulli bandits whose arms have Beta priors; all instances play together.

Every player but the random one turns successes and failures `[T, k]` into an index per arm and
pulls the arm of the highest one. The players' prior is uniform: to believe in Beta(a, b) is to have
seen a − 1 successes and b − 1 failures before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache

import numpy as np

from metarl.tasks.oracles.bayes import BayesOptimal, TooManyStatesError, seen

Index = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""Successes and failures `[T, k]` and pulls left, this one included, to an index `[T, k]`."""

EPSILON = 0.1
UCB_WIDTH = 0.2  # what RL² (arXiv 1611.02779, section 3.1) found best
_GRID = 400  # retirement rewards at which Gittins' calibration is done, before interpolation


def bandit_scores(
    means: np.ndarray, prior: np.ndarray, pulls: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The sum of the means of the pulled arms, `[T]`, for every player.

    Args:
        means: `[T, k]`.
        prior: a and b of every arm's Beta distribution, `[k, 2]`.
        pulls: of a trial; a bandit does not change between its episodes.
        rng: of the rewards and the players.
    """
    players: dict[str, Index] = {
        "greedy": greedy,
        f"epsilon-greedy {EPSILON}": epsilon_greedy(EPSILON, rng),
        f"UCB1 {UCB_WIDTH}": ucb1(UCB_WIDTH, pulls),
        "Thompson": thompson(rng),
        "optimistic Thompson": optimistic_thompson(rng),
        "Gittins": gittins(pulls, prior),
    }
    with suppress(TooManyStatesError):  # where the state space allows it
        players["Bayes-optimal"] = BayesOptimal(means.shape[1], pulls, prior).index
    scores = {"random": pulls * means.mean(-1)}
    return scores | {name: play(index, means, pulls, rng, prior) for name, index in players.items()}


def play(
    index: Index,
    means: np.ndarray,
    pulls: int,
    rng: np.random.Generator,
    prior: np.ndarray | None = None,
) -> np.ndarray:
    """The sum of the means of the arms that a player pulls, `[T]`.

    Args:
        index: of the player.
        means: `[T, k]`.
        pulls: n.
        rng: of the rewards.
        prior: `[k, 2]`; uniform if None.
    """
    before = np.zeros((means.shape[1], 2)) if prior is None else prior - 1
    successes, failures = (np.tile(column, (len(means), 1)) for column in before.T)
    rows, total = np.arange(len(means)), np.zeros(len(means))
    for t in range(pulls):
        arm = index(successes, failures, pulls - t).argmax(-1)
        mean = means[rows, arm]
        paid = rng.random(len(means)) < mean
        successes[rows, arm] += paid
        failures[rows, arm] += ~paid
        total += mean
    return total


def greedy(successes: np.ndarray, failures: np.ndarray, left: int) -> np.ndarray:
    """The posterior mean (s + 1) / (s + f + 2)."""
    mean: np.ndarray = (successes + 1) / (successes + failures + 2)
    return mean


def epsilon_greedy(epsilon: float, rng: np.random.Generator) -> Index:
    """The greedy arm, or with probability ε any one."""

    def index(successes: np.ndarray, failures: np.ndarray, left: int) -> np.ndarray:
        anything = rng.random(len(successes)) < epsilon
        chance = rng.random(successes.shape)
        return np.where(anything[:, None], chance, greedy(successes, failures, left))

    return index


def ucb1(width: float, pulls: int) -> Index:
    """μ + c √(2 ln t / n) (Auer et al. 2002), with the prior counted as two pulls of each arm.

    So no arm has to be pulled first, and many arms can be left alone.
    """

    def index(successes: np.ndarray, failures: np.ndarray, left: int) -> np.ndarray:
        t = pulls - left + 1
        bonus = np.sqrt(2 * np.log(t) / (successes + failures + 2))
        total: np.ndarray = greedy(successes, failures, left) + width * bonus
        return total

    return index


def thompson(rng: np.random.Generator) -> Index:
    """A draw from each arm's posterior Beta(s + 1, f + 1) (Thompson 1933)."""

    def index(successes: np.ndarray, failures: np.ndarray, left: int) -> np.ndarray:
        draw: np.ndarray = rng.beta(successes + 1, failures + 1)
        return draw

    return index


def optimistic_thompson(rng: np.random.Generator) -> Index:
    """The draw, but at least the posterior mean (May et al. 2012)."""

    def index(successes: np.ndarray, failures: np.ndarray, left: int) -> np.ndarray:
        draw = rng.beta(successes + 1, failures + 1)
        at_least: np.ndarray = np.maximum(draw, greedy(successes, failures, left))
        return at_least

    return index


def gittins(pulls: int, prior: np.ndarray) -> Index:
    """Gittins' index (Gittins 1979) at the discount 1 − 1/n, whose effective horizon is n."""
    discount = 1 - 1 / max(pulls, 2)
    tables = np.stack([gittins_table(discount, pulls, a, b) for a, b in prior.tolist()])

    def index(successes: np.ndarray, failures: np.ndarray, left: int) -> np.ndarray:
        s, f = (np.rint(x).astype(int) for x in seen(successes, failures, prior))
        indices: np.ndarray = tables[np.arange(len(prior)), s, f]
        return indices

    return index


@cache
def gittins_table(discount: float, pulls: int, a: float = 1.0, b: float = 1.0) -> np.ndarray:
    """Gittins' indices `[s, f]` of arms with s + f < `pulls`, other entries nan.

    The index is the sure reward per step λ that is worth as much as the right to go on pulling:
    V(s, f) = max(λ / (1 − γ), p (1 + γ V(s + 1, f)) + (1 − p) γ V(s, f + 1)) with
    p = (s + a) / (s + f + a + b). Pulls whose discount is below 1e-5 are left out: from there on
    λ is compared with p alone.

    Args:
        discount: γ in (0, 1).
        pulls: n.
        a: of the prior Beta(a, b).
        b: of the prior.
    """
    sure = np.linspace(0, 1, _GRID + 1)  # λ
    retire = sure / (1 - discount)
    depth = pulls + int(np.ceil(np.log(1e-5) / np.log(discount)))
    mean = ((np.arange(depth + 1) + a) / (depth + (a + b)))[:, None]
    value = np.maximum(retire, mean / (1 - discount))  # [s, λ] at s + f = depth
    table = np.full((pulls, pulls), np.nan)
    for total in range(depth - 1, -1, -1):
        s = np.arange(total + 1)
        p = ((s + a) / (total + (a + b)))[:, None]
        go_on = p * (1 + discount * value[1:]) + (1 - p) * discount * value[:-1]
        if total < pulls:
            gain = go_on - retire  # falls with λ; the index is its zero
            after = (gain > 0).sum(-1).clip(1, _GRID)
            g0, g1 = gain[s, after - 1], gain[s, after]
            table[s, total - s] = sure[after - 1] + g0 / (g0 - g1) / _GRID
        value = np.maximum(retire, go_on)
    return table

"""Players of small random MDPs: states S, actions A, episodes of H steps; all instances together.

Their belief is a prior: transitions ~ Dirichlet, mean rewards ~ N, rewards with normal noise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from metarl.tasks.models import Belief

UCRL_SCALE = 0.05  # factor on UCRL2's confidence widths, which are far too wide for few episodes
UCRL_DELTA = 0.05
FLAT = Belief()
LEAST_NOISE = 1e-3
"""What players take noise for that there is none of, in units of the rewards' prior."""


class Counts(NamedTuple):
    """This has been seen of every instance."""

    visits: np.ndarray  # [T, S, A, S]
    rewards: np.ndarray  # [T, S, A], summed


Plan = Callable[[Counts, int, int], np.ndarray]
"""Counts, horizon and number of the episode to greedy actions `[T, H, S]`."""


def tabular_scores(
    p: np.ndarray,
    r: np.ndarray,
    belief: Belief,
    horizon: int,
    episodes: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """The sum of the mean rewards of what was done, `[T]`, for every player.

    Value iteration knows the model; its score and the random player's are exact expectations.

    Args:
        p: transitions `[T, S, A, S]`; state 0 is the first one.
        r: mean rewards `[T, S, A]`.
        belief: the prior of the players.
        horizon: H.
        episodes: of a trial.
        rng: of transitions, rewards and the players.
    """
    scores = {"random": episodes * random_value(p, r, horizon)}
    players: dict[str, Plan] = {
        "greedy": partial(greedy, belief=belief),
        "PSRL": psrl(rng, belief),
        "OPSRL": opsrl(rng, belief),
        f"UCRL2 × {UCRL_SCALE}": ucrl2(UCRL_SCALE, belief),
    }
    for name, plan in players.items():
        scores[name] = play(plan, p, r, horizon, episodes, rng, belief.noise)
    scores["value iteration"] = episodes * value_iteration(p, r, horizon)[1]
    return scores


def value_iteration(p: np.ndarray, r: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Greedy actions `[T, H, S]` and the value of an episode from state 0, `[T]`.

    Args:
        p: transitions `[T, S, A, S]`.
        r: mean rewards `[T, S, A]`.
        horizon: H.
    """
    value = np.zeros(r.shape[:2])
    actions = np.zeros((len(r), horizon, r.shape[1]), dtype=np.int64)
    for h in reversed(range(horizon)):
        q = r + np.einsum("tsan,tn->tsa", p, value)
        actions[:, h], value = q.argmax(-1), q.max(-1)
    return actions, value[:, 0]


def random_value(p: np.ndarray, r: np.ndarray, horizon: int) -> np.ndarray:
    """Expected reward of an episode of uniformly random actions from state 0, `[T]`."""
    value = np.zeros(r.shape[:2])
    for _ in range(horizon):
        value = (r + np.einsum("tsan,tn->tsa", p, value)).mean(-1)
    return value[:, 0]


def play(
    plan: Plan,
    p: np.ndarray,
    r: np.ndarray,
    horizon: int,
    episodes: int,
    rng: np.random.Generator,
    noise: float = 1.0,
) -> np.ndarray:
    """The sum of the mean rewards of what a player does, `[T]`; it plans before every episode."""
    rows, total = np.arange(len(r)), np.zeros(len(r))
    counts = Counts(np.zeros_like(p), np.zeros_like(r))
    cumulative = p.cumsum(-1)
    for episode in range(episodes):
        actions = plan(counts, horizon, episode)
        state = np.zeros(len(r), dtype=np.int64)
        for h in range(horizon):
            action = actions[rows, h, state]
            mean = r[rows, state, action]
            coin = rng.random((len(r), 1))
            below = cumulative[rows, state, action] <= coin
            following = below.sum(-1).clip(max=p.shape[-1] - 1)
            counts.rewards[rows, state, action] += mean + noise * rng.standard_normal(len(r))
            counts.visits[rows, state, action, following] += 1
            total += mean
            state = following
    return total


def psrl(rng: np.random.Generator, belief: Belief = FLAT) -> Plan:
    """Plan in one draw from the posterior (Strens 2000; Osband et al. 2013, arXiv 1306.0940)."""

    def plan(counts: Counts, horizon: int, episode: int) -> np.ndarray:
        return value_iteration(*_draw(counts, rng, belief), horizon)[0]

    return plan


def opsrl(rng: np.random.Generator, belief: Belief = FLAT) -> Plan:
    """Plan in a draw whose rewards are at least the posterior means, as optimistic Thompson."""

    def plan(counts: Counts, horizon: int, episode: int) -> np.ndarray:
        p, r = _draw(counts, rng, belief)
        return value_iteration(p, np.maximum(r, _mean_reward(counts, belief)), horizon)[0]

    return plan


def greedy(counts: Counts, horizon: int, episode: int, belief: Belief = FLAT) -> np.ndarray:
    """Plan in the posterior mean, without any exploration."""
    model = _mean_transitions(counts, belief), _mean_reward(counts, belief)
    return value_iteration(*model, horizon)[0]


def ucrl2(scale: float, belief: Belief = FLAT) -> Plan:
    """Plan in the most optimistic model within confidence widths (Jaksch et al. 2010).

    Widths √(4 ln(2 S A t / δ) / n) of rewards and √(4 S ln(2 S A t / δ) / n) of transitions (in
    the 1-norm), times `scale` and the former times the noise, around the posterior means; in the
    form for finite horizons of Osband and Van Roy (arXiv 1607.00215).
    """

    def plan(counts: Counts, horizon: int, episode: int) -> np.ndarray:
        _, states, choices = counts.rewards.shape
        n = np.maximum(counts.visits.sum(-1), 1)
        t = episode * horizon + 1
        width = 4 * np.log(2 * states * choices * t / UCRL_DELTA) / n
        reward = _mean_reward(counts, belief) + belief.noise * scale * np.sqrt(width)
        transitions = _mean_transitions(counts, belief)
        slack = scale * np.sqrt(states * width)
        value = np.zeros(reward.shape[:2])
        actions = np.zeros((len(value), horizon, states), dtype=np.int64)
        for h in reversed(range(horizon)):
            q = reward + _optimistic(transitions, slack, value)
            actions[:, h], value = q.argmax(-1), q.max(-1)
        return actions

    return plan


def _optimistic(p: np.ndarray, slack: np.ndarray, value: np.ndarray) -> np.ndarray:
    """max p' · V over |p' − p|₁ ≤ slack, `[T, S, A]`: mass goes from worst to best."""
    order = value.argsort(-1)  # the worst first
    ranked = np.take_along_axis(value, order, -1)
    q = np.take_along_axis(p, order[:, None, None, :], -1)
    moved = np.minimum(slack / 2, 1 - q[..., -1])
    before = q.cumsum(-1) - q  # mass of the states that are worse
    left = np.clip(q - np.clip(moved[..., None] - before, 0, None), 0, None)
    left[..., -1] = q[..., -1] + moved
    best: np.ndarray = np.einsum("tsan,tn->tsa", left, ranked)
    return best


def _draw(
    counts: Counts, rng: np.random.Generator, belief: Belief = FLAT
) -> tuple[np.ndarray, np.ndarray]:
    """Transitions and mean rewards from the posterior."""
    gamma = rng.standard_gamma(counts.visits + belief.concentration)
    noise = rng.standard_normal(counts.rewards.shape)
    mean = _mean_reward(counts, belief)
    rewards = mean + noise * belief.std / np.sqrt(1 + _weight(belief) * counts.visits.sum(-1))
    return gamma / gamma.sum(-1, keepdims=True), rewards


def _mean_transitions(counts: Counts, belief: Belief) -> np.ndarray:
    """Posterior mean of the transitions."""
    seen = counts.visits + belief.concentration
    mean: np.ndarray = seen / seen.sum(-1, keepdims=True)
    return mean


def _mean_reward(counts: Counts, belief: Belief) -> np.ndarray:
    """Posterior mean (m + w Σr) / (1 + w n) of the rewards' means, with the prior N(m, std²)."""
    w = _weight(belief)
    mean: np.ndarray = (belief.mean + w * counts.rewards) / (1 + w * counts.visits.sum(-1))
    return mean


def _weight(belief: Belief) -> float:
    """Weigh one reward against the prior: w = std² / noise²."""
    return (belief.std / max(belief.noise, LEAST_NOISE * belief.std)) ** 2

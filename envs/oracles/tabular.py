"""Players of small random MDPs: states S, actions A, episodes of H steps; all instances together.

The prior is the family's own: transitions ~ Dirichlet(1), mean rewards ~ N(1, 1), rewards with
unit noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from envs.family import Tasks

UCRL_SCALE = 0.05  # factor on UCRL2's confidence widths, which are far too wide for few episodes
UCRL_DELTA = 0.05


class Counts(NamedTuple):
    """What has been seen of every instance."""

    visits: np.ndarray  # [T, S, A, S]
    rewards: np.ndarray  # [T, S, A], summed


Plan = Callable[[Counts, int, int], np.ndarray]
"""Counts, horizon and number of the episode to greedy actions `[T, H, S]`."""


def tabular_scores(
    tasks: Tasks, horizon: int, episodes: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The sum of the mean rewards of what was done, `[T]`, for every player.

    Value iteration knows the model; its score and the random player's are exact expectations.

    Args:
        tasks: `transitions` `[T, S, A, S]` and `rewards` `[T, S, A]`.
        horizon: H.
        episodes: of a trial.
        rng: of transitions, rewards and the players.
    """
    p = np.asarray(tasks["transitions"], dtype=np.float64)
    r = np.asarray(tasks["rewards"], dtype=np.float64)
    scores = {"random": episodes * random_value(p, r, horizon)}
    players = {
        "greedy": greedy,
        "PSRL": psrl(rng),
        "OPSRL": opsrl(rng),
        f"UCRL2 × {UCRL_SCALE}": ucrl2(UCRL_SCALE),
    }
    for name, plan in players.items():
        scores[name] = play(plan, p, r, horizon, episodes, rng)
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
            counts.rewards[rows, state, action] += mean + rng.standard_normal(len(r))
            counts.visits[rows, state, action, following] += 1
            total += mean
            state = following
    return total


def psrl(rng: np.random.Generator) -> Plan:
    """Plan in one draw from the posterior (Strens 2000; Osband et al. 2013, arXiv 1306.0940)."""

    def plan(counts: Counts, horizon: int, episode: int) -> np.ndarray:
        return value_iteration(*_draw(counts, rng), horizon)[0]

    return plan


def opsrl(rng: np.random.Generator) -> Plan:
    """Plan in a draw whose rewards are at least the posterior means, as optimistic Thompson."""

    def plan(counts: Counts, horizon: int, episode: int) -> np.ndarray:
        p, r = _draw(counts, rng)
        return value_iteration(p, np.maximum(r, _mean_reward(counts)), horizon)[0]

    return plan


def greedy(counts: Counts, horizon: int, episode: int) -> np.ndarray:
    """Plan in the posterior mean, without any exploration."""
    return value_iteration(_mean_transitions(counts), _mean_reward(counts), horizon)[0]


def ucrl2(scale: float) -> Plan:
    """Plan in the most optimistic model within confidence widths (Jaksch et al. 2010).

    Widths √(4 ln(2 S A t / δ) / n) of rewards and √(4 S ln(2 S A t / δ) / n) of transitions (in
    the 1-norm), times `scale`, around the posterior means; in the form for finite horizons of
    Osband and Van Roy (arXiv 1607.00215).
    """

    def plan(counts: Counts, horizon: int, episode: int) -> np.ndarray:
        _, states, choices = counts.rewards.shape
        n = np.maximum(counts.visits.sum(-1), 1)
        t = episode * horizon + 1
        width = 4 * np.log(2 * states * choices * t / UCRL_DELTA) / n
        reward = _mean_reward(counts) + scale * np.sqrt(width)
        transitions = _mean_transitions(counts)
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


def _draw(counts: Counts, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Transitions and mean rewards from the posterior."""
    gamma = rng.standard_gamma(counts.visits + 1)
    noise = rng.standard_normal(counts.rewards.shape)
    precision = 1 + counts.visits.sum(-1)
    return gamma / gamma.sum(-1, keepdims=True), _mean_reward(counts) + noise / np.sqrt(precision)


def _mean_transitions(counts: Counts) -> np.ndarray:
    """Posterior mean of the transitions."""
    mean: np.ndarray = (counts.visits + 1) / (counts.visits + 1).sum(-1, keepdims=True)
    return mean


def _mean_reward(counts: Counts) -> np.ndarray:
    """Posterior mean of the rewards' means: prior N(1, 1) and unit noise."""
    mean: np.ndarray = (1 + counts.rewards) / (1 + counts.visits.sum(-1))
    return mean

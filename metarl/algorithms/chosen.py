"""Hyper-parameters for environments that no preset knows, by what can be seen of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium

from metarl.algorithms.presets import Overrides
from metarl.tasks import TaskFamily
from metarl.tasks.contract.glance import reward_range
from metarl.tasks.engines.vector.subprocess import in_subprocess

SHORT = 100
"""Steps of a trial up to which all of its rewards count alike."""
BATCH = 5120
"""Steps of an iteration of RL² that short trials are to come to."""


class Seen(NamedTuple):
    """A short look tells this of an environment, before any training."""

    discrete: bool  # actions
    horizon: int
    rewards: tuple[float, float] | None  # that random actions meet; None where that failed

    def __str__(self) -> str:
        """Say it in words."""
        kind = "discrete" if self.discrete else "continuous"
        found = "rewards that could not be looked at"
        if self.rewards:
            found = "rewards of {:.3g} … {:.3g} by random actions".format(*self.rewards)
        return f"{kind} actions, episodes of {self.horizon} steps, {found}"


def look_at(family: TaskFamily, workers: int = 0) -> Seen:
    """Look at a family's environments in a few episodes.

    Args:
        family: of a user.
        workers: where there are to be any, no environment is made in this process.
    """
    try:
        rewards = in_subprocess(reward_range, family) if workers else reward_range(family)
    except Exception:  # training meets it again, and ends in order with its task and step
        rewards = None
    return Seen(
        discrete=isinstance(family.action_space, gymnasium.spaces.Discrete),
        horizon=family.horizon,
        rewards=rewards,
    )


def chosen(algo: str, seen: Seen, **given: Any) -> Overrides:
    """Choose what differs from an algorithm's defaults for an environment.

    Args:
        algo: name of the algorithm.
        seen: of the environment.
        given: `tasks` and `episodes`, where the user says them.
    """
    return _rl2(seen, **given) if algo == "rl2" else _maml_trpo(seen)


def _maml_trpo(seen: Seen) -> Overrides:
    """Longer inner steps: of small networks as for bandits, or on normalised observations."""
    if seen.discrete:
        return {"hidden": (32, 32), "inner_lr": 0.5}
    return {"normalize_observations": True, "inner_lr": 0.2}


def _rl2(seen: Seen, tasks: int | None = None, episodes: int = 2) -> Overrides:
    """Learn as bandits do, or twice as fast as else; take more trials at once if they are short."""
    steps = seen.horizon * episodes
    enough = 64
    while enough < 512 and 3 * enough * steps < 2 * BATCH:  # the nearest power of two
        enough *= 2
    found: Overrides = {"tasks": enough, "lr_schedule": "linear", "entropy_schedule": "linear"}
    if not seen.discrete:
        return {**found, "lr": 2e-3, "normalize_observations": True}
    found |= {
        "cell": "lstm",
        "hidden": 64,
        "lr": 3e-3,
        "minibatches": min(8, tasks or enough),
        "value_per_step": True,
        "prediction_weight": 0.5,
        "entropy_weight": 0.003,
    }
    if steps <= SHORT:
        found |= {"discount": 1.0, "gae_lambda": 0.97}
    if seen.rewards and -1 <= seen.rewards[0] <= seen.rewards[1] <= 1:
        found["normalize_rewards"] = seen.rewards[1] == seen.rewards[0]
    return found

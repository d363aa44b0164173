"""What is known to do well on a family, to compare an agent with on the same instances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from envs.family import TaskFamily, Tasks
from envs.oracles.bandit import bandit_scores
from envs.oracles.tabular import tabular_scores

Scores = dict[str, np.ndarray]
"""By the oracle's name, the expected total reward of a trial on every instance, each `[T]`."""

_CHUNK = 10_000  # instances that play together
_ORACLES: dict[str, Callable[[Tasks, int, int, np.random.Generator], Scores]] = {
    "BernoulliBandit": bandit_scores,
    "TabularMdp": tabular_scores,
}


def require_oracles(family: TaskFamily) -> None:
    """Refuse a family that nothing is known about.

    Raises:
        ValueError: names those that have oracles.
    """
    if type(family.definition).__name__ not in _ORACLES:
        raise ValueError(
            f"there are no oracles for {family.name}, only for bandits and tabular-mdp"
        )


def oracle_scores(
    family: TaskFamily, tasks: Tasks, episodes: int, rng: np.random.Generator
) -> Scores:
    """Play trials of `episodes` episodes with every oracle of a family.

    A score sums the expectations of the rewards of what was chosen, as far as they are known
    (the means of the pulled arms), so that only the oracle's own luck is left in it.

    Args:
        family: of the tasks.
        tasks: each parameter `[T, …]`.
        episodes: K, of a trial.
        rng: of the rewards and of the oracles' own draws.

    Raises:
        ValueError: nothing is known about the family; see `require_oracles`.
    """
    require_oracles(family)
    play = _ORACLES[type(family.definition).__name__]
    count = len(next(iter(tasks.values())))
    parts = [
        play({k: v[i : i + _CHUNK] for k, v in tasks.items()}, family.horizon, episodes, rng)
        for i in range(0, count, _CHUNK)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

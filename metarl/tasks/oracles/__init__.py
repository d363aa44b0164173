"""What is known to do well on a family, to compare an agent with on the same instances."""

from __future__ import annotations

import gymnasium
import numpy as np

from metarl.tasks.family import TaskFamily
from metarl.tasks.models import Bandit, Mdp, Model
from metarl.tasks.oracles.bandit import bandit_scores
from metarl.tasks.oracles.tabular import tabular_scores
from metarl.tasks.task import Tasks

Scores = dict[str, np.ndarray]
"""By the oracle's name, the expected total reward of a trial on every instance, each `[T]`."""

_CHUNK = 10_000  # instances that play together


def require_oracles(family: TaskFamily) -> Model:
    """Return what the tasks of a family are.

    Raises:
        ValueError: nothing is known about them; or what was declared does not fit.
    """
    model = family.model
    if model is None:
        raise ValueError(
            f"there are no oracles for {family.name}, only for bandits and tabular MDPs; if its "
            "tasks are such, TaskFamily(…, model=Bandit(…)) or model=Mdp(…) of metarl.tasks says so"
        )
    tasks, space = family.split("train").sample(2, 0), family.action_space
    if isinstance(model, Bandit):
        actions = model.means(tasks).shape[1]
        model.beliefs(family.parameters, actions)
    else:
        actions = model.tables(tasks)[1].shape[-1]
    if not isinstance(space, gymnasium.spaces.Discrete) or space.n != actions:
        raise ValueError(f"the model of {family.name} has {actions} actions, the family {space}")
    return model


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
    count = len(next(iter(tasks.values())))
    parts = [
        _play(family, {k: v[i : i + _CHUNK] for k, v in tasks.items()}, episodes, rng)
        for i in range(0, count, _CHUNK)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _play(family: TaskFamily, tasks: Tasks, episodes: int, rng: np.random.Generator) -> Scores:
    """Every player's score on some tasks."""
    model = family.model
    if isinstance(model, Mdp):
        belief = model.beliefs(family.parameters)
        return tabular_scores(*model.tables(tasks), belief, family.horizon, episodes, rng)
    assert isinstance(model, Bandit)
    means = model.means(tasks)
    prior = model.beliefs(family.parameters, means.shape[1])
    return bandit_scores(means, prior, family.horizon * episodes, rng)

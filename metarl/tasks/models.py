"""What a family's tasks are, where that is known: Bernoulli bandits, or tabular MDPs.

`TaskFamily(…, model=Bandit(("left", "right")))` lets `--oracles` play them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from metarl.tasks.distributions import Beta, Dirichlet, Distribution, Normal, Uniform

Table = str | Callable[[dict[str, Any]], Any]
"""The name of a parameter, or a function that computes the table of a task."""
Tasks = Mapping[str, np.ndarray]
Parameters = Mapping[str, Distribution]


@dataclass(frozen=True)
class Bandit:
    """Every task is a bandit: action a pays 1 with the probability of arm a, else 0."""

    arms: str | tuple[str, ...] = "means"
    """The parameter that holds the probabilities of all arms, or one parameter per arm."""
    prior: tuple[Distribution, ...] = ()
    """A Beta (or Uniform(0, 1)) per arm; the parameters' own distributions if empty."""

    def means(self, tasks: Tasks) -> np.ndarray:
        """Probabilities `[T, k]`.

        Raises:
            ValueError: they are none.
        """
        arms = self.arms if isinstance(self.arms, tuple) else None
        values = np.stack([tasks[name] for name in arms], -1) if arms else tasks[str(self.arms)]
        means = np.asarray(values, np.float64)
        if means.ndim != 2 or not ((means >= 0) & (means <= 1)).all():
            raise ValueError(f"{self} needs probabilities [tasks, arms], got {means.shape}")
        return means

    def beliefs(self, parameters: Parameters, arms: int) -> np.ndarray:
        """The prior's a and b of every arm, `[k, 2]`.

        Raises:
            ValueError: the prior is not a product of Beta distributions.
        """
        names = self.arms if isinstance(self.arms, tuple) else (self.arms,)
        declared = self.prior or tuple(parameters[name] for name in names if name in parameters)
        pairs = [_beta(distribution) for distribution in declared]
        if len(pairs) == 1:
            pairs *= arms
        if len(pairs) != arms:
            raise ValueError(
                f"the prior of {arms} arms needs as many Beta distributions, got {len(pairs)}: "
                "Bandit(…, prior=(Beta(2, 1), …)) declares them"
            )
        return np.array(pairs, np.float64)


def _beta(distribution: Distribution) -> tuple[float, float]:
    """The a and b of a Beta distribution."""
    if isinstance(distribution, Beta):
        return distribution.a, distribution.b
    if isinstance(distribution, Uniform) and distribution.bounds == (0.0, 1.0):
        return 1.0, 1.0
    raise ValueError(
        f"{distribution} is no prior of a bandit's arm, which must be Beta(a, b) or Uniform(0, 1); "
        "Bandit(…, prior=(Beta(2, 1), …)) gives the players another one to believe in"
    )


class Belief(NamedTuple):
    """Players believe this of random MDPs before they see one."""

    concentration: float = 1.0  # transitions ~ Dirichlet
    mean: float = 1.0  # mean rewards ~ N(mean, std²)
    std: float = 1.0
    noise: float = 1.0  # standard deviation of a reward around its mean


@dataclass(frozen=True)
class Mdp:
    """Every task is a tabular MDP: action a in state s leads to s' ~ transitions[s, a] and pays
    rewards[s, a] and noise. Episodes last for the family's horizon and begin in one state.
    """

    transitions: Table = "transitions"
    """`[S, A, S]`; an episode's end is a state that leads to itself and pays nothing."""
    rewards: Table = "rewards"
    """Their means, `[S, A]`."""
    start: int = 0
    """Number of the state that episodes begin in."""
    noise: float = 1.0
    """Standard deviation of the rewards' normal noise."""
    belief: Belief | None = None
    """What players believe at first; the parameters' own distributions (a flat Dirichlet and
    N(1, 1), where they are others) if None."""

    def tables(self, tasks: Tasks) -> tuple[np.ndarray, np.ndarray]:
        """Transitions `[T, S, A, S]` and mean rewards `[T, S, A]`, the start being state 0.

        Raises:
            ValueError: they are no such tables.
        """
        p, r = _table(self.transitions, tasks), _table(self.rewards, tasks)
        sums = np.isclose(p.sum(-1), 1.0).all() if p.ndim == 4 else False
        if r.ndim != 3 or p.shape != (*r.shape, r.shape[1]) or not sums or (p < 0).any():
            raise ValueError(
                f"an Mdp needs transitions [S, A, S] that sum to one and rewards [S, A], got "
                f"{p.shape[1:]} and {r.shape[1:]}"
            )
        if self.start == 0:
            return p, r
        order = np.r_[self.start, np.delete(np.arange(r.shape[1]), self.start)]
        return p[:, order][..., order], r[:, order]

    def beliefs(self, parameters: Parameters) -> Belief:
        """Return what players believe at first."""
        if self.belief is not None:
            return self.belief
        found = Belief(noise=self.noise)
        p, r = (parameters.get(str(name)) for name in (self.transitions, self.rewards))
        if isinstance(p, Dirichlet):
            found = found._replace(concentration=p.concentration)
        if isinstance(r, Normal):
            found = found._replace(mean=r.mean, std=r.std)
        return found


def _table(table: Table, tasks: Tasks) -> np.ndarray:
    """A table of every task, `[T, …]`."""
    if isinstance(table, str):
        return np.asarray(tasks[table], np.float64)
    count = len(next(iter(tasks.values())))
    rows = [{name: np.asarray(v)[i] for name, v in tasks.items()} for i in range(count)]
    return np.stack([np.asarray(table(row), np.float64) for row in rows])


Model = Bandit | Mdp
"""What the players of `metarl.tasks.oracles` know how to play."""

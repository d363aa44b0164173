"""The Bayes-optimal player of a Bernoulli bandit with Beta priors, by dynamic programming.

Arms of the same prior are exchangeable, so a state is the multiset of the arms' (prior, successes,
failures).
"""

from __future__ import annotations

import numpy as np

LIMIT = 50_000
"""States that are worth the wait and the memory."""

State = tuple[int, ...]
"""Sorted codes (prior · (n + 1) + s) · (n + 1) + f of all arms, priors by number."""


class TooManyStatesError(ValueError):
    """The state space of a bandit is beyond `LIMIT`."""


def seen(
    successes: np.ndarray, failures: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count what was seen of a trial, without the prior's a − 1 successes and b − 1 failures."""
    return successes - (prior[:, 0] - 1), failures - (prior[:, 1] - 1)


class BayesOptimal:
    """V(x, m) = max over arms of p (1 + V(x + success, m − 1)) + (1 − p) V(x + failure, m − 1).

    m pulls are left and p = (s + a) / (s + f + a + b).
    """

    def __init__(self, arms: int, pulls: int, prior: np.ndarray | None = None) -> None:
        """Solve bandits of so many arms and pulls.

        Args:
            arms: k.
            pulls: n.
            prior: a and b of every arm's Beta distribution, `[k, 2]`; uniform if None.

        Raises:
            TooManyStatesError: there are more states than `LIMIT`.
        """
        self.pulls = pulls
        self._base = pulls + 1
        self._prior = np.ones((arms, 2)) if prior is None else prior
        kinds, number = np.unique(self._prior, axis=0, return_inverse=True)
        self._kinds: list[tuple[float, float]] = [(a, b) for a, b in kinds.tolist()]
        self._first = number.reshape(-1) * self._base**2  # the codes of arms not pulled yet
        start: State = tuple(sorted(self._first.tolist()))
        layers: list[dict[State, tuple[float, int]]] = [{start: (0.0, 0)}]
        for _ in range(pulls - 1):
            layers.append(dict.fromkeys(
                (after for x in layers[-1] for code in set(x) for after in self._after(x, code)),
                (0.0, 0),
            ))  # fmt: skip
            if sum(map(len, layers)) > LIMIT:
                raise TooManyStatesError(
                    f"a bandit of {arms} arms and {pulls} pulls has more than {LIMIT} states"
                )
        self._layers = layers
        for m, layer in enumerate(reversed(layers)):
            following = layers[len(layers) - m] if m else {}
            for x in layer:
                layer[x] = max(self._worth(x, code, following) for code in sorted(set(x)))

    @property
    def value(self) -> float:
        """Expected total reward of n pulls."""
        ((value, _),) = self._layers[0].values()
        return value

    def index(self, successes: np.ndarray, failures: np.ndarray, left: int) -> np.ndarray:
        """1 for the best arm, 0 for the others, `[T, k]`."""
        s, f = seen(successes, failures, self._prior)
        codes = np.rint(s * self._base + f).astype(np.int64) + self._first
        states, inverse = np.unique(np.sort(codes, -1), axis=0, return_inverse=True)
        layer = self._layers[self.pulls - left]
        best = np.array([layer[tuple(x.tolist())][1] for x in states])
        chosen: np.ndarray = (codes == best[inverse.reshape(-1)][:, None]).astype(float)
        return chosen

    def _after(self, x: State, code: int) -> tuple[State, State]:
        """The states after a success and after a failure of an arm of a code."""
        others = list(x)
        others.remove(code)
        return tuple(sorted([*others, code + self._base])), tuple(sorted([*others, code + 1]))

    def _worth(
        self, x: State, code: int, following: dict[State, tuple[float, int]]
    ) -> tuple[float, int]:
        """The value of pulling an arm of a code, and the code."""
        kind, counts = divmod(code, self._base**2)
        (a, b), (s, f) = self._kinds[kind], divmod(counts, self._base)
        p = (s + a) / (s + f + a + b)
        if not following:
            return p, code
        win, lose = self._after(x, code)
        return p * (1 + following[win][0]) + (1 - p) * following[lose][0], code

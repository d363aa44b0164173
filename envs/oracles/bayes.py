"""The Bayes-optimal player of a Bernoulli bandit with a uniform prior, by dynamic programming.

Arms are exchangeable, so a state is the multiset of the arms' (successes, failures).
"""

from __future__ import annotations

import numpy as np

LIMIT = 50_000
"""States that are worth the wait and the memory."""

State = tuple[int, ...]
"""Sorted codes s · (n + 1) + f of all arms."""


class TooManyStatesError(ValueError):
    """The state space of a bandit is beyond `LIMIT`."""


class BayesOptimal:
    """V(x, m) = max over arms of p (1 + V(x + success, m − 1)) + (1 − p) V(x + failure, m − 1).

    m pulls are left and p = (s + 1) / (s + f + 2).
    """

    def __init__(self, arms: int, pulls: int) -> None:
        """Args:
        arms: k.
        pulls: n.

        Raises:
            TooManyStatesError: there are more states than `LIMIT`.
        """
        self.pulls = pulls
        self._base = pulls + 1
        layers: list[dict[State, tuple[float, int]]] = [{(0,) * arms: (0.0, 0)}]
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
        codes = (successes * self._base + failures).astype(np.int64)
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
        s, f = divmod(code, self._base)
        p = (s + 1) / (s + f + 2)
        if not following:
            return p, code
        win, lose = self._after(x, code)
        return p * (1 + following[win][0]) + (1 - p) * following[lose][0], code

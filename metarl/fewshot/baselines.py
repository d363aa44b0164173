"""What a learner is compared with: models of scikit-learn's, each fitted to a support set alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarl.core.params import Params
from metarl.fewshot.data.scaling import Standard
from metarl.fewshot.data.task import Examples, Kind, Split, take

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)
"""Of the ridge's penalty."""
LENGTHS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Of the Gaussian process's kernel, in deviations of the inputs times the root of their number."""
NOISES = (1e-4, 1e-2, 1.0)
"""Its variance of noise, in that of the shots."""


class OnItsOwn:
    """A `FewShotLearner` without meta-parameters: a model of scikit-learn's for every task."""

    transductive = False
    takes_steps = False
    any_ways = True
    vmaps = False
    undecayed: tuple[str, ...] = ()
    joint = 0

    def __init__(
        self, kind: Kind, make: Callable[[int], Any], inwards: Standard, ways: int
    ) -> None:
        """Make a model that is fitted to each support set alone.

        Args:
            kind: of the targets.
            make: a model for so many examples (of a class, in classification).
            inwards: what the inputs are standardised with.
            ways: classes of a task; of no matter in regression.
        """
        self.kind: Kind = kind
        self._make = make
        self._inwards = inwards
        self._ways = ways

    def constants(self, iteration: int) -> Params:
        """None."""
        return {}

    def init(self, generator: torch.Generator) -> Params:
        """None."""
        return {}

    def loss(self, theta: Params, task: Split) -> Tensor:
        """Nothing is trained; raises NotImplementedError."""
        raise NotImplementedError

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Examples:
        """The support set: it is fitted when queries are there."""
        return support

    def predict(self, theta: Params, adapted: Examples, x: Tensor) -> Tensor:
        """Predictions `[N, C]`, or logits that are 1 for the class and 0 for all others."""
        rows, queries = (self._rows(part) for part in (adapted.x, x))
        if self.kind == "regression":
            found = self._fitted(rows, adapted.y, len(rows)).predict(queries)
            return torch.from_numpy(found.reshape(len(queries), -1)).to(adapted.y)
        if not np.ptp(rows, 0).any():  # there is nothing to tell the classes by
            labels = np.zeros(len(queries), np.int64)
        else:
            labels = self._fitted(rows, adapted.y, len(rows) // self._ways).predict(queries)
        return torch.nn.functional.one_hot(torch.from_numpy(labels), self._ways).to(x)

    def _fitted(self, rows: np.ndarray, y: Tensor, shots: int) -> Any:
        """A model of scikit-learn's."""
        with warnings.catch_warnings():  # iterations that end early, spreads of a single shot
            warnings.simplefilter("ignore")
            return self._make(shots).fit(rows, y.cpu().numpy())

    def _rows(self, x: Tensor) -> np.ndarray:
        """`[N, D]`, float64."""
        rows: np.ndarray = self._inwards.inwards(x.flatten(1).cpu()).double().numpy()
        return rows


def classifiers(train: Split, units: Standard, ways: int) -> dict[str, OnItsOwn]:
    """Nearest centroid, nearest neighbours and logistic regression, raw and standardised.

    Args:
        train: training tasks, whose inputs have the mean and deviation that is meant.
        units: of the user's table, which raw numbers are in.
        ways: classes of a task.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

    models: dict[str, Callable[[int], Any]] = {
        "nearest centroid": lambda shots: NearestCentroid(),
        "nearest neighbours": lambda shots: KNeighborsClassifier(min(shots, 5), weights="distance"),
        "logistic regression": lambda shots: LogisticRegression(max_iter=300),
    }
    scales = {"raw": _inverse(units), "standardised": _standard(train)}
    return {
        f"{name}, {scale}": OnItsOwn("classification", make, inwards, ways)
        for name, make in models.items()
        for scale, inwards in scales.items()
    }


def regressors(train: Split) -> dict[str, OnItsOwn]:
    """The mean of the shots, ridge regression and a Gaussian process of a squared exponential.

    Penalty, length and noise are those of the least error on the training tasks.
    """
    from sklearn.dummy import DummyRegressor
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel
    from sklearn.linear_model import Ridge

    inwards = _standard(train)
    root = float(np.sqrt(train.support.x.flatten(2).shape[-1]))

    def learner(make: Callable[[], Any]) -> OnItsOwn:
        return OnItsOwn("regression", lambda shots: make(), inwards, 1)

    def process(length: float, noise: float) -> Any:
        kernel = RBF(root * length) + WhiteKernel(noise)
        return GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True)

    ridges = {f"ridge, strength {s:g}": learner(partial(Ridge, s)) for s in STRENGTHS}
    processes = {
        f"Gaussian process, length {length:g}, noise {noise:g}": learner(
            partial(process, length, noise)
        )
        for length, noise in product(LENGTHS, NOISES)
    }
    chosen = dict(_best(group, train) for group in (ridges, processes))
    return {"mean of the shots": learner(DummyRegressor), **chosen}


def _best(learners: dict[str, OnItsOwn], train: Split) -> tuple[str, OnItsOwn]:
    """Find the one of the least mean squared error on the queries of the tasks."""

    def error(learner: OnItsOwn) -> float:
        tasks = (take(train, t) for t in range(len(train.query.y)))
        return sum(float((learner.predict({}, s, q.x) - q.y).square().mean()) for s, q in tasks)

    return min(learners.items(), key=lambda item: error(item[1]))


def _standard(train: Split) -> Standard:
    """Mean and deviation of all inputs of the tasks."""
    x = torch.cat([half.x.flatten(2).flatten(0, 1) for half in train])
    return Standard.of(x.double().cpu().numpy())


def _inverse(units: Standard) -> Standard:
    """Turn what is learned back: (z − (−m/s)) / (1/s) = s z + m."""
    pairs: Iterable[tuple[float, float]] = zip(units.mean, units.deviation, strict=True)
    rows = [(-mean / deviation, 1 / deviation) for mean, deviation in pairs]
    return Standard(*map(tuple, zip(*rows, strict=True))) if rows else Standard()

"""Distributions of task parameters."""

import json

import numpy as np
import pytest

from metarl.tasks.distributions import (
    Beta,
    Choice,
    Dirichlet,
    InDisk,
    LogUniform,
    Normal,
    OnCircle,
    Uniform,
)
from metarl.tasks.distributions.grammar import from_json
from metarl.tasks.values import value_at

EVERY = (
    Uniform(-1.0, 2.0, unit="m"),
    Uniform(0.0, 1.0, size=3),
    Uniform(0.0, 1.0, size=(2, 3)),
    LogUniform(0.5, 2.0, size=3),
    InDisk(3.0, unit="m"),
    Normal(1.0, 2.0, size=(2,)),
    Beta(2.0, 1.0, size=5),
    Dirichlet(4, size=(2, 3)),
    OnCircle(2.0, 0.0, np.pi),
    OnCircle(1.0),
    Choice((-1.0, 1.0)),
    Choice(((0.0, 1.0), (2.0, 3.0), (4.0, 5.0))),
)

WITH_OUTSIDE = (*EVERY[:5], OnCircle(2.0, 0.0, np.pi))


@pytest.mark.parametrize("distribution", EVERY, ids=str)
def test_samples_lie_in_the_support_and_what_is_outside_does_not(distribution: object) -> None:
    """`contains` and `bounds` agree with `sample`; `to_json` is JSON."""
    values = distribution.sample(200, np.random.default_rng(0))
    assert values.shape[0] == 200
    assert distribution.contains(values).shape == (200,)
    assert distribution.contains(values).all()
    low, high = distribution.bounds
    assert values.min() >= low
    assert values.max() <= high
    assert json.loads(json.dumps(distribution.to_json()))["distribution"]
    if distribution in WITH_OUTSIDE:
        outside = distribution.sample_ood(200, np.random.default_rng(0))
        assert outside.shape == values.shape
        assert not distribution.contains(outside).any()
    else:
        with pytest.raises(ValueError, match="no values out of distribution"):
            distribution.sample_ood(3, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((True, False), "{true, false}"),
        (("4x4", "8x8"), "{4x4, 8x8}"),
        ((("SF", "FG"), ("S", "G", "F")), "{('SF', 'FG'), ('S', 'G', 'F')}"),
        (((True, False), (False, True)), "{(True, False), (False, True)}"),
        (tuple("abcde"), "one of 5"),
        ((1, 2), "{1, 2}"),
    ],
)
def test_a_choice_keeps_the_kind_of_its_values(values: tuple, text: str) -> None:
    """Truth values, strings, whole numbers, and lists of them."""
    choice = Choice(values)
    drawn = choice.sample(20, np.random.default_rng(0))
    lists = [list(v) if isinstance(v, tuple) else v for v in values]
    assert all(value_at(drawn, i) in lists for i in range(20))
    assert {type(value_at(drawn, i)) for i in range(20)} == {type(lists[0])}
    assert choice.contains(drawn).all()
    assert not choice.contains(np.array(["another"], object)).any()
    assert str(choice) == text
    assert from_json(json.loads(json.dumps(choice.to_json()))) == choice


def test_a_choice_of_lists_or_arrays_is_one_of_tuples() -> None:
    """So that it is equal to its description, whatever sequence it was written as."""
    written = (((1, 2), (3, 4)), [[1, 2], [3, 4]], np.array([[1, 2], [3, 4]]))
    assert len({Choice(values) for values in written}) == 1


@pytest.mark.parametrize("values", [(1, "a"), (True, 2), (None, 1), (("a", 1), ("b", 2)), ({},)])
def test_a_choice_of_several_kinds_is_refused(values: tuple) -> None:
    """An environment could not tell them apart."""
    with pytest.raises(ValueError, match="all of one kind, got"):
        Choice(values)


def test_moments_are_those_of_the_textbooks() -> None:
    """Means and variances of 50,000 draws, 4 standard errors."""
    rng = np.random.default_rng(0)
    beta = Beta(2.0, 1.0).sample(50_000, rng)
    assert beta.mean() == pytest.approx(2 / 3, abs=0.005)
    flat = Dirichlet(4).sample(50_000, rng)
    np.testing.assert_allclose(flat.mean(0), 0.25, atol=0.005)
    np.testing.assert_allclose(flat.var(0), (1 / 4) * (3 / 4) / 5, atol=0.002)
    area = np.square(InDisk(3.0).sample(50_000, rng)).sum(-1)
    assert (area < 4.5).mean() == pytest.approx(0.5, abs=0.01)
    logs = np.log(LogUniform(0.5, 2.0).sample(50_000, rng))
    assert logs.mean() == pytest.approx(0.0, abs=0.01)
    assert logs.std() == pytest.approx(2 * np.log(2) / np.sqrt(12), abs=0.01)
    assert Normal(1.0, 2.0).sample(50_000, rng).std() == pytest.approx(2.0, abs=0.03)


def test_impossible_parameters_are_refused() -> None:
    """Each with the values."""
    with pytest.raises(ValueError, match="low < high, got 1"):
        Uniform(1.0, 1.0)
    with pytest.raises(ValueError, match="0 < low < high, got 0.0"):
        LogUniform(0.0, 1.0)
    with pytest.raises(ValueError, match="radius > 0, got -1.0"):
        InDisk(-1.0)
    with pytest.raises(ValueError, match="std > 0, got 0.0, 0.0"):
        Normal(0.0, 0.0)
    with pytest.raises(ValueError, match="a, b > 0, got 0.0"):
        Beta(0.0)
    with pytest.raises(ValueError, match="two outcomes"):
        Dirichlet(1)
    with pytest.raises(ValueError, match="low < high <= 2π, got 1.0, 2.0, 1.0"):
        OnCircle(1.0, 2.0, 1.0)
    with pytest.raises(ValueError, match="at least one value"):
        Choice(())
    with pytest.raises(ValueError, match="finite values, got"):
        Choice((1.0, float("nan")))
    for low, high in ((-1e308, 1e308), (0.0, float("inf")), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="Uniform needs finite low < high"):
            Uniform(low, high)

"""Tasks that somebody gives, and not the family's own distributions."""

import warnings
from typing import Any

import numpy as np
import pytest

from metarl.tasks import load_family, make_engine, make_family
from metarl.tasks.checking import OutOfRange, check_tasks, sign_advice
from tests.tasks import gallery


def given(name: str, change: dict[str, Any]) -> None:
    """The default task of a family with a change."""
    family = make_family(name)
    task = {**family.definition.default_task, **change}
    family.make().reset(options={"task": task})


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("half-cheetah-vel", {"velocity": np.nan}, "velocity of half-cheetah-vel must be finite"),
        ("half-cheetah-vel", {"velocity": "fast"}, "must be a number, got 'fast'"),
        ("pendulum", {"mass": -1.0}, "mass of pendulum must be positive.*got -1.0"),
        ("cartpole", {"half_length": 0.0}, "half_length of cartpole must be positive"),
        ("hopper-params", {"mass": [0.0, 1.0, 1.0, 1.0]}, "mass of hopper-params must be positive"),
        ("bandit-k5", {"means": [2.0, -1.0, 0.5, 0.5, 0.5]}, "means of bandit-k5 must be prob"),
        ("tabular-mdp", {"transitions": np.full((10, 5, 10), 0.3)}, "must be probabilities"),
        ("point-nav", {"goal": [0.1]}, r"goal of point-nav has the shape \(2,\), got \(1,\)"),
        ("point-nav", {"gaol": [0.1, 0.1]}, r"has the parameters \['goal'\]"),
    ],
)
def test_tasks_that_cannot_be_meant_are_refused(name: str, change: dict, message: str) -> None:
    """What is not finite, has another shape, or breaks physics or probabilities."""
    with pytest.raises(ValueError, match=message):
        given(name, change)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("half-cheetah-vel", {"velocity": 1e6}),
        ("half-cheetah-dir", {"direction": 0.3}),
        ("grid-navi", {"goal": [7.0, 7.0]}),
        ("ant-dir-2d", {"direction": [30.0, 40.0]}),
    ],
)
def test_tasks_out_of_distribution_are_played_with_a_warning(name: str, change: dict) -> None:
    """They may be meant; a default task never warns."""
    given(name, {})
    with pytest.warns(OutOfRange, match=f"{next(iter(change))} of {name} is drawn from"):
        given(name, change)


def test_engines_refuse_them_too_and_play_other_splits_silently() -> None:
    """Whoever samples `ood` knows what it is; no engine plays a negative mass."""
    family = make_family("pendulum", horizon=2)
    engine = make_engine(family, 2, 1)
    tasks, noise = family.split("ood").sample(2, 0), engine.draw_noise(np.random.default_rng(0))
    vector = make_engine(gallery.cart_pole, 2, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.reset(tasks, noise.reset)
        seeds = vector.draw_noise(np.random.default_rng(0)).reset
        vector.reset(gallery.cart_pole.split("ood").sample(2, 0), seeds)
    with pytest.raises(ValueError, match="mass of pendulum must be positive"):
        engine.reset({**tasks, "mass": np.array([1.0, -1.0])}, noise.reset)
    assert check_tasks(family, tasks) == list(tasks)


def test_a_range_that_turns_a_sign_is_pointed_out() -> None:
    """A mass that a normal distribution makes negative; the range itself is the user's."""
    vary = ["m=normal(1,2)", "l=uniform(0.5,1.5)"]
    advice = sign_advice(load_family("Pendulum-v1", vary=vary))
    assert advice.startswith("m is 1.0 in Pendulum-v1, and N(1, 2²) draws values")
    assert sign_advice(load_family("Pendulum-v1", vary=vary[1:])) == ""
    assert sign_advice(gallery.cart_pole) == ""


def test_probabilities_may_have_been_rounded() -> None:
    """To float32, as tensors hold them."""
    family = make_family("tabular-mdp")
    tasks = family.sample(3, np.random.default_rng(0))
    assert check_tasks(family, {k: v.astype(np.float32) for k, v in tasks.items()}) == []


def test_a_task_is_a_dictionary() -> None:
    """A number alone does not say which parameter it is."""
    env = make_family("half-cheetah-vel").make()
    with pytest.raises(ValueError, match=r"is a dictionary \{'velocity': …\}, got 1.5"):
        env.reset(options={"task": 1.5})

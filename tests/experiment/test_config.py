"""Configurations survive JSON, and what does not fit is refused with a readable message."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from metarl.experiment.config import from_json, nearest, to_json


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1


@dataclass(frozen=True)
class Example:
    tasks: int
    discount: float = 0.99
    first_order: bool = False
    loss: Literal["ratio", "dice"] = "ratio"
    hidden: tuple[int, ...] = (64, 64)
    pair: tuple[int, str] = (1, "a")
    name: str | None = None
    options: dict[str, float] = field(default_factory=dict)
    inner: Inner = Inner()

    def __post_init__(self) -> None:
        if self.tasks < 1:
            raise ValueError(f"tasks must be at least 1, got {self.tasks}")


def test_a_configuration_survives_json() -> None:
    """`from_json` is the inverse of `to_json`, through JSON text."""
    config = Example(
        3, 0.5, True, "dice", (), (2, "b"), "x", options={"a": 1.5}, inner=Inner(1e-300)
    )
    assert from_json(Example, json.loads(json.dumps(to_json(config)))) == config
    assert from_json(Example, {"tasks": 4}) == Example(4)


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    """A misspelt key names itself, the nearest valid one and the list."""
    with pytest.raises(ValueError, match=r"Example has no field 'taks'; did you mean 'tasks'\?.*"):
        from_json(Example, {"taks": 3})
    with pytest.raises(ValueError, match="Inner has no field 'lr'; valid: rate"):
        from_json(Example, {"tasks": 3, "inner": {"lr": 1.0}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "needs a value for 'tasks'"),
        ({"tasks": 0}, "tasks must be at least 1, got 0"),
        ({"tasks": True}, "tasks must be int, got True"),
        ({"tasks": 2.0}, "tasks must be int, got 2.0"),
        ({"tasks": 1, "discount": "1"}, "discount must be float, got '1'"),
        ({"tasks": 1, "discount": float("nan")}, "discount must be finite, got nan"),
        ({"tasks": 1, "loss": "mse"}, "loss must be one of ratio, dice, got 'mse'"),
        ({"tasks": 1, "hidden": [64, "a"]}, r"hidden\[1\] must be int, got 'a'"),
        ({"tasks": 1, "pair": [1]}, r"pair must have 2 entries, got \[1\]"),
        ({"tasks": 1, "name": 3}, "name must be str or null, got 3"),
        ({"tasks": 1, "options": {"a": None}}, "options.a must be float, got None"),
        ({"tasks": 1, "inner": 3}, "Inner must be a JSON object, got 3"),
    ],
)
def test_what_does_not_fit_is_refused(data: dict[str, Any], message: str) -> None:
    """The message names the field, what is allowed and what came."""
    with pytest.raises(ValueError, match=message):
        from_json(Example, data)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_not_written(value: float) -> None:
    """JSON has neither nan nor infinity, so the field is named instead."""
    with pytest.raises(ValueError, match="discount must be finite"):
        to_json(Example(1, discount=value))


def test_what_has_no_json_form_is_not_written() -> None:
    """An object that JSON cannot hold is named; a class is not a configuration."""
    with pytest.raises(ValueError, match="options.a has no JSON form"):
        to_json(Example(1, options={"a": object()}))  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="instance of a dataclass"):
        to_json(Example)


def test_the_hint_lists_everything_when_nothing_is_near() -> None:
    """Without a near name the list alone is the hint."""
    assert nearest("zzz", ["b", "a"]) == "valid: a, b"
    assert nearest("half-cheetah-vle", ["half-cheetah-vel"]).startswith("did you mean 'half-ch")

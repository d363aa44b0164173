"""Hyper-parameters of environments that no preset knows."""

import json
from pathlib import Path
from typing import Any

import pytest

from metarl.algorithms.chosen import Seen, chosen, look_at
from metarl.algorithms.registry import METHODS, preset_config
from metarl.cli import train as train_metarl
from metarl.tasks import load_family
from metarl.tasks.contract.glance import reward_range
from tests.tasks import gallery

OWN = "tests.tasks.gallery:two_arms"


def made(tmp_path: Path, *options: str) -> Any:
    """The algorithm's configuration that a tiny run records."""
    run = tmp_path / "run"
    tiny = ["--iterations", "1", "--eval-tasks", "0", "--run-dir", str(run)]
    assert train_metarl.main([*tiny, *options]) == 0
    return json.loads((run / "config.json").read_text())["algorithm"]


@pytest.mark.parametrize("algo", METHODS)
@pytest.mark.parametrize("like", ["bandit-k5", "half-cheetah-vel/default", "acrobot"])
def test_a_preset_can_be_like_any_familys(algo: str, like: str) -> None:
    """For one's own environment: exactly that family's hyper-parameters."""
    family = like.partition("/")[0]
    assert preset_config(algo, f"like:{like}", OWN) == preset_config(algo, "default", family)


def test_a_run_like_another_familys_records_and_resumes_it(tmp_path: Path) -> None:
    """Options still win; the tasks stay one's own."""
    options = ["--algo", "rl2", "--env", OWN, "--preset", "like:bandit-k5", "--tasks", "8"]
    config = made(tmp_path, *options)
    like = preset_config("rl2", "default", "bandit-k5")
    assert (config["lr"], config["value_per_step"], config["tasks"]) == (like.lr, True, 8)
    assert train_metarl.main(["--resume", str(tmp_path / "run"), "--iterations", "2"]) == 0
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["preset"] == "like:bandit-k5"
    assert recorded["family"]["preset"] == "default"


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ("like:bandit-k7", r"like:bandit-k7: no such family; did you mean 'bandit-k5'"),
        ("like:bandit-k5/varibad2020", "preset 'varibad2020' has no bandit-k5"),
        ("like:", "no such family"),
    ],
)
def test_what_nothing_can_be_like_is_refused(
    preset: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the nearest one."""
    assert train_metarl.main(["--algo", "rl2", "--env", OWN, "--preset", preset]) == 2
    assert message in capsys.readouterr().err


def test_what_was_chosen_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With why, but for what an option says otherwise; what is built in keeps its own."""
    config = made(tmp_path, "--algo", "rl2", "--env", OWN, "--lr", "0.002", "--tasks", "4")
    said = capsys.readouterr().out
    assert "discrete actions, episodes of 10 steps, rewards of 0 … 1 by random actions" in said
    assert "cell lstm" in said
    assert "lr 0.003" not in said
    assert (config["lr"], config["tasks"], config["minibatches"]) == (0.002, 4, 4)
    tiny = ["--tasks", "2", "--episodes", "2", "--horizon", "3"]
    made(tmp_path / "other", "--env", "walker2d-vel", *tiny)
    assert "hyper-parameters chosen for" not in capsys.readouterr().out


def test_gymnasiums_environments_are_looked_at_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what varies, and the horizon that is asked for."""
    tiny = ["--tasks", "2", "--episodes", "2", "--horizon", "7"]
    config = made(tmp_path, "--env", "Pendulum-v1", "--vary", "g=uniform(6,14)", *tiny)
    assert "continuous actions, episodes of 7 steps, rewards of -" in capsys.readouterr().out
    assert config["normalize_observations"]


def test_a_look_is_the_same_for_the_same_family() -> None:
    """Whatever was looked at before; in a worker process as here."""
    assert reward_range(gallery.two_arms) == reward_range(gallery.two_arms) == (0.0, 1.0)
    assert look_at(gallery.two_arms) == Seen(True, 10, (0.0, 1.0))


def test_an_environment_that_fails_is_chosen_for_without_its_rewards(tmp_path: Path) -> None:
    """The training then says where it failed, after a checkpoint."""
    seen = look_at(load_family("tests.tasks.trouble:RAISING", tried=False))
    assert seen.rewards is None
    assert "could not be looked at" in str(seen)


def test_short_trials_come_in_greater_numbers() -> None:
    """About as many steps of an iteration whatever the horizon, within bounds."""
    sizes = [chosen("rl2", Seen(True, h, (0.0, 1.0)))["tasks"] for h in (1, 10, 20, 40, 1000)]
    assert sizes == [512, 256, 128, 64, 64]


@pytest.mark.parametrize(
    ("rewards", "normalised"),
    [((0.0, 1.0), False), ((-100.0, 0.0), None), ((0.0, 0.0), True), (None, None)],
)
def test_rewards_of_unit_size_are_learned_from_as_they_are(
    rewards: tuple[float, float] | None, normalised: bool | None
) -> None:
    """Others are normalised, as the algorithm does by default."""
    assert chosen("rl2", Seen(True, 10, rewards)).get("normalize_rewards") is normalised

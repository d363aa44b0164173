"""The evaluation that ends a training: its size, its end, and the tasks that it needs."""

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metarl.cli import display
from metarl.cli import evaluate as evaluate_metarl
from metarl.cli import train as train_metarl
from metarl.cli.train_few_shot import main as train_fewshot
from metarl.rl.evaluate import CurvePoint, EpisodePoint, Evaluation
from metarl.tasks import Choice, TaskFamily
from metarl.training.few_shot import FewShotTraining

TINY = ["--iterations", "2", "--tasks", "2", "--episodes", "2", "--horizon", "5", "--threads", "1"]
FEW_SHOT = ["--iterations", "3", "--tasks", "2", "--compile", "off"]


def train(folder: Path, *options: str, env: str = "point-nav") -> int:
    return train_metarl.main(["--env", env, "--run-dir", str(folder), *TINY, *options])


def results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


def interrupted(when: int = 1) -> Callable[[Any], Any]:
    """An evaluation in which Ctrl-C comes, its `when`-th time."""
    calls = []

    def wrap(evaluate: Any) -> Any:
        def evaluating(self: Any, *arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == when:
                signal.raise_signal(signal.SIGINT)
            return evaluate(self, *arguments, **options)

        return evaluating

    return wrap


def test_its_size_is_chosen(tmp_path: Path) -> None:
    """Tasks, updates and episodes; the evaluation of the command repeats it."""
    folder, file = tmp_path / "run", tmp_path / "table.json"
    size = ["--tasks", "3", "--updates", "1", "--episodes", "4"]
    chosen = [option.replace("--", "--eval-") for option in size]
    assert train(folder, *chosen) == 0
    found = results(folder)["evaluation"]
    assert (found["tasks"], found["episodes_per_update"]) == (3, 4)
    assert [point["updates"] for point in found["curve"]] == [0, 1]
    assert evaluate_metarl.main([str(folder), *size, "--json", str(file)]) == 0
    assert json.loads(file.read_text())["curve"] == found["curve"]


def test_rl2s_has_as_many_episodes_as_wanted(tmp_path: Path) -> None:
    """More than a trial of training; steps of gradients are refused before anything starts."""
    options = ["--algo", "rl2", "--minibatches", "1", "--eval-tasks", "3"]
    assert train(tmp_path / "run", *options, "--eval-episodes", "4") == 0
    assert [p["episode"] for p in results(tmp_path / "run")["evaluation"]["curve"]] == [1, 2, 3, 4]
    assert train(tmp_path / "no", *options, "--eval-updates", "1") == 2
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("none", ["--eval-tasks", "--eval-episodes"])
def test_none_is_skipped(none: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those on the way, too; the run is finished all the same."""
    monkeypatch.delattr("metarl.training.reinforcement.Training.evaluate")
    assert train(tmp_path / "run", none, "0", "--eval-every", "1") == 0
    found = results(tmp_path / "run")
    assert found["finished"]
    assert found["evaluation"] is None


def test_none_is_skipped_in_few_shot_learning(tmp_path: Path) -> None:
    """Or it has as many tasks as were asked for."""
    for tasks in (0, 7):
        folder = tmp_path / str(tasks)
        options = ["--run-dir", str(folder), "--eval-tasks", str(tasks)]
        assert train_fewshot([*FEW_SHOT, *options]) == 0
        assert results(folder)["finished"]
    assert results(tmp_path / "0")["evaluation"] is None
    assert results(tmp_path / "7")["evaluation"]["request"]["tasks"] == 7


def test_the_first_interrupt_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that was trained stays; a resume makes up for it, or goes without."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    few = ["--eval-tasks", "3"]
    assert train(whole, *few) == 0
    with monkeypatch.context() as patch:
        wrapped = interrupted()(train_metarl.Training.evaluate)
        patch.setattr(train_metarl.Training, "evaluate", wrapped)
        assert train(run, *few) == 130
    said = capsys.readouterr()
    assert "with --eval-tasks 0 there is none" in said.out
    found = results(run)
    assert (found["iterations"], found["finished"], found["evaluation"]) == (2, False, None)
    assert train_metarl.main(["--resume", str(run)]) == 0
    assert results(run)["evaluation"] == results(whole)["evaluation"]
    with monkeypatch.context() as patch:
        patch.setattr(train_metarl.Training, "evaluate", wrapped)
        assert train_metarl.main(["--resume", str(run), "--iterations", "3"]) == 0
    assert results(run)["evaluation"]["iteration"] == 3


def test_one_on_the_way_ends_at_the_first_interrupt_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a checkpoint of the iterations that are done, from which training goes on."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        wrapped = interrupted()(FewShotTraining.evaluate)
        patch.setattr(FewShotTraining, "evaluate", wrapped)
        options = ["--run-dir", str(run), "--eval-tasks", "5", "--eval-every", "2"]
        assert train_fewshot([*FEW_SHOT, *options]) == 130
    assert (results(run)["iterations"], results(run)["evaluation"]) == (2, None)
    assert train_fewshot(["--resume", str(run)]) == 0
    assert results(run)["evaluation"]["iteration"] == 3


def test_a_second_interrupt_is_not_needed(tmp_path: Path) -> None:
    """One that comes in the midst of a large evaluation ends it at once, not after minutes."""
    run = tmp_path / "run"
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        while not (run / "checkpoints" / "000002").exists():
            time.sleep(0.05)
        signal.pthread_kill(main, signal.SIGINT)

    killer = threading.Thread(target=interrupt, daemon=True)
    killer.start()
    assert train(run, "--eval-tasks", "20000", "--eval-updates", "30") == 130
    killer.join()
    assert not results(run)["finished"]


FIXED = "tests.tasks.gallery:{}".format


def test_a_list_without_replacement_is_asked_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For training and for evaluations; the option that takes fewer tasks is named."""
    run, env = tmp_path / "run", FIXED("without_replacement")
    for few, many in (("--eval-tasks", "--tasks"), ("--tasks", "--eval-tasks")):
        assert train(run, few, "2", many, "40", env=env) == 2
        said = capsys.readouterr().err
        assert "drawing 40 tasks of WithoutReplacement failed" in said
        assert f"where there are fewer, {many} takes fewer" in said
        assert not run.exists()
    assert train(run, "--eval-tasks", "5", env=env) == 0
    assert evaluate_metarl.main([str(run), "--tasks", "40"]) == 2
    assert "drawing 40 tasks of WithoutReplacement failed" in capsys.readouterr().err


def test_tasks_of_training_are_not_called_held_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a sampler draws from a fixed list: how many there are is told and recorded."""
    run = tmp_path / "run"
    size = ["--tasks", "12", "--episodes", "1", "--eval-tasks", "12", "--eval-episodes", "1"]
    assert train(run, *size, "--eval-updates", "0", env=FIXED("fixed_list")) == 0
    said = "the 12 held-out tasks of FixedList are 5 different ones, and 12 of them are among"
    assert said in capsys.readouterr().out
    found = results(run)["evaluation"]
    assert (found["tasks"], found["different_tasks"], found["tasks_of_training"]) == (12, 5, 12)
    few = ["--tasks", "12", "--updates", "0", "--episodes", "1"]
    assert evaluate_metarl.main([str(run), *few]) == 0
    assert said in capsys.readouterr().out


def test_what_is_wrong_with_every_task_is_not_put_down_to_their_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fewer tasks are no way out of that."""
    assert train(tmp_path / "run", env=FIXED("no_number")) == 2
    said = capsys.readouterr().err
    assert "NaN equals nothing" in said
    assert "where there are fewer" not in said


def test_a_finite_family_says_how_many_tasks_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And that its splits coincide; others say nothing."""
    assert train(tmp_path / "finite", "--eval-tasks", "3", env="half-cheetah-dir") == 0
    assert "half-cheetah-dir has 2 tasks in all" in capsys.readouterr().out
    assert train(tmp_path / "other", "--eval-tasks", "3") == 0
    assert "held-out tasks of" not in capsys.readouterr().out
    assert TaskFamily(
        env="Pendulum-v1",
        parameters={"g": Choice((9.0, 10.0, 9.0)), "m": Choice((1.0, 2.0, 3.0))},
    ).number == 6  # fmt: skip


@pytest.mark.parametrize(
    ("mean", "ci95", "shown"),
    [
        (-26.7712, 0.66, ("-26.77", "± 0.66")),
        (687.4, 13.0, ("687", "± 13")),
        (0.99812, 0.0042, ("0.9981", "± 0.0042")),
        (5.0, 0.0996, ("5.00", "± 0.10")),
        (12345.6, 1234.5, ("12346", "± 1234")),
        (3.0, 0.0, ("3", "± 0")),
        (0.1, 1.4e-17, ("0.1", "± 0")),
        (-0.0, 0.0, ("0", "± 0")),
        (2.625, 0.0, ("2.625", "± 0")),
        (1.5, np.nan, ("1.5", "–")),
    ],
)
def test_figures_have_the_digits_that_their_interval_knows(
    mean: float, ci95: float, shown: tuple[str, str]
) -> None:
    """Two of the interval's, and as many decimals of the mean."""
    assert display.with_interval(mean, ci95) == shown


def test_an_interval_of_nothing_is_shown_as_0() -> None:
    """The unit follows both."""
    assert display.with_interval(100.0, 0.0, " %") == ("100 %", "± 0 %")


def test_all_tables_write_figures_alike(capsys: pytest.CaptureFixture[str]) -> None:
    """Returns, success, what they are compared with, and players."""
    points = [CurvePoint(0, 1.23456, 0.012), CurvePoint(1, 2.0, 0.5)]
    success = [EpisodePoint(1, 0.51234, 0.0123)]
    console = display.make_console()
    display.show_evaluation(console, Evaluation(points[:1], [], success), "")
    display.show_players(console, {"agent": (1.23456, 0.012)}, "")
    said = capsys.readouterr().out
    assert said.count("1.235") == said.count("± 0.012") == 2
    assert "51.2 %" in said
    assert "± 1.2 %" in said

"""The command line, on tiny runs."""

import csv
import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from scripts import evaluate_metarl, train_metarl

TINY = ["--tasks", "2", "--episodes", "2", "--horizon", "5", "--threads", "1"]


def train(folder: Path, *options: str, env: str = "point-nav") -> int:
    return train_metarl.main(["--env", env, "--run-dir", str(folder), *TINY, *options])


def tensors(folder: Path, iteration: int) -> dict:
    return load_file(folder / "checkpoints" / f"{iteration:06d}" / "tensors.safetensors")


def progress(folder: Path) -> list[dict]:
    with (folder / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


@pytest.mark.parametrize("env", ["point-nav", "half-cheetah-vel", "half-cheetah-dir"])
def test_a_run_leaves_all_its_files(tmp_path: Path, env: str) -> None:
    """Configuration, events, progress, checkpoints and results."""
    folder = tmp_path / "run"
    assert train(folder, "--iterations", "2", env=env) == 0
    assert json.loads((folder / "config.json").read_text())["family"]["name"] == env
    assert len(progress(folder)) == 2
    assert list(folder.glob("events.out.tfevents.*"))
    results = json.loads((folder / "results.json").read_text())
    assert [p["updates"] for p in results["evaluation"]["curve"]] == [0, 1, 2, 3]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Bit for bit, also with another number of threads."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole, "--iterations", "4")
    train(parts, "--iterations", "2")
    resume = ["--resume", str(parts), "--iterations", "4", "--threads", "2"]
    assert train_metarl.main(resume) == 0
    expected, actual = tensors(whole, 4), tensors(parts, 4)
    assert all((expected[name] == actual[name]).all() for name in expected)
    assert progress(whole) == progress(parts)


def test_an_interrupt_saves_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the current iteration: checkpoint, results, the command, exit code 130."""
    step = train_metarl.Training.step

    def interrupted(self, env):
        import signal

        metrics = step(self, env)
        signal.raise_signal(signal.SIGINT)
        return metrics

    monkeypatch.setattr(train_metarl.Training, "step", interrupted)
    folder = tmp_path / "run"
    assert train(folder, "--iterations", "5") == 130
    assert tensors(folder, 1)
    assert (folder / "results.json").exists()
    assert f"--resume {folder}" in capsys.readouterr().out.replace("\n", "")


def test_a_finished_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Resuming it without more iterations does nothing."""
    folder = tmp_path / "run"
    train(folder, "--iterations", "1")
    assert train_metarl.main(["--resume", str(folder)]) == 0
    assert "raise --iterations" in capsys.readouterr().out
    assert train_metarl.main(["--resume", str(folder), "--iterations", "0"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--env", "half-cheetah-vle"], "did you mean half-cheetah-vel"),
        (["--preset", "fin2017"], "did you mean finn2017"),
        (["--algo", "maml"], "maml-trpo"),
        (["--tasks", "0"], "--tasks must be at least 1, got 0"),
        (["--horizon", "-1"], "horizon must be at least 1, got -1"),
        (["--inner-lr", "nan"], "--inner-lr must be positive and finite, got nan"),
        (["--iteration", "3"], "--iteration"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--engine", "arrays", "--env", "half-cheetah-vel"], "use --engine threads"),
    ],
    ids=str,
)
def test_a_mistake_ends_with_code_2_and_one_message(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is left behind but what the user asked for."""
    try:
        code = train_metarl.main(["--run-dir", str(tmp_path / "run"), *options])
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    captured = capsys.readouterr()
    assert message in captured.out + captured.err


def test_folders_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run folder that is not empty, and a resume without a checkpoint."""
    (tmp_path / "note.txt").write_text("mine")
    assert train(tmp_path) == 2
    assert "is not empty" in capsys.readouterr().err
    assert train_metarl.main(["--resume", str(tmp_path)]) == 2
    assert "config.json" in capsys.readouterr().err


def test_a_run_is_evaluated_on_its_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table is printed and written."""
    folder, file = tmp_path / "run", tmp_path / "table.json"
    train(folder, "--iterations", "1")
    options = ["--tasks", "3", "--updates", "1", "--episodes", "2", "--split", "ood"]
    assert evaluate_metarl.main([str(folder), *options, "--json", str(file)]) == 0
    assert [p["updates"] for p in json.loads(file.read_text())["curve"]] == [0, 1]
    assert evaluate_metarl.main([str(tmp_path / "nothing")]) == 2
    assert "is not a folder" in capsys.readouterr().err

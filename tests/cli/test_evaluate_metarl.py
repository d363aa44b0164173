"""The evaluation command, on a tiny run."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from metarl.cli import evaluate as evaluate_metarl
from metarl.cli import train as train_metarl
from metarl.tasks import make_family
from tests.tasks.test_device import available


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = ["--iterations", "1", "--tasks", "2", "--episodes", "2", "--horizon", "5"]
    train_metarl.main(["--env", "point-nav", "--run-dir", str(folder), *options])
    return folder


@pytest.mark.parametrize("split", ["train", "test", "ood"])
def test_a_run_is_evaluated_on_its_splits(
    run: Path, split: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table is printed and written."""
    file = tmp_path / "table.json"
    options = ["--tasks", "3", "--updates", "1", "--episodes", "2", "--split", split]
    assert evaluate_metarl.main([str(run), *options, "--json", str(file)]) == 0
    assert "95 % interval" in capsys.readouterr().out
    table = json.loads(file.read_text())
    assert [p["updates"] for p in table["curve"]] == [0, 1]
    assert (table["split"], table["tasks"], table["iteration"]) == (split, 3, 1)


def test_the_same_seed_gives_the_table_of_the_run(run: Path, tmp_path: Path) -> None:
    """Evaluating with the run's seed repeats its final evaluation, whatever the threads."""
    file = tmp_path / "table.json"
    assert evaluate_metarl.main([str(run), "--json", str(file), "--threads", "2"]) == 0
    results = json.loads((run / "results.json").read_text())
    assert json.loads(file.read_text())["curve"] == results["evaluation"]["curve"]


def test_velocities_are_compared_with_the_best_constant_speed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """−H mean |median(v*) − v*| on the same tasks, printed and written."""
    folder, file = tmp_path / "run", tmp_path / "table.json"
    tiny = ["--tasks", "2", "--episodes", "2"]
    options = ["--iterations", "1", "--horizon", "3", "--eval-every", "0", *tiny]
    train_metarl.main(["--env", "half-cheetah-vel", "--run-dir", str(folder), *options])
    assert evaluate_metarl.main([str(folder), "--updates", "0", "--json", str(file), *tiny]) == 0
    assert "best constant speed" in capsys.readouterr().out
    wanted = make_family("half-cheetah-vel").split("test").sample(2, 0)["velocity"]
    (reference,) = json.loads(file.read_text())["references"]
    assert reference["mean"] == pytest.approx(-3 * abs(wanted[0] - wanted[1]) / 2)


@pytest.mark.parametrize("trained", ["cpu", "cuda"])
def test_the_device_is_that_of_the_run_or_a_named_one(
    run: Path,
    trained: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run of a GPU is evaluated without one where that is asked for."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    folder, file = tmp_path / "run", tmp_path / "table.json"
    shutil.copytree(run, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "device": trained}))
    tiny = [str(folder), "--tasks", "2", "--episodes", "2", "--json", str(file)]
    assert evaluate_metarl.main(tiny) == (0 if trained == "cpu" else 2)
    assert ("trained on cuda" in capsys.readouterr().err) == (trained == "cuda")
    for device in ("cpu", "auto"):
        assert evaluate_metarl.main([*tiny, "--device", device]) == 0
        assert json.loads(file.read_text())["device"] == "cpu"
    assert evaluate_metarl.main([*tiny, "--device", "cuda"]) == 2
    assert "finds no CUDA device; use cpu" in capsys.readouterr().err


@pytest.mark.gpu
def test_a_run_is_evaluated_on_a_gpu(run: Path, tmp_path: Path) -> None:
    """With finite returns, though it was trained on a CPU."""
    available("cuda")
    file = tmp_path / "table.json"
    tiny = ["--tasks", "2", "--episodes", "2", "--json", str(file)]
    assert evaluate_metarl.main([str(run), *tiny, "--device", "cuda"]) == 0
    table = json.loads(file.read_text())
    assert table["device"] == "cuda"
    assert all(math.isfinite(point["mean"]) for point in table["curve"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "0"], "at least one task"),
        (["--episodes", "0"], "episodes must be at least 1"),
        (["--updates", "-1"], "updates must be at least 0"),
        (["--threads", "0"], "--threads must be at least 1"),
        (["--split", "tset"], "test"),
        (["--seed", "-1"], "seed"),
        (["--json", "nowhere/table.json"], "its folder does not exist"),
        (["--task", "3"], "--tasks"),
    ],
    ids=" ".join,
)
def test_a_mistake_ends_with_code_2_and_one_message(
    run: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never a traceback."""
    assert evaluate_metarl.main([str(run), *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.out + captured.err


def test_a_folder_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says what is wrong with it."""
    assert evaluate_metarl.main([str(tmp_path / "nothing")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert evaluate_metarl.main([str(tmp_path)]) == 2
    assert "has no config.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "where",
    ["metarl.algorithms.maml_trpo.wiring.adaptation_curve", "metarl.agent.checkpoint.load_latest"],
)
def test_a_gpu_that_is_full_is_told_in_one_message(
    where: str, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the environments, and already by the parameters."""

    def full(*arguments: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")

    monkeypatch.setattr(where, full)
    assert evaluate_metarl.main([str(run), "--tasks", "3"]) == 2
    said = capsys.readouterr().err
    assert "3 tasks × " in said
    assert "do not fit into the memory: CUDA out of memory. Tried to allocate 9.00 GiB." in said
    assert "Traceback" not in said

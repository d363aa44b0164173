"""Cross-validation and repeated splits: several runs by one command."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metarl
from metarl.cli.train_few_shot import main
from metarl.fewshot.data.classes import ClassSource


def options(folder: Path) -> list[str]:
    """Ten classes of noise, ProtoNet and a few iterations."""
    x = np.random.default_rng(0).normal(size=(40, 3))
    np.savez(folder / "t.npz", x=x, y=np.arange(10).repeat(4))
    data = ["--data", f"npz:{folder / 't.npz'}", "--algo", "protonet", "--shots", "1"]
    tiny = ["--queries", "2", "--iterations", "3", "--tasks", "2", "--hidden", "4"]
    return [*data, *tiny, "--eval-tasks", "20", "--compile", "off", "--how", "loop"]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_folds_are_trained_one_after_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every class is tested once; the mean over the runs stands beside them."""
    folder = tmp_path / "all"
    assert main([*options(tmp_path), "--folds", "2", "--run-dir", str(folder)]) == 0
    tested: list[str] = []
    for k in range(2):
        source = metarl.load_few_shot(folder / f"fold-{k}").source
        assert isinstance(source, ClassSource)
        tested += source.class_names("test")
    assert sorted(tested) == sorted(map(str, range(10)))
    results = [read(folder / f"fold-{k}" / "results.json") for k in range(2)]
    means = [found["evaluation"]["points"][0]["mean"] for found in results]
    (point,) = read(folder / "series.json")["evaluation"]["points"]
    assert point["runs"] == dict(zip(("fold-0", "fold-1"), means, strict=True))
    assert point["mean"] == pytest.approx(sum(means) / 2)
    assert point["ci95"] == pytest.approx(12.706 * abs(means[0] - means[1]) / 2)
    assert "mean of 2 runs" in " ".join(capsys.readouterr().out.split())


def test_a_series_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    """With the runs that are missing, as if nothing had happened; finished ones stay."""
    folder = tmp_path / "all"
    series = ["--split-seed", "5", "--split-seeds", "3", "--ways", "3"]
    assert main([*options(tmp_path), *series, "--run-dir", str(folder)]) == 0
    whole = read(folder / "series.json")
    assert list(whole["runs"]) == ["split-seed-5", "split-seed-6", "split-seed-7"]
    kept = (folder / "split-seed-5" / "results.json").stat().st_mtime_ns
    shutil.rmtree(folder / "split-seed-7")
    assert main(["--resume", str(folder), "--threads", "1"]) == 0
    assert read(folder / "series.json") == whole
    assert (folder / "split-seed-5" / "results.json").stat().st_mtime_ns == kept
    assert main(["--resume", str(folder), "--iterations", "4"]) == 0
    runs = [read(folder / name / "results.json") for name in whole["runs"]]
    assert [run["iterations"] for run in runs] == [4, 4, 4]


def test_one_fold_alone_is_an_ordinary_run(tmp_path: Path) -> None:
    """By --fold; it can be evaluated on the way, though no class is for validation."""
    folder = tmp_path / "one"
    one = ["--folds", "2", "--fold", "1", "--eval-every", "2"]
    assert main([*options(tmp_path), *one, "--run-dir", str(folder)]) == 0
    assert read(folder / "config.json")["data"]["fold"] == 1
    assert not (folder / "series.json").exists()


def test_a_series_without_evaluations_has_no_mean(tmp_path: Path) -> None:
    """But its runs."""
    folder = tmp_path / "all"
    none = ["--folds", "2", "--eval-tasks", "0", "--run-dir", str(folder)]
    assert main([*options(tmp_path), *none]) == 0
    assert read(folder / "series.json")["evaluation"] is None


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (["--folds", "2", "--split-seeds", "2"], "two ways to hold out in turn: choose one"),
        (["--split-seeds", "1"], "--split-seeds must be at least 2, or 0 for one run, got 1"),
        (["--folds", "3"], "--folds 3 of the 10 classes of t hold out 3"),
        (
            ["--data", "sinusoid", "--algo", "maml", "--split-seeds", "2"],
            "means nothing for --data",
        ),
    ],
)
def test_a_series_that_cannot_be_is_refused(
    wish: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before its folder is made."""
    assert main([*options(tmp_path), *wish, "--run-dir", str(tmp_path / "all")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "all").exists()


def test_a_folder_that_holds_something_is_no_place_for_a_series(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It could be another run; nor is a broken file gone on with."""
    (tmp_path / "series.json").write_text("[]")
    assert main([*options(tmp_path), "--folds", "2", "--run-dir", str(tmp_path)]) == 2
    assert "is not an empty folder: choose another --run-dir" in capsys.readouterr().err
    assert main(["--resume", str(tmp_path)]) == 2
    assert "series.json is not what a series of runs writes" in capsys.readouterr().err

"""plot_training.py draws scalars of runs, and says what a run has where it lacks them."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from metarl.cli import plot_training
from metarl.experiment.run import Run


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of three iterations; the second was evaluated."""
    with Run.create(tmp_path / "run", {}) as run:
        for i, after in enumerate((1.0, 3.0, 4.0)):
            evaluated = {"eval/return_after_1": 9.0} if i == 1 else {}
            run.log({"return/before": 0.0, "return/after": after, **evaluated}, i)
    return tmp_path / "run"


def test_rows_without_a_scalar_are_left_out(run_dir: Path) -> None:
    progress = plot_training.read_progress(run_dir)
    np.testing.assert_array_equal(progress["return/after"], [[0, 1, 2], [1, 3, 4]])
    np.testing.assert_array_equal(progress["eval/return_after_1"], [[1], [9]])


def test_a_figure_of_two_runs_is_written(run_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "figure.png"
    code = plot_training.main([str(run_dir), str(run_dir), "--window", "2", "--file", str(file)])
    assert code == 0
    assert matplotlib.image.imread(file).std() > 0


def test_a_scalar_that_no_run_has_is_refused(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plot_training.main([str(run_dir), "--scalars", "return/episode_*"]) == 2
    assert "has return/after, return/before, eval/return_after_1" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plot_training.main([str(tmp_path)]) == 2
    assert "has no progress.csv" in capsys.readouterr().err


@pytest.mark.parametrize("window", ["0", "-1"])
def test_a_window_below_one_is_refused(run_dir: Path, window: str) -> None:
    assert plot_training.main([str(run_dir), "--window", window]) == 2

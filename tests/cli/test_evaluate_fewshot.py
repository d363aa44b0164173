"""Evaluating a few-shot run: tables, baselines, reports, figures."""

import json
from pathlib import Path

import numpy as np
import pytest

from metarl.cli import train_few_shot as train_fewshot
from metarl.cli.evaluate_few_shot import main

# what is made up here is easier than anything real
pytestmark = pytest.mark.filterwarnings("ignore:.*alone tells")

TINY = ["--iterations", "2", "--tasks", "2", "--compile", "off", "--how", "loop", "--hidden", "4"]


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "sinusoid"
    assert train_fewshot.main(["--run-dir", str(folder), *TINY]) == 0
    return folder


@pytest.fixture(scope="module")
def classification(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clusters per part, far from one another."""
    folder = tmp_path_factory.mktemp("runs")
    centres = np.random.default_rng(0).normal(size=(9, 2)) * 100
    y = np.repeat([f"class {i}" for i in range(9)], 8)
    x = np.repeat(centres, 8, 0) + np.random.default_rng(1).normal(size=(72, 2))
    np.savez(folder / "clusters.npz", x=x, y=y)
    options = ["--data", f"npz:{folder / 'clusters.npz'}", "--ways", "3", "--algo", "protonet"]
    options += ["--shots", "2", "--queries", "2", "--run-dir", str(folder / "run"), *TINY]
    assert train_fewshot.main(options) == 0
    return folder / "run"


def test_a_run_is_set_beside_learners_of_one_task(
    regression: Path, classification: Path, tmp_path: Path
) -> None:
    """On the same tasks, with the protocol in the file."""
    file = tmp_path / "table.json"
    options = ["--tasks", "7", "--shots", "4", "--queries", "6", "--baselines"]
    assert main([str(regression), *options, "--json", str(file)]) == 0
    table = json.loads(file.read_text())
    assert table["request"] == {
        "part": "test", "tasks": 7, "shots": 4, "queries": 6, "seed": 0,
    }  # fmt: skip
    assert [row["name"].split(",")[0] for row in table["baselines"]] == [
        "mean of the shots",
        "ridge",
        "Gaussian process",
    ]
    assert {row["tasks"] for row in table["baselines"]} == {7}
    options = ["--tasks", "7", "--baselines", "--json", str(file)]
    assert main([str(classification), *options]) == 0
    table = json.loads(file.read_text())
    names = ("nearest centroid", "nearest neighbours", "logistic regression")
    assert [row["name"] for row in table["baselines"]] == [
        f"{name}, {scale}" for name in names for scale in ("raw", "standardised")
    ]


def test_a_training_ends_beside_learners_of_one_task(regression: Path) -> None:
    """In results.json, on the first of its tasks; an untrained learner is ahead of nobody."""
    evaluation = json.loads((regression / "results.json").read_text())["evaluation"]
    assert [row["tasks"] for row in evaluation["baselines"]] == [100] * 3
    assert max(row["ahead"] for row in evaluation["baselines"]) > 0


def test_every_class_is_reported_by_name(classification: Path, tmp_path: Path) -> None:
    """Clusters that far apart are told apart even by an untrained network's prototypes."""
    file = tmp_path / "table.json"
    assert main([str(classification), "--tasks", "20", "--report", "--json", str(file)]) == 0
    table = json.loads(file.read_text())
    report = table["report"]
    # the mean accuracy over tasks of equally many queries is that over all queries
    assert report["accuracy"] == pytest.approx(table["points"][0]["mean"])
    classes = [name for name in report if name.startswith("class ")]
    assert len(classes) == 3
    assert sum(report[name]["support"] for name in classes) == 20 * 3 * 2
    assert {"precision", "recall", "f1-score"} < set(report[classes[0]])


def test_layers_are_drawn(regression: Path, tmp_path: Path) -> None:
    """Beside their table."""
    file, figure = tmp_path / "table.json", tmp_path / "layers.png"
    options = ["--tasks", "3", "--analyse", str(figure), "--json", str(file)]
    assert main([str(regression), *options]) == 0
    assert figure.stat().st_size > 1000
    table = json.loads(file.read_text())
    assert [row["layer"] for row in table["layers"]] == ["layer0", "head"]
    assert table["steps"] == 10
    assert main([str(regression), *options, "--steps", "1"]) == 0
    fewer = json.loads(file.read_text())
    assert fewer["steps"] == 1
    assert [point["steps"] for point in fewer["points"]] == [0, 1]
    assert fewer["layers"][0]["moved"] < table["layers"][0]["moved"]


def test_the_report_is_of_the_evaluations_steps(classification: Path, tmp_path: Path) -> None:
    """As many as the most of the run's; its accuracy is that of the table."""
    data = classification.parent / "clusters.npz"
    options = ["--data", f"npz:{data}", "--ways", "3", "--shots", "2", "--queries", "2", *TINY]
    assert train_fewshot.main([*options, "--run-dir", str(tmp_path / "run")]) == 0
    file = tmp_path / "table.json"
    asked = ["--tasks", "15", "--report", "--json", str(file)]
    assert main([str(tmp_path / "run"), *asked]) == 0
    table = json.loads(file.read_text())
    assert table["steps"] == table["points"][-1]["steps"] == 10
    assert table["report"]["accuracy"] == pytest.approx(table["points"][-1]["mean"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--report"], "--report is of classification"),
        (["--tasks", "0"], "tasks must be at least 1, got 0"),
        (["--seed", "-1"], "seed must be between"),
        (["--json", "/nowhere/x.json"], "its folder does not exist"),
        (["--analyse", "/nowhere/x.png"], "its folder does not exist"),
        (["--analyse", "layers.docx"], "end it in .png"),
        (["--analyse", "/"], "cannot be written"),
        (["--steps", "-1"], "--steps must be at least 0"),
    ],
)
def test_mistakes_are_refused(
    options: list[str], message: str, regression: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2 and one message."""
    assert main([str(regression), *options]) == 2
    assert message in capsys.readouterr().err


def test_only_weights_have_layers_and_a_folder_must_be_a_run(
    classification: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor has a reinforcement learner's run few shots."""
    assert main([str(classification), "--analyse", str(tmp_path / "x.png")]) == 2
    assert main([str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "that adapt a network's weights" in err

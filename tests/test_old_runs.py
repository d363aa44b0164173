"""Run folders of earlier days, kept in tests/fixtures: they load, evaluate and resume for ever."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metarl import load_agent, load_few_shot
from metarl.cli import train as train_metarl
from metarl.cli import train_few_shot as train_fewshot

FIXTURES = Path(__file__).parent / "fixtures"
DONE = 2
"""Iterations that each run has."""
AGENTS = ("maml-trpo-point-nav", "maml-trpo-half-cheetah", "rl2-bandit")
LEARNERS = ("few-shot-sinusoid", "few-shot-rows")
agents = pytest.mark.parametrize("copied", AGENTS, indirect=True)
learners = pytest.mark.parametrize("copied", LEARNERS, indirect=True)
every_run = pytest.mark.parametrize("copied", [*AGENTS, *LEARNERS], indirect=True)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A copy of the run that a test names, in a working directory that holds its data."""
    shutil.copytree(FIXTURES / "data", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(FIXTURES / "runs" / request.param, tmp_path / "run"))


def evaluation(run: Path) -> dict[str, Any]:
    """What the run's own evaluation came to."""
    found: dict[str, Any] = json.loads((run / "results.json").read_text())["evaluation"]
    return found


def means(points: list[dict[str, Any]]) -> list[float]:
    return [point["mean"] for point in points]


@agents
def test_an_old_agent_adapts_and_acts(copied: Path) -> None:
    """From its folder alone, on an environment of its family."""
    agent = load_agent(copied)
    assert agent.iteration == DONE
    env = agent.family.make()
    adapted = agent.adapt(env, episodes=2)
    action, _ = adapted.predict(adapted.env(env).reset(seed=0)[0], deterministic=True)
    assert env.action_space.contains(action)


@agents
def test_an_old_agent_does_as_well_as_it_did(copied: Path) -> None:
    """Its evaluation gives the returns that were written when it was trained."""
    found = load_agent(copied).evaluate().to_json()
    np.testing.assert_allclose(means(found["curve"]), means(evaluation(copied)["curve"]), rtol=1e-4)


@learners
def test_an_old_learner_does_as_well_as_it_did(copied: Path) -> None:
    """Its evaluation gives the errors or accuracies that were written when it was trained."""
    found = load_few_shot(copied).evaluate().to_json()
    was = evaluation(copied)
    assert found["metric"] == was["metric"]
    np.testing.assert_allclose(means(found["points"]), means(was["points"]), rtol=1e-4)


@learners
def test_an_old_learner_adapts_and_predicts(copied: Path) -> None:
    """From its folder alone, without its data."""
    (copied.parent / "rows.npz").unlink()
    agent = load_few_shot(copied)
    inputs = np.linspace(-1, 1, 4 * agent.config.form.x_shape[0], dtype=np.float32).reshape(4, -1)
    targets = inputs[:, 0] if agent.config.form.kind == "regression" else np.arange(4) % 2
    found = np.asarray(agent.adapt((inputs, targets)).predict(inputs))
    assert len(found) == 4
    assert np.isfinite(found).all()


@every_run
def test_an_old_run_goes_on(copied: Path) -> None:
    """One more iteration: its checkpoint, its row, and the evaluation after it."""
    few_shot = "data" in json.loads((copied / "config.json").read_text())
    train = train_fewshot.main if few_shot else train_metarl.main
    assert train(["--resume", str(copied), "--iterations", str(DONE + 1)]) == 0
    assert max((copied / "checkpoints").iterdir()).name == f"{DONE + 1:06d}"
    rows = list(csv.DictReader((copied / "progress.csv").read_text().splitlines()))
    assert int(rows[-1]["iteration"]) == DONE
    assert evaluation(copied)["iteration"] == DONE + 1


def test_old_runs_name_no_machine() -> None:
    """They hold no whole path, and no events, whose files are named after a host."""
    files = [path for path in (FIXTURES / "runs").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        "config.json", "manifest.json", "progress.csv", "results.json", "tensors.safetensors"
    }  # fmt: skip
    assert {path.parts[-2] for path in files if path.name == "config.json"} == {*AGENTS, *LEARNERS}
    configs = [path.read_text() for path in files if path.name == "config.json"]
    assert [text for text in configs if '"/' in text or ":/" in text] == []

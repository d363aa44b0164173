"""What evaluation counts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl import load_agent
from metarl.rl.data import Episodes
from metarl.rl.evaluate import Evaluation, episode_success, trial_outcome
from scripts import evaluate_metarl, train_metarl

TINY = ["--env", "tests.envs.gallery:reach", "--iterations", "1", "--tasks", "3"]


def episodes(
    success: list[list[float]], mask: list[list[int]], number: list[list[int]]
) -> Episodes:
    """One task, E episodes of H steps."""
    shape = (1, len(mask), len(mask[0]))
    zeros = torch.zeros(shape)
    return Episodes(
        obs=zeros[..., None],
        action=zeros[..., None],
        reward=torch.ones(shape),
        mask=torch.tensor(mask).bool()[None],
        terminated=zeros.bool(),
        truncated=zeros.bool(),
        final_obs=torch.zeros(1, len(mask), 1),
        dist={},
        metrics={"success": torch.tensor(success)[None], "episode": torch.tensor(number)[None]},
    )


def test_an_episode_succeeds_if_any_of_its_steps_does() -> None:
    """What follows its end does not count, nor does what is not told."""
    nan = float("nan")
    found = episode_success(
        episodes(
            success=[[0, 1, 0], [0, 0, 1], [nan, 0, 0], [nan, 1, nan]],
            mask=[[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 1, 1]],
            number=[[0, 0, 0]] * 4,
        )
    )
    assert found.tolist() == [[True, False, False, True]]


def test_every_episode_of_a_trial_succeeds_by_itself() -> None:
    """The rate of a task is the mean over its trials."""
    outcome = trial_outcome(
        episodes(
            success=[[0, 1, 0, 0], [0, 0, 0, 1]],
            mask=[[1, 1, 1, 1], [1, 1, 1, 0]],
            number=[[0, 0, 1, 1], [0, 0, 1, 1]],
        ),
        2,
    )
    np.testing.assert_array_equal(outcome.success, [[0.5], [0.0]])
    np.testing.assert_array_equal(outcome.returns, [[2.0], [1.5]])


@pytest.mark.parametrize(
    ("options", "logged", "points"),
    [
        (["--episodes", "2"], ["before", "after"], "updates"),
        (["--algo", "rl2", "--episodes", "2", "--minibatches", "1"], ["episode_1"], "episode"),
    ],
    ids=["maml-trpo", "rl2"],
)
def test_success_stands_beside_the_return(
    options: list[str],
    logged: list[str],
    points: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """While training, in results.json, in what is printed and in TensorBoard's scalars."""
    monkeypatch.setattr("training.EVAL_TASKS", 4)
    folder, file = tmp_path / "run", tmp_path / "table.json"
    assert train_metarl.main([*TINY, "--run-dir", str(folder), *options]) == 0
    assert "  success " in capsys.readouterr().out
    header = (folder / "progress.csv").read_text().splitlines()[0].split(",")
    assert {f"success/{name}" for name in logged} <= set(header)
    found = json.loads((folder / "results.json").read_text())["evaluation"]
    assert [p[points] for p in found["success"]] == [p[points] for p in found["curve"]]
    assert all(0 <= p["mean"] <= 1 for p in found["success"])
    assert evaluate_metarl.main([str(folder), "--tasks", "4", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["success"] == found["success"]
    evaluation = load_agent(folder).evaluate(tasks=4)
    again = Evaluation.from_json(json.loads(json.dumps(evaluation.to_json())))
    assert again == evaluation
    assert len(evaluation.scalars()) == 2 * len(evaluation.curve)


def test_nothing_is_said_of_success_that_is_not_told(tmp_path: Path) -> None:
    """By environments without the metric."""
    options = ["--iterations", "1", "--tasks", "2", "--episodes", "2", "--horizon", "5"]
    run = tmp_path / "run"
    train_metarl.main(["--env", "point-nav", "--run-dir", str(run), *options])
    assert "success" not in (run / "progress.csv").read_text() + (run / "results.json").read_text()

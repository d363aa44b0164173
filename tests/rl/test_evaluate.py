"""What evaluation counts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl import load_agent
from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.cli import evaluate as evaluate_metarl
from metarl.cli import train as train_metarl
from metarl.experiment.seeding import rng
from metarl.rl.data import Episodes, StepInput, Tasks
from metarl.rl.evaluate import (
    CurvePoint,
    EpisodePoint,
    Evaluation,
    Outcome,
    Reference,
    adaptation_curve,
    episode_success,
    references,
    summarize,
    summarize_episodes,
    trial_outcome,
)
from metarl.rl.intervals import interval
from metarl.rl.rollout import Action, ActionScaling
from metarl.tasks.engines.vector.engine import VectorEngine
from tests.tasks import habits

TINY = [
    "--env",
    "tests.tasks.gallery:reach",
    "--iterations",
    "1",
    "--tasks",
    "3",
    "--eval-tasks",
    "4",
]


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


def test_an_interval_is_1_96_standard_errors_of_the_mean_over_tasks() -> None:
    """Of 1, 2, 3, 4: the mean 2.5 and 1.96 √(5/3) / √4; of a single task it is not known."""
    mean, ci95 = interval(np.array([1.0, 2.0, 3.0, 4.0]))
    assert (mean, ci95) == pytest.approx((2.5, 1.96 * (5 / 3) ** 0.5 / 2))
    curve = np.array([[1.0, 2.0, 3.0, 4.0], [7.0, 7.0, 7.0, 7.0]])
    assert summarize(curve) == [CurvePoint(0, mean, ci95), CurvePoint(1, 7.0, 0.0)]
    assert summarize_episodes(curve)[1] == EpisodePoint(2, 7.0, 0.0)
    assert references({"zero": curve[0]}) == [Reference("zero", mean, ci95)]
    assert np.isnan(interval(np.array([3.0]))[1])


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
    capsys: pytest.CaptureFixture[str],
) -> None:
    """While training, in results.json, in what is printed and in TensorBoard's scalars."""
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


class Knowing:
    """A learner that goes where the second and the third task pay, once it has had `updates`."""

    def __init__(self, updates: int) -> None:
        self.updates = updates

    def start(self, num_tasks: int) -> int:
        return 0

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.zeros(*shape, 1)

    def act(self, state: int, inputs: StepInput, noise: torch.Tensor) -> tuple[Action, int]:
        where = torch.full_like(noise, 0.5 if state >= self.updates else -1.0)
        return Action(where, {}), state

    def adapt(self, state: int, episodes: Episodes) -> int:
        return state + 1


TARGETS: Tasks = {"target": np.array([0.0, 0.5, 0.5, 0.8])}
SCALING = ActionScaling.of(habits.only_when_solved.action_space, 1.0)


def curve(updates: int, rows: slice = slice(None)) -> Outcome:
    """Of a learner that solves some tasks after so many updates."""
    tasks = {name: values[rows] for name, values in TARGETS.items()}
    env = VectorEngine(habits.only_when_solved, len(tasks["target"]), 2)
    return adaptation_curve(
        Knowing(updates), env, tasks, updates=3, rng_for=lambda k: rng(0, k), scaling=SCALING,
        device=torch.device("cpu"),
    )  # fmt: skip


@pytest.mark.parametrize("updates", [0, 2, 3])
def test_success_that_is_only_told_where_there_is_one_stays_at_its_update(updates: int) -> None:
    """Of all tasks at once, or one after the other, of which some tell nothing at all."""
    expected = np.outer(np.arange(4) >= updates, [0.0, 1.0, 1.0, 0.0])
    np.testing.assert_array_equal(curve(updates).rates(), expected)
    parts = Outcome.join(curve(updates, slice(i, i + 1)) for i in range(4))
    np.testing.assert_array_equal(parts.rates(), expected)


def test_without_any_success_an_environment_that_tells_only_of_it_has_told_nothing() -> None:
    """There are no rates, rather than rates of zero."""
    assert curve(4).rates().shape == (0, 4)


def test_before_and_after_are_of_their_own_episodes_on_training_tasks() -> None:
    """Where only episodes after adaptation succeed, and so only they tell."""
    family = habits.second_episode
    config = MamlTrpoConfig(tasks=3, episodes=2, hidden=(4,))
    algorithm = MamlTrpo(config, family.observation_space, family.action_space)
    env, tasks = VectorEngine(family, 3, 2), family.split("train").sample(3, 0)
    _, metrics = algorithm.iteration(algorithm.init(0), env, tasks, lambda k: rng(0, k))
    assert (metrics["success/before"], metrics["success/after"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    "options",
    [
        ["--tasks", "3", "--episodes", "3"],
        ["--algo", "rl2", "--tasks", "8", "--episodes", "2", "--minibatches", "2"],
    ],
    ids=["maml-trpo", "rl2"],
)
def test_an_agent_of_an_environment_that_tells_only_success_is_evaluated(
    options: list[str], tmp_path: Path
) -> None:
    """In batches of tasks, of which some tell and some do not: a rate for every point."""
    run = tmp_path / "run"
    env = ["--env", "tests.tasks.habits:only_when_solved", "--iterations", "1"]
    env += ["--eval-tasks", "9"]
    assert train_metarl.main([*env, "--run-dir", str(run), *options]) == 0
    found = json.loads((run / "results.json").read_text())["evaluation"]
    assert len(found["success"]) == len(found["curve"])
    assert all(0 <= point["mean"] < 1 for point in found["success"])


def test_rewards_are_not_replaced_by_somebodys_info(tmp_path: Path) -> None:
    """Whatever it is called: rewards below zero give returns below zero."""
    run, options = tmp_path / "run", ["--tasks", "4", "--minibatches", "1", "--episodes", "2"]
    env = ["--algo", "rl2", "--env", "tests.tasks.habits:named", "--iterations", "1"]
    env += ["--eval-tasks", "4"]
    assert train_metarl.main([*env, "--run-dir", str(run), *options]) == 0
    assert all(point.mean < 0 for point in load_agent(run).evaluate(tasks=4).curve)
    header = (run / "progress.csv").read_text().splitlines()[0]
    assert "info" not in header


def test_a_declared_score_is_summed_instead_of_the_reward() -> None:
    """Where the metric is named, and nowhere else."""
    lived = episodes(success=[[0, 0]], mask=[[1, 1]], number=[[0, 0]])
    lived = lived._replace(metrics={**lived.metrics, "mean": torch.full((1, 1, 2), 5.0)})
    assert trial_outcome(lived, 1).returns.tolist() == [[2.0]]
    assert trial_outcome(lived, 1, "mean").returns.tolist() == [[10.0]]


def test_nothing_is_said_of_success_that_is_not_told(tmp_path: Path) -> None:
    """By environments without the metric."""
    options = ["--iterations", "1", "--tasks", "2", "--episodes", "2", "--horizon", "5"]
    run = tmp_path / "run"
    train_metarl.main(["--env", "point-nav", "--run-dir", str(run), *options])
    assert "success" not in (run / "progress.csv").read_text() + (run / "results.json").read_text()

"""Meta-World's benchmarks; all but the first tests need the package."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metarl import load_agent
from metarl.cli import evaluate as evaluate_metarl
from metarl.cli import train as train_metarl
from metarl.metaworld import official_evaluation
from metarl.tasks import Choice, TaskFamily, check_family, make_family

needs_metaworld = pytest.mark.skipif(
    find_spec("metaworld") is None,
    reason="Meta-World needs the extra metaworld, in an environment of its own",
)
REACH = "metaworld-ml1-reach-v3"


def goals(family: TaskFamily, split: Any) -> set[float]:
    return set(family.split(split).sample(2000, 0)["goal"])


def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And that it excludes the GPU engine; with exit code 2."""
    monkeypatch.setitem(sys.modules, "metaworld", None)
    assert train_metarl.main(["--env", REACH]) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert 'pip install -e ".[metaworld]" -c constraints-metaworld.txt' in message
    assert "excludes the extra gpu" in message


def test_the_families_are_listed_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    """Without being loaded."""
    assert train_metarl.main(["--list-envs"]) == 0
    assert "metaworld-ml1-<environment>" in " ".join(capsys.readouterr().out.split())


def test_a_family_may_draw_its_test_tasks_from_elsewhere() -> None:
    """Then it is not finite in the sense that both meet, and its description says so."""
    family = TaskFamily(
        env="Pendulum-v1",
        parameters={"g": Choice((9.0, 10.0))},
        test_parameters={"g": Choice((11.0, 12.0))},
    )
    assert set(family.split("train").sample(50, 0)["g"]) == {9.0, 10.0}
    assert set(family.split("test").sample(50, 0)["g"]) == {11.0, 12.0}
    assert not family.finite
    assert family.to_json()["test_parameters"]["g"]["values"] == (11.0, 12.0)


@needs_metaworld
def test_ml1_trains_on_fifty_goals_and_is_tested_on_fifty_others() -> None:
    """Those of `metaworld.ML1` with the seed 0."""
    family = make_family(REACH)
    assert goals(family, "train") == set(range(50))
    assert goals(family, "test") == set(range(50, 100))
    with pytest.raises(ValueError, match="no values out of distribution"):
        family.split("ood").sample(1, 0)


@needs_metaworld
@pytest.mark.parametrize(("name", "train", "test"), [("ml10", 10, 5), ("ml45", 45, 5)])
def test_other_benchmarks_are_tested_on_other_environments(
    name: str, train: int, test: int
) -> None:
    """As many as Meta-World has, under its names."""
    from metaworld import env_dict

    family = make_family(f"metaworld-{name}")
    numbers = [set(family.split(s).sample(2000, 0)["environment"]) for s in ("train", "test")]
    assert numbers == [set(range(train)), set(range(train, train + test))]
    split = getattr(env_dict, f"{name.upper()}_V3")
    assert family.definition.environments == (*split["train"], *split["test"])


@needs_metaworld
@pytest.mark.parametrize("name", ["reach-v3", "box-close-v3"])
def test_an_environment_equals_meta_worlds_own(name: str) -> None:
    """Bit for bit, whatever other simulations that share its model do in between."""
    import metaworld

    family = make_family(f"metaworld-ml1-{name}")
    benchmark = metaworld.ML1(name, seed=0)
    tasks = [*benchmark.train_tasks, *benchmark.test_tasks]
    theirs = benchmark.train_classes[name]()
    ours, other = family.make(), family.make()
    rng = np.random.default_rng(0)
    for goal in (3, 55):
        theirs.set_task(tasks[goal])
        expected, _ = theirs.reset()
        obs, _ = ours.reset(options={"task": {"goal": goal}})
        other.reset(options={"task": {"goal": 99 - goal}})
        np.testing.assert_array_equal(obs, expected.astype(np.float32))
        np.testing.assert_array_equal(obs[-3:], 0.0)  # the goal is hidden
        for action in rng.uniform(-1, 1, (20, 4)).astype(np.float32):
            expected, reward, _, _, info = theirs.step(action)
            other.step(-action)
            found = ours.step(action)
            np.testing.assert_array_equal(found[0], expected.astype(np.float32))
            assert (found[1], found[4]) == (reward, info)


@needs_metaworld
def test_a_task_may_be_of_another_environment() -> None:
    """The simulation follows, and comes back."""
    env = make_family("metaworld-ml10").make()
    reach, push = {"environment": 0, "goal": 1}, {"environment": 1, "goal": 1}
    one, other, again = (env.reset(options={"task": task})[0] for task in (reach, push, reach))
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(one, env.reset()[0])  # the task stays


@needs_metaworld
def test_a_benchmark_obeys_every_rule_but_one() -> None:
    """Meta-World's goals come with a place of the object, which is seen from the start."""
    verdicts = check_family(make_family(REACH, horizon=20))
    broken = [v.rule for v in verdicts if not v.passed]
    assert broken == ["the task does not show in the observation"]


@needs_metaworld
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("metaworld-ml1-reech-v3", "did you mean metaworld-ml1-reach-v3"),
        ("metaworld-ml11", "did you mean metaworld-ml10"),
    ],
)
def test_an_unknown_benchmark_is_refused(name: str, message: str) -> None:
    """With the nearest one."""
    with pytest.raises(ValueError, match=message):
        make_family(name)


@needs_metaworld
@pytest.mark.filterwarnings("ignore::metarl.tasks.checking.OutOfRange")
def test_what_meta_world_does_not_have_is_refused() -> None:
    """Longer episodes, other goals."""
    with pytest.raises(ValueError, match="at most 500 steps"):
        make_family(REACH, horizon=501).make()
    env = make_family(REACH).make()
    for goal in (100, 0.5, -1):
        with pytest.raises(ValueError, match="goal must be an integer from 0 to 99"):
            env.reset(options={"task": {"goal": goal}})


@needs_metaworld
@pytest.mark.parametrize("algo", ["maml-trpo", "rl2"])
def test_a_trained_agent_meets_the_official_protocol(algo: str, tmp_path: Path) -> None:
    """From the command line to `metaworld.evaluation.metalearning_evaluation`."""
    run, file = tmp_path / "run", tmp_path / "score.json"
    more = ["--minibatches", "1", "--hidden", "8"] if algo == "rl2" else []
    options = ["--iterations", "1", "--tasks", "2", "--episodes", "1", "--horizon", "4", *more]
    options += ["--eval-tasks", "2", "--eval-episodes", "1"]
    train = ["--algo", algo, "--env", REACH, "--run-dir", str(run), *options]
    assert train_metarl.main(train) == 0
    tiny = ["--tasks", "2", "--episodes", "2", "--json", str(file)]
    assert evaluate_metarl.main([str(run), "--metaworld", *tiny]) == 0
    assert '"reach-v3": 0.0' in file.read_text()
    agent = load_agent(run)
    with pytest.raises(ValueError, match="2 goals cannot be taken 3 at once"):
        official_evaluation(agent.metaworld(), agent.family, goals=2, parallel=3)
    for wrong in (["--tasks", "51"], ["--updates", "0"], ["--episodes", "0"]):
        assert evaluate_metarl.main([str(run), "--metaworld", *wrong]) == 2

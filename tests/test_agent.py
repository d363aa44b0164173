"""From a run folder to actions on a new task."""

import math
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from metarl import load_agent, runs
from metarl.agent import Agent
from metarl.cli import train as train_metarl
from metarl.experiment.machine import resolve_compile
from metarl.protocols import EvalOptions
from metarl.runs import Built
from metarl.tasks import FamilyEnv, TaskFamily, make_engine, make_family
from tests.tasks import gallery, habits

GOAL = {"goal": [0.2, -0.1]}


def trained(folder: Path, env: str, *more: str) -> Agent:
    options = ["--iterations", "1", "--tasks", "2", "--episodes", "2", "--horizon", "8"]
    options += ["--eval-tasks", "0"]
    train_metarl.main(["--env", env, "--run-dir", str(folder), *options, *more])
    return load_agent(folder)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Agent:
    return trained(tmp_path_factory.mktemp("runs") / "run", "point-nav")


def point(task: dict[str, list[float]] = GOAL) -> gymnasium.Env:
    env = Monitor(FamilyEnv(make_family("point-nav", horizon=8)))
    env.reset(options={"task": task})
    return env


def steady(agent: Agent, action: list[float], std: float = 1e-6) -> Agent:
    """The agent with a policy that takes the same action everywhere, in its own units."""
    theta = {name: torch.zeros_like(p) for name, p in agent.state.theta.items()}
    theta |= {"2.bias": torch.tensor(action), "log_std": torch.full((2,), np.log(std))}
    rates = {name: torch.full_like(a, 0.3) for name, a in agent.state.rates.items()}
    state = agent.state._replace(theta=theta, rates=rates)
    return Agent(Built(agent.family, agent.algorithm, agent.method), state, agent.iteration)


def walked(step: list[float], goal: list[float], steps: int = 8) -> float:
    """The return of so many equal steps from the origin: −Σ |t · step − goal|."""
    return -sum(math.dist([t * x for x in step], goal) for t in range(1, steps + 1))


@pytest.mark.parametrize(
    ("action", "step"),
    [([0.5, 0.3], [0.05, 0.03]), ([-3.0, 0.5], [-0.1, 0.05])],
    ids=["within the actuators", "beyond them"],
)
def test_evaluate_policy_gives_the_return_of_what_the_policy_does(
    agent: Agent, action: list[float], step: list[float]
) -> None:
    """Actions in the environment's units, clipped to its range; the environment keeps its task."""
    env = point()
    adapted = steady(agent, action).adapt(env, updates=0)
    mean, spread = evaluate_policy(adapted, env, n_eval_episodes=2)
    assert mean == pytest.approx(walked(step, GOAL["goal"]), abs=1e-5)
    assert spread == pytest.approx(0.0, abs=1e-6)
    assert env.unwrapped.task == GOAL
    several = [partial(point, {"goal": goal}) for goal in ([0.3, 0.3], [-0.4, 0.25])]
    returns, _ = evaluate_policy(
        adapted, DummyVecEnv(several), n_eval_episodes=4, return_episode_rewards=True
    )
    expected = [walked(step, goal) for goal in ([0.3, 0.3], [-0.4, 0.25])] * 2
    assert sorted(returns) == pytest.approx(sorted(expected), abs=1e-5)


def test_evaluate_policy_draws_actions_where_it_is_asked_to(agent: Agent) -> None:
    """With the policy's σ: the first of them are normal, and episodes differ."""
    env = point()
    adapted = steady(agent, [0.0, 0.0], std=0.5).adapt(env, updates=0)
    _, spread = evaluate_policy(adapted, env, n_eval_episodes=4, deterministic=False)
    assert spread > 0.01
    drawn = adapted.predict(np.zeros((4000, 2), np.float32))[0]
    inside = drawn[np.abs(drawn) < 0.0999]
    assert np.mean(np.abs(drawn) > 0.0999) == pytest.approx(0.0455, abs=0.01)  # beyond 2 σ
    assert np.mean(np.abs(inside) < 0.05) == pytest.approx(0.6827 / 0.9545, abs=0.02)


def test_what_has_been_adapted_to_is_done_better(agent: Agent) -> None:
    """On the task's own return, with each further update, and not on the opposite task."""
    away = {"goal": [-0.2, 0.1]}
    returns = {}
    for updates in (0, 1, 2):
        adapted = steady(agent, [0.0, 0.0], std=1.0).adapt(point(), episodes=20, updates=updates)
        for task in (GOAL, away):
            mean, _ = evaluate_policy(adapted, point(task), n_eval_episodes=1)
            returns[updates, task["goal"][0]] = mean
    assert returns[0, 0.2] == pytest.approx(walked([0.0, 0.0], GOAL["goal"]), abs=1e-5)
    assert returns[0, 0.2] + 0.1 < returns[1, 0.2] < returns[2, 0.2]
    assert returns[1, -0.2] < returns[0, -0.2] - 0.1


def test_a_cheetah_made_by_gymnasium_is_adapted_to(tmp_path: Path) -> None:
    """The registered environment is one of the family."""
    agent = trained(tmp_path / "run", "half-cheetah-vel")
    env = gymnasium.make("metarl/HalfCheetahVel-v0")
    env.reset(options={"task": {"velocity": 1.5}})
    adapted = agent.adapt(env, episodes=1)
    obs, _ = env.reset(seed=0)
    action, _ = adapted.predict(obs)
    assert env.action_space.contains(action)


def test_predictions_follow_the_protocol(agent: Agent) -> None:
    """One observation or a batch, deterministic or not, within the action space."""
    adapted = agent.adapt(point(), episodes=2, updates=2)
    obs = np.zeros((5, 2), dtype=np.float32)
    batch, state = adapted.predict(obs, deterministic=True)
    single, _ = adapted.predict(obs[0], deterministic=True)
    assert batch.shape == (5, 2)
    assert batch.dtype == np.float32
    assert state is None
    np.testing.assert_allclose(single, batch[0], atol=1e-7)
    memory = (np.ones(3),)
    drawn, same = adapted.predict(obs, memory, np.ones(5, dtype=bool))
    assert same is memory
    assert (np.abs(drawn) <= np.float32(0.1)).all()
    assert np.ptp(drawn) > 0


@pytest.mark.parametrize("shape", [(), (3,), (5, 3), (5, 1, 2)])
def test_an_observation_of_another_shape_is_refused(agent: Agent, shape: tuple[int, ...]) -> None:
    """Both shapes are named."""
    adapted = agent.adapt(point(), updates=0)
    with pytest.raises(ValueError, match=r"has the shape \(2,\).*, got \("):
        adapted.predict(np.zeros(shape, dtype=np.float32))


def test_an_observation_that_is_none_is_refused(agent: Agent) -> None:
    """Instead of an action of nan, or a discrete one of -1; and what reset returns as a whole."""
    adapted = agent.adapt(point(), updates=0)
    with pytest.raises(ValueError, match=r"must be finite, got \[nan  0.\]"):
        adapted.predict(np.array([np.nan, 0.0]))
    with pytest.raises(ValueError, match=r"got \(array.*gives a pair of observation and info"):
        adapted.predict(point().reset())


def test_adaptation_is_deterministic_and_learns_from_the_task(agent: Agent) -> None:
    """The same seed and task give the same bits; another seed, task or count does not."""

    def action(task: dict[str, list[float]] = GOAL, **options: int) -> np.ndarray:
        adapted = agent.adapt(point(task), **{"episodes": 3, **options})
        return adapted.predict(np.full(2, 0.1, np.float32), deterministic=True)[0]

    np.testing.assert_array_equal(action(), action())
    others = [action(seed=1), action(updates=0), action(updates=2), action({"goal": [-0.4, 0.4]})]
    assert all((other != action()).any() for other in others)


def test_an_adapted_agent_sees_what_it_saw_in_training(tmp_path: Path) -> None:
    """Normalised observations where it was trained with them."""
    normal = trained(tmp_path / "run", "point-nav", "--normalize-observations")
    plain = normal.state._replace(normalizer={})
    raw = Agent(Built(normal.family, normal.algorithm, normal.method), plain, normal.iteration)
    obs = np.full(2, 0.1, np.float32)
    actions = [
        a.adapt(point(), updates=0).predict(obs, deterministic=True)[0] for a in (normal, raw)
    ]
    assert (actions[0] != actions[1]).any()


def test_an_environment_with_other_spaces_is_refused(agent: Agent) -> None:
    """Both are named, and what fits."""
    with pytest.raises(ValueError, match=r"point-nav.*\(2,\).*\(17,\).*agent.family.make()"):
        agent.adapt(gymnasium.make("metarl/HalfCheetahVel-v0"))


@pytest.mark.parametrize("name", ["unbounded_family", "asymmetric_family", "from_five_family"])
@pytest.mark.parametrize("algo", [("maml-trpo",), ("rl2", "--minibatches", "1")], ids=str)
def test_an_environment_as_its_author_made_it_is_adapted_to(
    tmp_path: Path, name: str, algo: tuple[str, ...]
) -> None:
    """Composite observations, matrices of actions: as through the family's own environment."""
    agent = trained(tmp_path / "run", f"tests.tasks.gallery:{name}", "--algo", *algo)
    own, raw = agent.family.make(), TimeLimit(getattr(gallery, name).env(), 8)
    adapted = [agent.adapt(env, episodes=2) for env in (own, raw)]
    actions = []
    for one, env in zip(adapted, (own, raw), strict=True):
        shown = one.env(env)
        action, _ = one.predict(shown.reset(seed=0)[0], deterministic=True)
        shown.step(action)
        actions.append(action)
    np.testing.assert_array_equal(*actions)
    with pytest.raises(ValueError, match=r"predict on observations of adapted.env\(env\)"):
        adapted[1].predict(raw.reset(seed=0)[0])


def test_what_is_no_single_environment_is_refused(agent: Agent) -> None:
    """A vectorised environment has no single task to adapt to."""
    with pytest.raises(TypeError, match="one Gymnasium environment, got DummyVecEnv"):
        agent.adapt(DummyVecEnv([point]))


@pytest.mark.parametrize("options", [{"episodes": 0}, {"updates": -1}], ids=str)
def test_impossible_counts_are_refused(agent: Agent, options: dict[str, int]) -> None:
    """The message says what is allowed."""
    with pytest.raises(ValueError, match="episodes >= 1 and updates >= 0"):
        agent.adapt(point(), **options)


def test_cuda_without_cuda_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of an error from inside torch."""
    trained(tmp_path / "run", "point-nav")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="finds no CUDA device"):
        load_agent(tmp_path / "run", device="cuda")


def test_compiling_pays_in_long_runs_on_a_cpu_with_a_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """auto; on is refused where it is not possible, and off is always off."""
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert not resolve_compile("auto", "cpu", 500)
    assert not resolve_compile("off", "cpu", 500)
    for device in ("cpu", "cuda"):
        with pytest.raises(ValueError, match=r"needs g\+\+ .*; use --compile off"):
            resolve_compile("on", device, 500)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/g++")
    monkeypatch.setattr("pathlib.Path.exists", lambda path: True)
    assert resolve_compile("auto", "cpu", 500)
    assert not resolve_compile("auto", "cpu", 2)
    assert not resolve_compile("auto", "cuda", 500)
    assert resolve_compile("on", "cpu", 1)
    monkeypatch.setattr("metarl.experiment.machine.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs Triton on a GPU"):
        resolve_compile("on", "cuda", 500)
    monkeypatch.setattr("metarl.experiment.machine.find_spec", lambda name: name)
    assert resolve_compile("on", "cuda", 500)


@pytest.mark.parametrize("algo", [("maml-trpo",), ("rl2", "--minibatches", "1")], ids=str)
def test_an_evaluation_does_not_depend_on_its_batches(
    tmp_path: Path, algo: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many tasks at once as in training (2 of 5 here), each with the same noise as all at once.

    The last batch is filled up; environments are made once.
    """
    agent = trained(tmp_path / "run", "tests.tasks.gallery:walk", "--algo", *algo)
    tasks = agent.family.split("test").sample(5, 0)
    options = EvalOptions(tasks, 5, None, 3, 0)
    shapes = []

    def make(family: TaskFamily, *shape: int, **rest: object) -> object:
        shapes.append(shape)
        return make_engine(family, *shape, **rest)

    monkeypatch.setattr(runs, "make_engine", make)
    whole = agent.method.outcome(
        agent.algorithm, agent.state, runs.engine_maker(agent.family, "auto", 1), options
    )
    np.testing.assert_allclose(agent.outcome(options).returns, whole.returns, rtol=1e-5)
    assert [shape[0] for shape in shapes] == [5, 2]


@pytest.mark.parametrize("family", ["in_place", "buttons_in_place"])
@pytest.mark.parametrize(
    "options", [["--episodes", "3"], ["--algo", "rl2", "--minibatches", "1"]], ids=["maml", "rl2"]
)
def test_what_an_environment_changes_in_place_is_learned_from_as_it_was(
    family: str, options: list[str], tmp_path: Path
) -> None:
    """Its observations and the actions that it was given."""
    made = getattr(habits, family)
    agent = trained(tmp_path / "run", f"tests.tasks.habits:{family}", *options)

    def acts(copies: bool) -> tuple[np.ndarray, ...]:
        env = made.env()
        env.copies = copies
        adapted = agent.adapt(env, episodes=3)
        shown = np.full(adapted.observation_space.shape, 0.1, np.float32)
        action, memory = adapted.predict(shown, deterministic=True)
        return action, *(memory or ())

    for one, other in zip(acts(True), acts(False), strict=True):
        np.testing.assert_array_equal(one, other)

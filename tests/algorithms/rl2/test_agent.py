"""RL² from the command line to actions on a new task."""

import csv
import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

from metarl import load_agent
from metarl.agent import Agent
from metarl.cli import evaluate as evaluate_metarl
from metarl.cli import train as train_metarl
from metarl.rl.evaluate import EpisodePoint
from metarl.rl.predict_memory import AdaptedMemory
from metarl.runs import Built
from metarl.tasks import FamilyEnv, make_family

GOAL = {"goal": [0.2, -0.1]}
TINY = ["--algo", "rl2", "--tasks", "4", "--minibatches", "2", "--hidden", "8", "--threads", "1"]


def train(folder: Path, *options: str, env: str = "point-nav") -> int:
    return train_metarl.main(
        ["--env", env, "--run-dir", str(folder), *TINY, "--horizon", "6", *options]
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert train(folder, "--iterations", "2", "--episodes", "3") == 0
    return folder


@pytest.fixture(scope="module")
def agent(run: Path) -> Agent:
    return load_agent(run)


def point(task: dict[str, list[float]] = GOAL) -> gymnasium.Env:
    env = FamilyEnv(make_family("point-nav", horizon=6))
    env.reset(options={"task": task})
    return env


def test_a_run_leaves_its_scalars_and_its_curve(run: Path) -> None:
    """The return of every episode of a trial, while training and on held-out tasks."""
    with (run / "progress.csv").open() as file:
        row = list(csv.DictReader(file))[-1]
    names = ("clip_fraction", "approx_kl", "entropy", "value_loss", "explained_variance")
    assert all(f"ppo/{name}" in row for name in (*names, "grad_norm"))
    assert all(f"return/episode_{k}" in row for k in (1, 2, 3))
    curve = json.loads((run / "results.json").read_text())["evaluation"]["curve"]
    assert [p["episode"] for p in curve] == [1, 2, 3]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Bit for bit, with all that training carries on and another number of threads."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = ["--normalize-observations", "--eval-every", "2", "--lr-schedule", "constant"]
    train(whole, "--iterations", "4", *options)
    train(parts, "--iterations", "2", *options)
    assert train_metarl.main(["--resume", str(parts), "--iterations", "4", "--threads", "2"]) == 0
    one, other = (
        load_file(f / "checkpoints" / "000004" / "tensors.safetensors") for f in (whole, parts)
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    curves = [json.loads((f / "results.json").read_text())["evaluation"] for f in (whole, parts)]
    assert curves[0] == curves[1]


def test_evaluation_goes_beyond_the_episodes_of_training(run: Path, tmp_path: Path) -> None:
    """As many as are asked for."""
    table = tmp_path / "table.json"
    options = [str(run), "--tasks", "5", "--episodes", "5", "--threads", "1"]
    assert evaluate_metarl.main([*options, "--json", str(table)]) == 0
    assert [p["episode"] for p in json.loads(table.read_text())["curve"]] == [1, 2, 3, 4, 5]


def test_tasks_are_evaluated_in_parts(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean is over all of them."""
    monkeypatch.setattr("metarl.algorithms.rl2.wiring._CHUNK", 3)
    points = agent.evaluate(tasks=7).curve
    assert all(isinstance(p, EpisodePoint) and np.isfinite(p.mean) for p in points)
    assert len(points) == 3


def test_bandits_are_scored_by_the_means_of_the_pulled_arms(tmp_path: Path) -> None:
    """An untrained agent's score has less noise than its coins."""
    train(tmp_path / "run", "--iterations", "1", "--episodes", "1", env="bandit-k5")
    (point,) = load_agent(tmp_path / "run").evaluate(tasks=400).curve
    # six pulls of arms with means U(0, 1): variance of a mean is 1/12, of a coin 1/4
    assert abs(point.mean - 3.0) < 3 * point.ci95
    assert point.ci95 < 1.96 * np.sqrt(6 / 4 / 400)


def test_actions_of_several_parts_are_learnt_and_predicted(tmp_path: Path) -> None:
    """Two dials are set at once: without a memory nobody earns more than 2.5 on average."""
    options = ["--tasks", "64", "--hidden", "32", "--lr", "1e-2", "--episodes", "1"]
    spec = "tests.tasks.gallery:dials"
    folder = tmp_path / "run"
    train(folder, "--iterations", "30", *options, "--prediction-weight", "0.5", env=spec)
    agent = load_agent(folder)
    (point,) = agent.evaluate(tasks=200).curve
    assert point.mean - point.ci95 > 2.5
    env = agent.family.make()
    env.reset(seed=0, options={"task": {"left": 1, "right": 2}})
    adapted = agent.adapt(env, episodes=1)
    shown = adapted.env(env)
    for deterministic in (True, False):
        action, memory = adapted.predict(shown.reset()[0], deterministic=deterministic)
        assert env.action_space.contains(action)
        obs = shown.step(action)[0]
        assert obs[1:6].tolist() == gymnasium.spaces.flatten(env.action_space, action).tolist()
        action, _ = adapted.predict(obs, memory, deterministic=deterministic)
        assert env.action_space.contains(action)
    mean, _ = evaluate_policy(adapted, shown, n_eval_episodes=1, warn=False)
    assert mean > 2.5
    both = DummyVecEnv([lambda: shown, lambda: adapted.env(agent.family.make())])
    both.env_method("reset", options={"task": {"left": 1, "right": 2}})
    returns, _ = evaluate_policy(
        adapted, both, n_eval_episodes=4, warn=False, return_episode_rewards=True
    )
    assert returns == [mean] * 4


def resolute(agent: Agent) -> Agent:
    """The agent with a policy whose actions depend on what it remembers, by far more than 1 %."""
    params = {**agent.state.params}
    params["actor.0.weight"] = 100 * params["actor.0.weight"]
    state = agent.state._replace(params=params)
    return Agent(Built(agent.family, agent.algorithm, agent.method), state, agent.iteration)


def episode_by_hand(agent: Agent, adapted: AdaptedMemory, env: gymnasium.Env) -> float:
    """The return of the most likely actions, with views and memory written out."""
    policy, params, memory = agent.algorithm.policy, agent.state.params, adapted._memory
    view, total = adapted.env(env).reset()[0], 0.0
    for _ in range(6):
        out = policy.step(params, torch.from_numpy(view[None]), memory)
        memory, action = out.memory, (0.1 * out.dist["mean"][0]).clamp(-0.1, 0.1).numpy()
        obs, reward, terminated, truncated, _ = env.step(action)
        view = np.array([*obs, *action / 0.1, reward, terminated or truncated], np.float32)
        total += reward
    return total


def test_evaluate_policy_gives_the_return_of_what_the_memory_does(agent: Agent) -> None:
    """On `adapted.env(env)`, single or vectorised: every episode is the first; the task stays."""
    chosen, env = resolute(agent), point()
    adapted = chosen.adapt(env)
    expected = episode_by_hand(chosen, adapted, env)
    mean, spread = evaluate_policy(adapted, adapted.env(env), n_eval_episodes=3, warn=False)
    assert mean == pytest.approx(expected, abs=1e-5)
    assert spread == pytest.approx(0.0, abs=1e-6)
    assert env.task == GOAL
    other = {"goal": [-0.4, 0.4]}
    both = DummyVecEnv([lambda t=task: adapted.env(point(t)) for task in (GOAL, other)])
    returns, _ = evaluate_policy(
        adapted, both, n_eval_episodes=4, warn=False, return_episode_rewards=True
    )
    expected_too = episode_by_hand(chosen, adapted, point(other))
    assert expected_too != pytest.approx(expected, abs=1e-2)
    assert sorted(returns) == pytest.approx(sorted([expected, expected_too] * 2), abs=1e-5)


def test_every_episode_starts_from_the_adapted_memory(agent: Agent) -> None:
    """And with the last action, reward and done of adaptation."""
    env = point()
    adapted = agent.adapt(env, episodes=2)
    wrapped = adapted.env(env)
    obs, _ = wrapped.reset(seed=0)
    assert obs.shape == (6,)
    assert obs[-1] == 1.0
    assert obs[-2] < 0.0
    first, memory = adapted.predict(obs, deterministic=True)
    later, moved = adapted.predict(obs, memory, deterministic=True)
    assert (first != later).any()
    again, same = adapted.predict(obs, moved, np.array([True]), deterministic=True)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(memory[0], same[0])


def test_a_batch_of_predictions_equals_single_ones(agent: Agent) -> None:
    """Each row has its own memory, and only the rows that start are restored."""
    adapted = agent.adapt(point())
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 6)).astype(np.float32)
    _, memory = adapted.predict(rows, deterministic=True)
    start = np.array([False, True, False])
    batch, after = adapted.predict(rows, memory, start, deterministic=True)
    for i in range(3):
        held = tuple(m[i : i + 1] for m in memory)
        single, one = adapted.predict(rows[i], held, start[i : i + 1], deterministic=True)
        np.testing.assert_allclose(single, batch[i], atol=1e-6)
        np.testing.assert_allclose(one[0][0], after[0][i], atol=1e-6)
    drawn = {tuple(adapted.predict(rows[0])[0]) for _ in range(3)}
    assert len(drawn) == 3


def test_adaptation_is_deterministic_and_depends_on_the_task(agent: Agent) -> None:
    """The same seed and task give the same memory; another task or count does not."""

    def memory(task: dict[str, list[float]] = GOAL, **options: int) -> np.ndarray:
        env = point(task)
        adapted = agent.adapt(env, **options)
        return adapted.predict(adapted.env(env).reset(seed=0)[0], deterministic=True)[1][0]

    np.testing.assert_array_equal(memory(), memory())
    others = [memory(seed=1), memory(episodes=0), memory(episodes=4), memory({"goal": [-0.4, 0.4]})]
    assert all((other != memory()).any() for other in others)


def test_a_plain_observation_is_refused(agent: Agent) -> None:
    """The message says how to get the right one."""
    adapted = agent.adapt(point())
    with pytest.raises(ValueError, match=r"got \(2,\): wrap the environment with adapted.env"):
        adapted.predict(np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="but this environment gives"):
        adapted.env(gymnasium.make("metarl/HalfCheetahVel-v0"))
    with pytest.raises(ValueError, match="previous action, reward and done must be finite, got"):
        adapted.predict(np.full(adapted.observation_space.shape, np.nan))


def test_updates_are_refused(agent: Agent) -> None:
    """RL² has none; negative counts of episodes too."""
    with pytest.raises(ValueError, match="rl2 learns in its memory and has no updates, got 2"):
        agent.adapt(point(), updates=2)
    with pytest.raises(ValueError, match="has no updates, got 3"):
        agent.evaluate(updates=3)
    with pytest.raises(ValueError, match="episodes >= 0 with rl2, got -1"):
        agent.adapt(point(), episodes=-1)
    with pytest.raises(ValueError, match="at least 1 episode per trial, got 0"):
        agent.evaluate(episodes=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--algo", "rl3"], "unknown algo 'rl3'; did you mean 'rl2'"),
        (["--cell", "rnn"], "rnn"),
        (["--episodes", "0"], "--episodes must be at least 1, got 0"),
        (["--minibatches", "5"], "--minibatches must be at most --tasks, got 5"),
        (["--policy", "transformer", "--context", "9"], "a trial of 12 steps is longer"),
        (
            ["--policy", "transformer", "--context", "12", "--bootstrap-at-end"],
            "a trial of 13 steps is longer",
        ),
        (["--policy", "mlp"], "mlp"),
        (["--inner-lr", "0.1"], "inner-lr"),
        (["--preset", "finn2017"], "unknown preset 'finn2017'"),
        (["--preset", "varibad2020"], "preset 'varibad2020' has no point-nav"),
    ],
    ids=" ".join,
)
def test_a_mistake_ends_with_code_2_and_one_message(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything starts."""
    assert train(tmp_path / "run", *options) == 2
    captured = capsys.readouterr()
    assert message in captured.out + captured.err
    assert not (tmp_path / "run").exists()


def test_oracles_play_the_same_instances(tmp_path: Path) -> None:
    """Beside the agent's total reward; only for trials, and only where there are oracles."""
    train(tmp_path / "run", "--iterations", "1", "--episodes", "2", env="tabular-mdp")
    table = tmp_path / "table.json"
    options = ["--tasks", "20", "--oracles", "--threads", "1"]
    assert evaluate_metarl.main([str(tmp_path / "run"), *options, "--json", str(table)]) == 0
    data = json.loads(table.read_text())
    assert {"agent", "random", "PSRL", "value iteration"} < set(data["players"])
    total = sum(point["mean"] for point in data["curve"])
    assert data["players"]["agent"]["mean"] == pytest.approx(total, abs=1e-4)


def test_oracles_are_refused_where_there_are_none(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is evaluated: for another family, and for an agent of episodes apart."""
    capsys.readouterr()
    assert evaluate_metarl.main([str(run), "--oracles", "--tasks", "2", "--threads", "1"]) == 2
    captured = capsys.readouterr()
    assert "no oracles for point-nav" in captured.err
    assert not captured.out
    maml = ["--iterations", "1", "--episodes", "2", "--tasks", "2", "--threads", "1"]
    folder = str(tmp_path / "maml")
    train_metarl.main(["--env", "bandit-k5", "--run-dir", folder, *maml])
    assert evaluate_metarl.main([folder, "--oracles", "--tasks", "2", "--updates", "0"]) == 2
    assert "it needs a run of rl2" in capsys.readouterr().err


def test_a_transformer_is_trained_resumed_and_used(tmp_path: Path) -> None:
    """Bit for bit, with its cache for a memory, on several environments at different steps."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = ["--policy", "transformer", "--context", "20", "--lr-schedule", "constant"]
    train(whole, "--iterations", "2", *options)
    train(parts, "--iterations", "1", *options)
    assert train_metarl.main(["--resume", str(parts), "--iterations", "2"]) == 0
    one, other = (
        load_file(f / "checkpoints" / "000002" / "tensors.safetensors") for f in (whole, parts)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    agent = load_agent(whole)
    adapted = agent.adapt(point(), episodes=2)
    mean, _ = evaluate_policy(adapted, adapted.env(point()), n_eval_episodes=1, warn=False)
    both = DummyVecEnv([lambda: adapted.env(point())] * 2)
    returns, _ = evaluate_policy(
        adapted, both, n_eval_episodes=4, warn=False, return_episode_rewards=True
    )
    assert returns == pytest.approx([mean] * 4, abs=1e-5)
    with pytest.raises(ValueError, match="24 steps is longer than the transformer's context of 20"):
        agent.evaluate(episodes=4, tasks=2)


def test_an_episode_beyond_the_context_is_refused_on_any_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the transformer computes, which does not look on a GPU and would fail inside it."""
    options = ["--policy", "transformer", "--context", "20"]
    assert train(tmp_path / "run", "--iterations", "1", *options) == 0
    adapted = load_agent(tmp_path / "run").adapt(point(), episodes=1)
    monkeypatch.setattr("metarl.rl.transformer.require_context", lambda context, steps: None)
    env = adapted.env(point())
    obs, memory = env.reset(seed=0)[0], None
    for _ in range(14):  # after the 6 of the first episode
        memory = adapted.predict(obs, memory)[1]
    with pytest.raises(ValueError, match="a trial of 21 steps .* context of 20: .*--context 21"):
        adapted.predict(obs, memory)

"""From a run folder to actions on a new task."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import envs
from metarl import load_agent
from scripts import train_metarl


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = ["--iterations", "1", "--tasks", "2", "--episodes", "2", "--horizon", "8"]
    train_metarl.main(["--env", "point-nav", "--run-dir", str(folder), *options])
    return folder


def test_an_adapted_agent_serves_evaluate_policy(run: Path) -> None:
    """On a plain environment of the family, which keeps its task."""
    agent = load_agent(run)
    env = Monitor(gymnasium.make("metarl/PointNav-v0"))
    env.reset(options={"task": {"goal": [0.2, -0.1]}})
    adapted = agent.adapt(env, episodes=3)
    mean, _ = evaluate_policy(adapted, env, n_eval_episodes=2, warn=False)
    assert np.isfinite(mean)
    assert env.unwrapped.task == {"goal": [0.2, -0.1]}


def test_predictions_follow_the_protocol(run: Path) -> None:
    """One observation or a batch, deterministic or not, within the action space."""
    adapted = load_agent(run).adapt(gymnasium.make("metarl/PointNav-v0"), episodes=2, updates=2)
    obs = np.zeros((5, 2), dtype=np.float32)
    batch, state = adapted.predict(obs, deterministic=True)
    single, _ = adapted.predict(obs[0], deterministic=True)
    assert batch.shape == (5, 2)
    assert state is None
    np.testing.assert_allclose(single, batch[0], atol=1e-7)
    drawn, _ = adapted.predict(obs)
    assert (np.abs(drawn) <= np.float32(0.1)).all()
    assert np.ptp(drawn) > 0


def test_an_environment_with_other_spaces_is_refused(run: Path) -> None:
    """Both are named."""
    with pytest.raises(ValueError, match=r"point-nav.*\(2,\).*\(17,\)"):
        load_agent(run).adapt(gymnasium.make("metarl/HalfCheetahVel-v0"))
    assert envs.make_family("point-nav").name == "point-nav"

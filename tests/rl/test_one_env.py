"""One environment of a user's as a batch of one."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.experiment.seeding import rng
from metarl.rl.one_env import OneEnv
from metarl.rl.rollout import rollout


class Endless(gymnasium.Env[np.ndarray, np.ndarray]):
    """Counts its steps and never ends, but for `ends` and `cuts`; keeps the actions that it got."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-0.5, 0.5, (1,), np.float32)

    def __init__(self, ends: int = 0, cuts: int = 0) -> None:
        self.ends, self.cuts = ends, cuts
        self.resets = 0
        self.actions: list[np.ndarray] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.resets, self.t = self.resets + 1, 0
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> Any:
        self.t += 1
        self.actions.append(action)
        return np.full(1, self.t, np.float32), 2.0, self.t == self.ends, self.t == self.cuts, {}


def lived(one: OneEnv) -> list[tuple[float, float, bool, bool]]:
    """Observation, reward, terminated and truncated of every step of an episode."""
    steps = []
    one.reset({}, one.draw_noise(rng(0)).reset)
    for _ in range(10):
        obs, reward, terminated, truncated, _ = one.step(np.full((1, 1, 1), 9.0), None)
        steps.append((float(obs[0, 0, 0]), float(reward[0, 0]), bool(terminated), bool(truncated)))
        if terminated or truncated:
            return steps
    raise AssertionError("the episode never ended")


@pytest.mark.parametrize(
    ("env", "ends"),
    [
        (Endless(), (4, False, True)),
        (Endless(ends=2), (2, True, False)),
        (Endless(cuts=3), (3, False, True)),
        (Endless(ends=4), (4, True, True)),
    ],
    ids=["horizon", "terminated", "truncated", "both"],
)
def test_an_episode_ends_at_the_horizon_or_where_the_environment_says(
    env: Endless, ends: tuple[int, bool, bool]
) -> None:
    """An environment without a time limit is truncated there, in every episode."""
    one = OneEnv(env, horizon=4)
    for _ in range(2):
        steps = lived(one)
        assert [t for t, *_ in steps] == [*range(1, ends[0] + 1)]
        assert steps[-1][2:] == ends[1:]
        assert all(reward == 2.0 for _, reward, *_ in steps)
    assert all((action == 0.5).all() for action in env.actions)


def test_a_rollout_of_it_is_truncated_there() -> None:
    """Which its episodes say, and so does the value that follows."""
    env = Endless()
    algo = MamlTrpo(MamlTrpoConfig(hidden=(4,)), env.observation_space, env.action_space)
    learner = algo.learner(algo.init(0))
    episodes, _ = rollout(
        learner,
        learner.start(1),
        OneEnv(env, 3),
        {},
        rng(0),
        scaling=algo.scaling,
        device=algo.device,
    )
    assert episodes.truncated[0, 0].tolist() == [False, False, True]
    assert not episodes.terminated.any()
    assert float(episodes.final_obs) == 3.0
    torch.testing.assert_close(episodes.obs[0, 0, :, 0], torch.tensor([0.0, 1.0, 2.0]))

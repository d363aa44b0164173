"""Agents under the protocol of `metaworld.evaluation`, on environments that do as Meta-World's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest
import torch

from metarl import load_agent
from metarl.cli import evaluate as evaluate_metarl
from metarl.cli import train as train_metarl
from metarl.metaworld import MetaWorldAgent, gather, official_evaluation
from metarl.rl.data import Episodes, StepInput
from metarl.rl.evaluate import episode_returns
from metarl.rl.rollout import Action, ActionScaling, rollout
from metarl.tasks import make_engine, make_family, task_at
from metarl.tasks.trial import TrialEngine

FAMILY = make_family("point-nav", horizon=4)
# goals at one and two steps of +.1, and out of reach
TASKS = {"goal": np.array([[0.1, 0.0], [0.5, 0.5], [0.2, 0.0]])}
SCALING = ActionScaling.of(FAMILY.action_space, 1.0)
CPU = torch.device("cpu")


class Timestep(NamedTuple):
    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    aux_policy_outputs: dict[str, np.ndarray]


class Right:
    """Goes right; its memory counts its steps."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def start(self, num_tasks: int) -> Any:
        return (torch.zeros(num_tasks, 1),)

    def require_room(self, state: Any) -> None:
        """Any number of steps can be remembered."""

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.zeros(shape)

    def act(self, state: Any, inputs: StepInput, noise: torch.Tensor) -> tuple[Action, Any]:
        self.seen.append(inputs.obs[:, 0].numpy())
        action = torch.zeros(*inputs.obs.shape[:2], 2)
        action[..., 0] = 1.0
        return Action(action, {"mean": action, "log_std": torch.zeros_like(action)}), (
            state[0] + 1,
        )


class ShowsHistory(gymnasium.Wrapper):
    """As Meta-World's wrapper: what comes before is forgotten at the end of an episode."""

    def __init__(self, env: gymnasium.Env, scale: float = 1.0) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (6,))
        self.scale = scale

    def reset(self, **keywords: Any) -> Any:
        obs, info = self.env.reset(**keywords)
        return np.concatenate([obs, np.zeros(4)]).astype(np.float32), info

    def step(self, action: np.ndarray) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        shown = [*obs, *action, self.scale * reward, terminated or truncated]
        return np.array(shown, np.float32), reward, terminated, truncated, info


def parallel(wrap: Callable[[gymnasium.Env], gymnasium.Env]) -> gymnasium.vector.SyncVectorEnv:
    """One environment per task."""

    def make(i: int) -> gymnasium.Env:
        env = FAMILY.make()
        env.reset(options={"task": task_at(TASKS, i)})
        return wrap(env)

    mode = gymnasium.vector.AutoresetMode.SAME_STEP
    made = [lambda i=i: make(i) for i in range(3)]
    return gymnasium.vector.SyncVectorEnv(made, autoreset_mode=mode)


def adapt(agent: MetaWorldAgent, vector: gymnasium.vector.SyncVectorEnv, steps: int) -> np.ndarray:
    """What the protocol does before it evaluates; the observations after it."""
    obs, _ = vector.reset()
    for _ in range(steps):
        actions, told = agent.adapt_action(obs)
        following, *results, _ = vector.step(actions)
        agent.step(Timestep(obs, actions, *results, told))
        obs = following
    agent.adapt()
    return obs


def made(learner: Any, remembers: bool) -> MetaWorldAgent:
    return MetaWorldAgent(
        learner,
        FAMILY,
        np.random.default_rng(0),
        scaling=SCALING,
        device=CPU,
        remembers=remembers,
        deterministic=False,
    )


def test_a_memory_sees_what_it_sees_in_a_trial() -> None:
    """The last reward and done too, which the environments do not show at an episode's end."""
    agent = made(Right(), remembers=True)
    adapt(agent, parallel(ShowsHistory), 8)
    trial = TrialEngine(make_engine(FAMILY, 3, 1), 8)
    learner = Right()
    rng = np.random.default_rng(0)
    rollout(learner, learner.start(3), trial, TASKS, rng, scaling=SCALING, device=CPU)
    for protocol, own in zip(agent._learner.seen, learner.seen, strict=False):
        np.testing.assert_allclose(protocol, own, rtol=1e-6)


def test_every_episode_of_evaluation_starts_from_the_adapted_memory() -> None:
    """Where the mask says so, with the last step of adaptation before it; elsewhere it goes on."""
    agent = made(Right(), remembers=True)
    vector = parallel(ShowsHistory)
    adapt(agent, vector, 4)
    obs, _ = vector.reset()
    agent.reset(np.ones(3, bool))
    obs, reward, *_ = vector.step(agent.eval_action(obs))
    seen = agent._learner.seen
    np.testing.assert_array_equal(seen[-1][:, -1], 1.0)  # done
    agent.reset(np.array([True, False, False]))
    agent.eval_action(obs)
    assert agent._state[0][:, 0].tolist() == [5, 6, 6]
    np.testing.assert_array_equal(seen[-1][:, -1], [1, 0, 0])
    np.testing.assert_allclose(seen[-1][1:, -2], reward[1:], rtol=1e-6)
    assert seen[-1][0, -2] == seen[-2][0, -2]


def test_what_an_agent_is_shown_must_be_what_it_knows() -> None:
    """Previous rewards as they are, or nothing but observations."""
    with pytest.raises(ValueError, match="normalize_reward_in_recurrent_info=False"):
        adapt(made(Right(), remembers=True), parallel(lambda e: ShowsHistory(e, 0.1)), 2)
    with pytest.raises(ValueError, match="recurrent_info_in_obs=True"):
        adapt(made(Right(), remembers=True), parallel(lambda e: e), 1)
    with pytest.raises(ValueError, match="recurrent_info_in_obs=False"):
        adapt(made(Right(), remembers=False), parallel(ShowsHistory), 1)
    for remembers in (True, False):
        with pytest.raises(ValueError, match="at least one episode"):
            made(Right(), remembers=remembers).adapt()


def test_steps_become_the_episodes_that_they_were_taken_in() -> None:
    """Of different lengths and numbers; what follows the last whole one is left out."""
    seen: list[Timestep] = []
    agent = made(Right(), remembers=False)
    agent.adapt = lambda: None  # type: ignore[method-assign]
    adapt(agent, parallel(lambda e: e), 9)
    seen = agent._steps
    episodes = gather(seen, CPU)
    assert episodes.mask.sum(-1).tolist() == [[1] * 9, [4, 4, *[0] * 7], [2] * 4 + [0] * 5]
    assert episodes.terminated.sum((1, 2)).tolist() == [9, 0, 4]
    engine = make_engine(FAMILY, 3, 9)
    learner = Right()
    rng = np.random.default_rng(0)
    own, _ = rollout(learner, learner.start(3), engine, TASKS, rng, scaling=SCALING, device=CPU)
    lived = episodes.mask.any(-1)
    torch.testing.assert_close(
        episode_returns(episodes)[lived], episode_returns(own)[lived], rtol=1e-6, atol=1e-6
    )
    assert set(episodes.dist) == {"mean", "log_std"}
    with pytest.raises(ValueError, match="at least one episode"):
        gather(seen[:0] or [s._replace(terminated=s.terminated & False) for s in seen[:2]], CPU)


@pytest.mark.parametrize("algo", ["maml-trpo", "rl2"])
def test_a_trained_agent_speaks_the_protocol(algo: str, tmp_path: Path) -> None:
    """It adapts, and acts within the action space, sampling or not."""
    more = ["--minibatches", "1", "--hidden", "8"] if algo == "rl2" else []
    options = ["--algo", algo, "--tasks", "2", "--episodes", "2", "--horizon", "4", *more]
    run = ["--run-dir", str(tmp_path / "run"), "--iterations", "1"]
    train_metarl.main(["--env", "point-nav", *run, *options])
    trained = load_agent(tmp_path / "run")
    agent = trained.metaworld(deterministic=True)
    vector = parallel(ShowsHistory if agent.remembers else lambda e: e)
    agent.init()
    obs = adapt(agent, vector, 8)
    agent.reset(np.ones(3, bool))
    one = agent.eval_action(obs)
    agent.reset(np.ones(3, bool))
    np.testing.assert_array_equal(one, agent.eval_action(obs))
    assert vector.action_space.contains(one)
    with pytest.raises(ValueError, match="point-nav is none of Meta-World's families"):
        official_evaluation(agent, trained.family)
    assert evaluate_metarl.main([str(tmp_path / "run"), "--metaworld"]) == 2


def test_an_agent_that_looks_beyond_the_horizon_is_refused(tmp_path: Path) -> None:
    """The protocol does not show the observation there."""
    options = ["--tasks", "2", "--episodes", "2", "--horizon", "4", "--bootstrap-at-horizon"]
    run = ["--run-dir", str(tmp_path / "run"), "--iterations", "1"]
    train_metarl.main(["--env", "point-nav", *run, *options])
    with pytest.raises(ValueError, match="--bootstrap-at-horizon"):
        load_agent(tmp_path / "run").metaworld()


class Learning(Right):
    """Remembers what it was to learn from."""

    def adapt(self, state: Any, episodes: Episodes) -> Any:
        self.episodes = episodes
        return state


def test_a_protocol_may_use_its_arrays_again() -> None:
    """What is learned from are the steps as they were told."""

    def learned(spoil: bool) -> Episodes:
        agent, vector = made(Learning(), remembers=False), parallel(lambda env: env)
        obs, _ = vector.reset()
        for _ in range(4):
            actions, told = agent.adapt_action(obs)
            following, *results, _ = vector.step(actions)
            agent.step(Timestep(obs, actions, *results, told))
            if spoil:
                for array in (obs, actions, *results, *told.values()):
                    array[...] = 0
            obs = following
        agent.adapt()
        found: Episodes = agent._learner.episodes
        return found

    spoilt, kept = learned(True), learned(False)
    assert kept.reward.any()
    for name in ("obs", "action", "reward", "mask", "terminated", "truncated"):
        assert torch.equal(getattr(spoilt, name), getattr(kept, name)), name

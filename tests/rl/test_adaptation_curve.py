"""How learners are measured: with a fake one, that keeps all it is given, and frozen statistics."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.maml_trpo.wiring import MamlTrpoMethod
from metarl.algorithms.rl2.algorithm import Rl2
from metarl.algorithms.rl2.config import Rl2Config
from metarl.algorithms.rl2.wiring import Rl2Method
from metarl.experiment.seeding import rng
from metarl.protocols import EvalOptions
from metarl.rl.data import BatchedEnv, Episodes, StepInput
from metarl.rl.evaluate import adaptation_curve
from metarl.rl.rollout import Action, ActionScaling, rollout
from metarl.tasks import make_engine, make_family
from metarl.tasks.trial import TrialEngine

FAMILY = make_family("point-nav", horizon=4)
SCALING = ActionScaling.of(FAMILY.action_space, 1.0)
CPU = torch.device("cpu")
T, E = 3, 2
TASKS = FAMILY.split("test").sample(T, 0)


class Learnt(NamedTuple):
    """All episodes that a fake learner has learnt from, in order."""

    episodes: tuple[Episodes, ...] = ()
    phi: Any = None


@dataclass
class FakeLearner:
    """An algorithm, and its learner: it acts by its noise alone."""

    config: Rl2Config = field(default_factory=Rl2Config)
    scaling: ActionScaling = SCALING
    device: torch.device = CPU
    workers: None = None
    acted: list[Learnt] = field(default_factory=list)  # the state of every step
    noises: list[Tensor] = field(default_factory=list)  # of every phase, [H, T, E, A]
    starts: int = 0

    def learner(self, state: Any) -> Self:
        return self

    def policy(self, state: Any) -> None:
        return None

    def start(self, num_tasks: int) -> Learnt:
        self.starts += 1
        return Learnt()

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
        self.noises.append(torch.from_numpy(rng.normal(size=(*shape, 2))).float())
        return self.noises[-1]

    def act(self, state: Learnt, inputs: StepInput, noise: Tensor) -> tuple[Action, Learnt]:
        self.acted.append(state)
        return Action(0.1 * noise, {}), state

    def adapt(self, state: Learnt, episodes: Episodes) -> Learnt:
        return Learnt((*state.episodes, episodes))


def make(num_tasks: int, num_episodes: int) -> BatchedEnv:
    return make_engine(FAMILY, num_tasks, num_episodes)


def require_a_chain(learner: FakeLearner, updates: int) -> None:
    """Each update goes on from the one before, and learns from what measured that one."""
    assert learner.starts == 1
    phases = [state.episodes for state in learner.acted[:: FAMILY.horizon]]
    assert [len(learnt) for learnt in phases] == [*range(updates + 1)]
    for learnt in phases:
        for one, last, noise in zip(learnt, phases[-1], learner.noises, strict=False):
            assert one is last
            torch.testing.assert_close(one.action, 0.1 * noise.permute(1, 2, 0, 3))


def require_fresh(noises: list[Tensor]) -> None:
    """No two phases, tasks or episodes share their noise."""
    rows = [row.numpy().tobytes() for noise in noises for row in noise.flatten(1, 2).unbind(1)]
    assert len(set(rows)) == len(rows)


def test_every_update_goes_on_from_the_one_before_with_fresh_noise() -> None:
    """It learns from the episodes that measured the policy before it, and from no others."""
    learner = FakeLearner()
    outcome = adaptation_curve(
        learner,
        make(T, E),
        TASKS,
        updates=3,
        rng_for=lambda k: rng(0, k),
        scaling=SCALING,
        device=CPU,
    )
    require_a_chain(learner, 3)
    require_fresh(learner.noises)
    returns = [episodes.reward.sum(-1).mean(-1) for episodes in learner.acted[-1].episodes]
    assert outcome.returns.shape == (4, T)
    np.testing.assert_allclose(outcome.returns[:3], torch.stack(returns), rtol=1e-6)


def test_maml_is_evaluated_by_a_chain_of_updates_on_fresh_episodes() -> None:
    """As many as are asked for; another seed has other noise."""
    firsts = []
    for seed in (0, 1):
        learner = FakeLearner()
        outcome = MamlTrpoMethod().outcome(learner, None, make, EvalOptions(TASKS, T, 2, E, seed))
        assert outcome.returns.shape == (3, T)
        require_a_chain(learner, 2)
        require_fresh(learner.noises)
        assert learner.noises[0].shape == (FAMILY.horizon, T, E, 2)
        firsts.append(learner.noises[0])
    assert not torch.equal(*firsts)


def test_rl2_is_evaluated_on_fresh_trials_whatever_its_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each part of the tasks starts with an empty memory and has noise of its own."""
    monkeypatch.setattr("metarl.algorithms.rl2.wiring._CHUNK", 2)
    learner = FakeLearner()
    tasks = FAMILY.split("test").sample(4, 0)
    outcome = Rl2Method().outcome(learner, None, make, EvalOptions(tasks, 4, None, 5, 0))
    assert outcome.returns.shape == (5, 4)
    assert [noise.shape for noise in learner.noises] == [(20, 2, 1, 2)] * 2
    assert learner.starts == 2
    require_fresh(learner.noises)


class Seeds(gymnasium.Wrapper[np.ndarray, Any, np.ndarray, Any]):
    """An environment that keeps the seeds of its resets."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.seeds.append(seed)
        return super().reset(seed=seed, options=options)


def test_a_users_adaptation_is_a_chain_of_updates_on_fresh_episodes() -> None:
    """Of as many episodes as are asked for, each reset with a seed of its own."""
    learner, env = FakeLearner(), Seeds(FAMILY.make())
    adapted = MamlTrpoMethod().adapt(learner, None, FAMILY, env, episodes=3, updates=2, seed=0)
    assert adapted is not None
    phases = [state.episodes for state in learner.acted[:: FAMILY.horizon]]
    assert [len(learnt) for learnt in phases] == [0, 0, 0, 1, 1, 1]
    assert learner.starts == 1
    require_fresh(learner.noises)
    assert len(set(env.seeds)) == len(env.seeds) == 6
    (learnt,) = phases[-1]
    noise = torch.cat(learner.noises[:3], 2).permute(1, 2, 0, 3)
    torch.testing.assert_close(learnt.action, 0.1 * noise)


def test_an_evaluation_of_maml_leaves_the_statistics_of_observations() -> None:
    """All updates see what training normalised by, though the observations lie elsewhere."""
    config = MamlTrpoConfig(tasks=T, episodes=E, hidden=(8,), normalize_observations=True)
    algo = MamlTrpo(config, FAMILY.observation_space, FAMILY.action_space)
    state, _ = algo.iteration(algo.init(0), make(T, E), TASKS, lambda k: rng(1, k))
    kept = {name: p.clone() for name, p in state.tensors().items()}
    mean, var = (state.normalizer[name].float() for name in ("mean", "var"))
    learner, env = algo.learner(state), Far(make(T, E))
    adapting = learner.start(T)
    for k in range(3):
        episodes, _ = rollout(learner, adapting, env, TASKS, rng(2, k), scaling=SCALING, device=CPU)
        seen = ((episodes.obs - mean) / (var + 1e-8).sqrt()).clamp(-10, 10)
        dist = algo._policy.distribution(adapting.phi, seen)
        torch.testing.assert_close(episodes.dist["mean"], dist["mean"], rtol=1e-4, atol=1e-5)
        adapting = learner.adapt(adapting, episodes)
    assert all(torch.equal(p, kept[name]) for name, p in state.tensors().items())


def test_an_evaluation_of_rl2_leaves_the_statistics_of_observations() -> None:
    """Every step of a trial sees what training normalised by."""
    config = Rl2Config(tasks=T, hidden=8, minibatches=1, normalize_observations=True)
    trial = TrialEngine(Far(make(T, 1)), 2)
    algo = Rl2(config, trial.observation_space, trial.action_space)
    state, _ = algo.iteration(algo.init(0), TrialEngine(make(T, 1), 2), TASKS, lambda k: rng(1, k))
    kept = {name: p.clone() for name, p in state.tensors().items()}
    learner = algo.learner(state)
    mean, var = (state.normalizer[name].float() for name in ("mean", "var"))
    for k in range(2):
        trials, _ = rollout(
            learner, learner.start(T), trial, TASKS, rng(2, k), scaling=SCALING, device=CPU
        )
        views = trials.obs[:, 0].transpose(0, 1)
        seen = ((views[..., :2] - mean) / (var + 1e-8).sqrt()).clamp(-10, 10)
        views = torch.cat([seen, views[..., 2:]], -1)
        out = algo.policy.unroll(state.params, views, algo.policy.start(T, CPU))
        means = trials.dist["mean"][:, 0].transpose(0, 1)
        torch.testing.assert_close(means, out.dist["mean"], rtol=1e-4, atol=1e-5)
    assert all(torch.equal(p, kept[name]) for name, p in state.tensors().items())


class Far:
    """An engine whose observations lie elsewhere than those of training."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def reset(self, tasks: Any, noise: Any, mask: Any = None) -> np.ndarray:
        return self._moved(self._engine.reset(tasks, noise, mask))

    def step(self, action: Any, noise: Any) -> Any:
        found = self._engine.step(action, noise)
        return found._replace(obs=self._moved(found.obs))

    def _moved(self, obs: np.ndarray) -> np.ndarray:
        return (2 * obs + 0.3).astype(np.float32)

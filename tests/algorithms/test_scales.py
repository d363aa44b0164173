"""Scales, bounds and clips by hand, and which statistics an iteration uses, of both algorithms."""

from typing import Any

import numpy as np
import pytest
import torch

from metarl.algorithms.registry import METHODS
from metarl.algorithms.rl2.algorithm import Rl2
from metarl.algorithms.rl2.state import Rl2State
from metarl.experiment.seeding import rng
from metarl.rl.data import PolicyBatch
from metarl.rl.trials import Trials, collect_trials
from metarl.runs import engine_maker
from metarl.tasks import make_family

FAMILY = make_family("point-nav", horizon=5)
HALF_RANGE = 0.1  # of point-nav's actuators
SIZES: dict[str, dict[str, Any]] = {
    "maml-trpo": {"tasks": 20, "episodes": 10, "output_gain": 1e-3},
    "rl2": {"tasks": 100, "episodes": 4},
}


class Watched:
    """An engine that keeps the actions that it is given."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.actions: list[np.ndarray] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def step(self, action: Any, noise: Any) -> Any:
        self.actions.append(action)
        return self._engine.step(action, noise)


def built(algo: str, **options: Any) -> tuple[Any, Any, list[Watched]]:
    """The algorithm, what it trains on, and the engines below that."""
    method, engines = METHODS[algo], []

    def make(num_tasks: int, num_episodes: int) -> Any:
        engines.append(Watched(engine_maker(FAMILY, "auto", 1)(num_tasks, num_episodes)))
        return engines[-1]

    config = method.config(**options)
    algorithm: Any = method.build(config, FAMILY, device="cpu", threads=1, compiled=False)
    return algorithm, method.make_env(config, make), engines


@pytest.mark.parametrize("algo", METHODS)
@pytest.mark.parametrize(
    ("options", "std"),
    [
        ({"initial_std": 0.4, "action_scale": 0.25}, 0.4 * 0.25),
        ({"initial_std": 1e-4, "min_std": 0.3}, 0.3),
        ({"initial_std": 0.4}, 0.4),
    ],
    ids=["action scale", "lower bound of σ", "plain"],
)
def test_actions_spread_by_sigma_times_the_action_scale_of_half_the_range(
    algo: str, options: dict[str, Any], std: float
) -> None:
    """As the environment receives them, and σ is never below its bound."""
    algorithm, env, (engine,) = built(algo, **SIZES[algo], **options)
    tasks = FAMILY.split("train").sample(env.num_tasks, 0)
    algorithm.iteration(algorithm.init(0), env, tasks, lambda k: rng(0, k))
    first = np.concatenate([actions.ravel() for actions in engine.actions[: FAMILY.horizon]])
    assert first.std() == pytest.approx(std * HALF_RANGE, rel=0.06)
    assert abs(first.mean()) < 0.1 * first.std()


def rl2(**options: Any) -> tuple[Rl2, Rl2State, Trials, int]:
    """An agent, its first state and its trials."""
    defaults = {"tasks": 50, "hidden": 8, "minibatches": 1, "epochs": 1}
    algorithm, env, _ = built("rl2", **defaults | options)
    state = algorithm.init(0)
    tasks = FAMILY.split("train").sample(env.num_tasks, 0)
    trials = collect_trials(
        algorithm.learner(state),
        env,
        tasks,
        rng(0),
        scaling=algorithm.scaling,
        device=algorithm.device,
    )
    return algorithm, state, trials, env.horizon


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_the_critics_targets_are_lambda_returns(lam: float) -> None:
    """G_t = r_t + γ ((1 − λ) V_{t+1} + λ G_{t+1}), and zero after the trial's end."""
    gamma = 0.9
    algorithm, state, trials, horizon = rl2(
        gae_lambda=lam, discount=gamma, normalize_rewards=False, tasks=4
    )
    trials = trials._replace(value=trials.value + torch.arange(horizon).unsqueeze(1) % 3)
    batch, *_ = algorithm.batch(trials, state, horizon)
    following, value = torch.zeros(4), torch.zeros(4)
    for t in reversed(range(horizon)):
        following = trials.reward[t] + gamma * ((1 - lam) * value + lam * following)
        torch.testing.assert_close(batch.target[t], following)
        value = trials.value[t]
    advantage = batch.target - trials.value
    standard = (advantage - advantage.mean()) / advantage.std(correction=0)
    torch.testing.assert_close(batch.advantage, standard, rtol=1e-4, atol=1e-5)


def test_rewards_are_clipped_to_ten_standard_deviations_of_returns() -> None:
    """One reward among 500 is √500 of them; the others are what they are."""
    algorithm, state, trials, horizon = rl2(discount=0.0, gae_lambda=0.0)
    reward = torch.zeros_like(trials.reward)
    reward[3, 7], reward[4, 8] = 1000.0, -1.0
    trials = trials._replace(reward=reward, value=torch.zeros_like(reward))
    target = algorithm.batch(trials, state, horizon)[0].target
    deviation = float(reward[trials.mask].double().std(correction=0))
    assert 1000 / deviation > 20
    assert float(target[3, 7]) == pytest.approx(10.0)
    assert float(target[4, 8]) == pytest.approx(-1.0 / deviation, rel=1e-4)
    assert float(target.abs().sum()) == pytest.approx(10.0 + 1.0 / deviation, rel=1e-4)


def test_gradients_are_scaled_down_to_their_greatest_norm() -> None:
    """Adam's first moment is a tenth of the first gradient; a shorter one stays as it is."""
    for greatest in (1e-3, 1e3):
        algorithm, state, trials, horizon = rl2(max_grad_norm=greatest)
        batch, *_ = algorithm.batch(trials, state, horizon)
        after, metrics = algorithm.ppo.update(state, batch, rng(0))
        norm = torch.cat([p.flatten() for p in after.first.values()]).norm()
        assert 1e-3 < metrics["ppo/grad_norm"] < 1e3
        expected = 0.1 * min(greatest, metrics["ppo/grad_norm"])
        assert float(norm) == pytest.approx(expected, rel=1e-2)


def test_rl2_learns_from_the_observations_that_it_acted_on() -> None:
    """Statistics are updated after their use: before the first step all ratios are 1."""
    algorithm, env, _ = built("rl2", tasks=8, hidden=8, minibatches=2, normalize_observations=True)
    state = algorithm.init(0)
    for i in range(3):
        tasks = FAMILY.split("train").sample(8, 0, i)
        seen: list[Any] = []
        gradient = algorithm.ppo.gradient

        def kept(params: Any, batch: Any, weight: float, seen: Any = seen) -> Any:
            found = gradient(params, batch, weight)  # noqa: B023
            seen.append(found[1])
            return found

        algorithm.ppo.gradient = kept
        before = state
        state, _ = algorithm.iteration(state, env, tasks, lambda k, i=i: rng(0, i, k))
        algorithm.ppo.gradient = gradient
        assert float(seen[0].approx_kl) == pytest.approx(0.0, abs=1e-6)
        assert float(seen[0].clipped) == 0.0
        assert state.normalizer["count"] > before.normalizer["count"]


def test_maml_learns_from_the_observations_that_it_acted_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In every phase of an iteration: what acted is what its losses see."""
    options = {"tasks": 3, "episodes": 4, "hidden": (8,), "inner_steps": 2}
    algorithm, env, _ = built("maml-trpo", **options, normalize_observations=True)
    state = algorithm.init(0)
    checked: list[PolicyBatch] = []
    for i in range(2):
        tasks = FAMILY.split("train").sample(3, 0, i)
        objective = algorithm.objective(state, 3)
        set_outer = objective.set_outer

        def kept(batch: PolicyBatch, objective: Any = objective, also: Any = set_outer) -> None:
            dist = algorithm._policy.distribution(objective.phi, batch.obs)
            torch.testing.assert_close(dist["mean"], batch.dist["mean"], rtol=1e-4, atol=1e-5)
            checked.append(batch)
            also(batch)

        objective.set_outer = kept
        monkeypatch.setattr(algorithm, "objective", lambda *_, objective=objective: objective)
        state, _ = algorithm.iteration(state, env, tasks, lambda k, i=i: rng(0, i, k))
        monkeypatch.undo()
    assert len(checked) == 6
    assert state.normalizer["count"] == sum(int(batch.mask.sum()) for batch in checked)

"""One meta-iteration of MAML-TRPO."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.maml_trpo.objective import MetaObjective, Setting
from metarl.algorithms.maml_trpo.state import MetaState
from metarl.core.mapping import Workers
from metarl.core.params import flatten
from metarl.experiment.seeding import rng
from metarl.rl.data import PolicyBatch
from metarl.rl.returns import normalize_advantages
from metarl.rl.rollout import NonFiniteError, rollout
from metarl.tasks import make_engine, make_family

CONFIG = MamlTrpoConfig(tasks=3, episodes=4, hidden=(8,), inner_lr=0.5)
FAMILY = make_family("point-nav", horizon=10)


def algorithm(config: MamlTrpoConfig = CONFIG, threads: int = 1) -> MamlTrpo:
    spaces = FAMILY.observation_space, FAMILY.action_space
    return MamlTrpo(config, *spaces, threads=threads)


def iterate(config: MamlTrpoConfig = CONFIG, threads: int = 1) -> tuple[MetaState, dict]:
    algo = algorithm(config, threads)
    env = make_engine(FAMILY, config.tasks, config.episodes)
    tasks = FAMILY.split("train").sample(config.tasks, 0)
    return algo.iteration(algo.init(0), env, tasks, lambda k: rng(0, k))


def vector(state: MetaState) -> torch.Tensor:
    return flatten(state.tensors())


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"inner_steps": 2},
        {"inner_steps": 2, "multi_step_loss": True, "inner_lr_decay": 0.5},
        {"inner_steps": 0},
        {"first_order": True},
        {"learn_inner_lr": True},
        {"inner_loss": "dice"},
        {"inner_loss": "log-likelihood"},
        {"inner_advantage_clip": 1.0},
        {"bootstrap_at_horizon": True},
        {"normalize_observations": True},
    ],
    ids=str,
)
def test_every_variant_steps_within_its_trust_region(change: dict) -> None:
    """The surrogate falls, the KL bound holds, and the parameters move."""
    config = replace(CONFIG, **change)
    state, metrics = iterate(config)
    assert metrics["outer/accepted"] == 1.0
    assert 0 < metrics["outer/kl"] <= config.max_kl
    assert metrics["outer/surrogate_gain"] > 0
    start = algorithm(config).init(0)
    assert not torch.equal(flatten(state.theta), flatten(start.theta))
    moved = not torch.equal(flatten(state.rates), flatten(start.rates))
    assert moved == config.learn_inner_lr


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    """Parameters and every metric that is not a time."""
    (one, a), (two, b) = iterate(threads=1), iterate(threads=2)
    assert torch.equal(vector(one), vector(two))
    assert {k: v for k, v in a.items() if k[:4] != "time"} == {
        k: v for k, v in b.items() if k[:4] != "time"
    }


def collected(
    algo: MamlTrpo,
    state: MetaState,
    order: list[int],
    stacked: bool = False,
    traced: bool = False,
    compiled: bool = False,
) -> MetaObjective:
    """Data of the same three tasks, in any order and number."""
    env = make_engine(FAMILY, 3, 4)
    tasks = FAMILY.split("train").sample(3, 0)
    setting = Setting(algo.losses, learn_rates=algo.config.learn_inner_lr, stacked=stacked)
    if traced:
        setting = setting.traced(compiled=compiled)
    objective = MetaObjective(state, len(order), setting, Workers(1))
    learner = algo.learner(state)
    phi = learner.start(3)
    for k in range(2):
        episodes, _ = rollout(
            learner, phi, env, tasks, rng(0, k), scaling=algo.scaling, device=algo.device
        )
        phi = learner.adapt(phi, episodes)
        batch, _ = algo.batch(state, episodes)
        chosen = type(batch)(
            *(
                {k: v[order] for k, v in f.items()} if isinstance(f, dict) else f[order]
                for f in batch
            )
        )
        if k == 0:
            objective.inner_step(chosen)
        else:
            objective.set_outer(chosen)
    return objective


@pytest.mark.parametrize("order", [[2, 0, 1], [0, 1, 2, 0, 1, 2]], ids=["permuted", "doubled"])
def test_the_order_and_the_number_of_copies_of_tasks_do_not_matter(order: list[int]) -> None:
    """Gradient and Fisher product are means over tasks."""
    algo = algorithm()
    state = algo.init(0)
    plain = collected(algo, state, [0, 1, 2])
    other = collected(algo, state, order)
    gradient, expected = other.start()[1], plain.start()[1]
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(other.fisher(expected), plain.fisher(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("learn", [False, True], ids=["fixed rates", "learned rates"])
@pytest.mark.parametrize("stacked", [False, True], ids=["one at a time", "stacked"])
@pytest.mark.parametrize("traced", [False, True], ids=["kept graphs", "traced"])
def test_every_way_of_computing_gives_the_same(learn: bool, stacked: bool, traced: bool) -> None:
    """Gradient, Fisher product and a candidate's surrogate and KL."""
    algo = algorithm(replace(CONFIG, learn_inner_lr=learn))
    state = algo.init(0)
    loop = collected(algo, state, [0, 1, 2])
    other = collected(algo, state, [0, 1, 2], stacked, traced)
    (value, gradient), (value_o, gradient_o) = loop.start(), other.start()
    assert value_o == pytest.approx(value, abs=1e-6)
    torch.testing.assert_close(gradient_o, gradient, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(other.fisher(gradient), loop.fisher(gradient), rtol=1e-4, atol=1e-6)
    there = loop.vector() - 0.1 * gradient
    assert other.evaluate(there) == pytest.approx(loop.evaluate(there), rel=1e-3, abs=1e-6)


def test_what_is_compiled_gives_what_is_not() -> None:
    """To rounding: the Fisher product of the gradient, and a candidate's surrogate and KL."""
    algo = algorithm()
    plain = collected(algo, algo.init(0), [0, 1, 2])
    fast = collected(algo, algo.init(0), [0, 1, 2], traced=True, compiled=True)
    v = plain.start()[1]
    torch.testing.assert_close(fast.fisher(v), plain.fisher(v), rtol=1e-4, atol=1e-6)
    there = plain.vector() - 0.1 * v
    assert fast.evaluate(there) == pytest.approx(plain.evaluate(there), rel=1e-3, abs=1e-6)


def test_updates_beyond_those_of_training_are_shorter() -> None:
    """By the factor of the configuration, on the same episodes."""
    algo = algorithm(replace(CONFIG, later_inner_lr=0.25))
    learner = algo.learner(algo.init(0))
    env, tasks = make_engine(FAMILY, 3, 4), FAMILY.split("train").sample(3, 0)
    start = learner.start(3)
    episodes, _ = rollout(
        learner, start, env, tasks, rng(0), scaling=algo.scaling, device=algo.device
    )
    first = learner.adapt(start, episodes)
    later = learner.adapt(start._replace(updates=1), episodes)
    assert (first.updates, later.updates) == (1, 2)
    for name, p in start.phi.items():
        torch.testing.assert_close(later.phi[name] - p, 0.25 * (first.phi[name] - p))


def test_adaptation_alone_learns_from_clipped_advantages() -> None:
    """Outliers lose weight to the others; the mean stays 0, the variance 1, and padding 0."""
    advantage = torch.tensor([[[-1.0, 0.0, 1.0, 0.0, 6.0], [-2.0, 1.0, 0.0, 1.0, 9.0]]])
    mask = torch.tensor([[[True] * 5, [True] * 4 + [False]]])
    zeros = torch.zeros(1, 2, 5, 2)
    batch = PolicyBatch(zeros, zeros, normalize_advantages(advantage, mask), mask, {})
    algo = algorithm(replace(CONFIG, inner_advantage_clip=1.0))
    learnt = algo.inner(batch, 0).advantage
    highest = batch.advantage[mask].max()
    assert highest > 2
    by_hand = batch.advantage.clamp(-1, 1)[mask]
    by_hand = (by_hand - by_hand.mean()) / by_hand.std(correction=0)
    torch.testing.assert_close(learnt[mask], by_hand)
    assert learnt[mask].max() < highest
    assert learnt[0, 1, 4] == 0
    assert batch.advantage[mask].max() == highest  # what the outer step learns from
    assert torch.equal(algorithm().inner(batch, 0).advantage, batch.advantage)


def test_at_the_start_candidates_equal_what_was_sampled() -> None:
    """Re-adapting from θ_old on the same data: KL 0 and the surrogate of the start."""
    algo = algorithm()
    objective = collected(algo, algo.init(0), [0, 1, 2])
    trial = objective.evaluate(objective.vector())
    assert trial.kl == pytest.approx(0.0, abs=1e-9)
    assert trial.surrogate == pytest.approx(objective.start()[0], abs=1e-7)


def test_the_fisher_product_equals_the_hessian_of_the_kl_by_differences() -> None:
    """Along the gradient, from the candidates' own KL: KL(θ + εv) ≈ ½ ε² vᵀ(JᵀFJ)v."""
    algo = algorithm()
    objective = collected(algo, algo.init(0), [0, 1, 2])
    v = objective.start()[1]
    v = v / v.norm()
    expected = torch.dot(v, objective.fisher(v)).item()
    eps = 3e-2
    pair = [objective.evaluate(objective.vector() + s * eps * v).kl for s in (1, -1)]
    assert sum(pair) / eps**2 == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"inner_steps": 2},
        {"inner_steps": 2, "multi_step_loss": True, "inner_lr_decay": 0.5},
        {"learn_inner_lr": True},
        {"inner_loss": "log-likelihood"},
    ],
    ids=str,
)
def test_the_meta_gradient_equals_finite_differences(change: dict) -> None:
    """Of the surrogate after adaptation, in float64, with a policy's own losses and data.

    DiCE's derivatives are right in expectation only: its value on given data does not have them.
    """
    algo = algorithm(replace(CONFIG, **change))
    objective = exact_objective(algo)
    gradient = objective.start()[1]
    start, eps = objective.vector(), 1e-5
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        v = torch.randn(len(start), generator=generator, dtype=torch.float64)
        there, back = (objective.evaluate(start + s * eps * v).surrogate for s in (1, -1))
        assert (there - back) / (2 * eps) == pytest.approx(torch.dot(gradient, v).item(), rel=1e-6)


def exact_objective(algo: MamlTrpo) -> Any:
    """The outer problem of an iteration in float64."""
    first = algo.init(0)
    state = MetaState.from_tensors({k: p.double() for k, p in first.tensors().items()})
    objective = algo.objective(state, 3)
    env, tasks = make_engine(FAMILY, 3, 4), FAMILY.split("train").sample(3, 0)
    learner, adapted = algo.learner(first), algo.learner(first).start(3)
    steps = algo.config.inner_steps
    for k in range(steps + 1):
        episodes, _ = rollout(
            learner, adapted, env, tasks, rng(0, k), scaling=algo.scaling, device=algo.device
        )
        batch = algo.batch(first, episodes)[0]
        batch = PolicyBatch(
            batch.obs.double(),
            batch.action.double(),
            batch.advantage.double(),
            batch.mask,
            {name: p.double() for name, p in batch.dist.items()},
        )
        objective.set_outer(batch)
        if k < steps:
            objective.inner_step(algo.inner(batch, k))
            adapted = learner.adapt(adapted, episodes)
    return objective


def test_what_sampled_is_recomputed_bit_for_bit() -> None:
    """φ of the episodes, and φ that the outer step differentiates."""
    algo = algorithm()
    state = algo.init(0)
    learner, env = algo.learner(state), make_engine(FAMILY, 3, 4)
    start, tasks = learner.start(3), FAMILY.split("train").sample(3, 0)
    episodes, _ = rollout(
        learner, start, env, tasks, rng(0), scaling=algo.scaling, device=algo.device
    )
    sampling = learner.adapt(start, episodes).phi
    recomputed = algo.objective(state, 3).inner_step(algo.batch(state, episodes)[0])
    assert all(torch.equal(sampling[name], p) for name, p in recomputed.items())


@pytest.mark.parametrize("lost", ["gradient", "product"])
def test_an_update_that_is_not_finite_leaves_the_state_and_is_counted(
    lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the gradient is lost, or a Fisher product."""
    start, fisher = MetaObjective.start, MetaObjective.fisher

    def broken_start(self: MetaObjective) -> tuple[float, torch.Tensor]:
        loss, gradient = start(self)
        return loss, torch.nan * gradient

    if lost == "gradient":
        monkeypatch.setattr(MetaObjective, "start", broken_start)
    else:
        monkeypatch.setattr(MetaObjective, "fisher", lambda self, v: torch.nan * fisher(self, v))
    algo, env = algorithm(), make_engine(FAMILY, 3, 4)
    state, tasks = algo.init(0), FAMILY.split("train").sample(3, 0)
    after, metrics = algo.iteration(state, env, tasks, lambda k: rng(0, k))
    assert after is state
    assert (metrics["outer/non_finite"], metrics["outer/accepted"]) == (1.0, 0.0)


def test_a_gradient_of_zero_is_finite_and_leaves_the_state() -> None:
    """As that of a single step, whose advantage is zero."""
    family = make_family("point-nav", horizon=1)
    config = replace(CONFIG, tasks=1, episodes=1)
    algo, env = algorithm(config), make_engine(family, 1, 1)
    state, tasks = algo.init(0), family.split("train").sample(1, 0)
    after, metrics = algo.iteration(state, env, tasks, lambda k: rng(0, k))
    assert after is state
    names = ("zero_gradient", "non_finite", "accepted", "kl")
    assert [metrics[f"outer/{name}"] for name in names] == [1.0, 0.0, 0.0, 0.0]
    assert iterate()[1]["outer/zero_gradient"] == 0.0


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_the_norm_of_inner_gradients_has_no_factor_on_the_rates(decay: float) -> None:
    """It is that of each step's loss where the step starts, whatever α is multiplied by."""
    config = replace(CONFIG, inner_steps=2, inner_lr_decay=decay)
    algo, env = algorithm(config), make_engine(FAMILY, 3, 4)
    state, tasks = algo.init(0), FAMILY.split("train").sample(3, 0)
    learner = algo.learner(state)
    adapted, norms = learner.start(3), []
    for k in range(2):
        episodes, _ = rollout(
            learner, adapted, env, tasks, rng(0, k), scaling=algo.scaling, device=algo.device
        )
        batch, _ = algo.batch(state, episodes)
        gradient = torch.func.vmap(torch.func.grad(algo.losses.inner))(adapted.phi, batch)
        norms += [flatten({n: p[t] for n, p in gradient.items()}).norm() for t in range(3)]
        adapted = learner.adapt(adapted, episodes)
    _, metrics = algo.iteration(state, env, tasks, lambda k: rng(0, k))
    assert metrics["inner/grad_norm"] == pytest.approx(float(np.mean(norms)), rel=1e-4)


def test_an_inner_step_that_goes_too_far_is_not_the_environments_fault() -> None:
    """The message says who is to blame, with task, episode and step."""
    with pytest.raises(NonFiniteError, match=r"the agent took an action .*task 0 .*step 0"):
        iterate(replace(CONFIG, inner_lr=1e30, inner_steps=2))


def test_a_rejected_step_returns_the_same_object() -> None:
    """A trust region that nothing can meet leaves the state as it was."""
    algo = algorithm(replace(CONFIG, line_search_steps=1, max_kl=1e6))
    env = make_engine(FAMILY, 3, 4)
    state = algo.init(0)
    tasks = FAMILY.split("train").sample(3, 0)
    after, metrics = algo.iteration(state, env, tasks, lambda k: rng(0, k))
    assert metrics["outer/accepted"] == 0.0
    assert after is state


def test_the_trust_region_shrinks_to_nothing_over_all_iterations() -> None:
    """With a linear schedule; the first step is that of a constant one."""
    algo = algorithm(replace(CONFIG, iterations=4, kl_schedule="linear"))
    env = make_engine(FAMILY, 3, 4)
    tasks = FAMILY.split("train").sample(3, 0)
    state, bounds = algo.init(0), []
    for i in range(4):
        bounds.append(algo.config.kl_bound(state.iterations))
        state, metrics = algo.iteration(state, env, tasks, lambda k: rng(0, k))
        assert metrics["outer/kl"] <= bounds[-1]
        if i == 0:
            assert torch.equal(flatten(state.theta), flatten(iterate()[0].theta))
        state = MetaState.from_tensors(state.tensors())
    assert bounds == pytest.approx([0.01, 0.0075, 0.005, 0.0025])
    assert algo.config.kl_bound(state.iterations) == 0.0


class Moved:
    """An engine whose observations lie at an odd place in memory."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def reset(self, tasks: Any, noise: Any, mask: Any = None) -> np.ndarray:
        return moved(self._engine.reset(tasks, noise, mask))

    def step(self, action: Any, noise: Any) -> Any:
        found = self._engine.step(action, noise)
        return found._replace(obs=moved(found.obs))


def moved(obs: np.ndarray) -> np.ndarray:
    """A copy that begins 4 bytes after a multiple of 64."""
    room = np.empty(obs.size + 32, np.float32)
    start = (-room.ctypes.data // 4) % 16 + 1
    copy = room[start : start + obs.size].reshape(obs.shape)
    copy[:] = obs
    return copy


def test_no_bit_depends_on_where_an_engine_keeps_its_observations() -> None:
    """On some processors a product's last bits depend on its factors' alignment."""
    algo, state = algorithm(), algorithm().init(0)
    tasks = FAMILY.split("train").sample(3, 0)
    engines: list[Any] = [make_engine(FAMILY, 3, 4), Moved(make_engine(FAMILY, 3, 4))]
    one, other = (algo.iteration(state, env, tasks, lambda k: rng(0, k))[0] for env in engines)
    assert all(torch.equal(p, other.theta[name]) for name, p in one.theta.items())


class LastIsLost:
    """An engine whose observation after the last step is not a number."""

    def __init__(self, engine: Any) -> None:
        self._engine, self._steps = engine, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def step(self, action: Any, noise: Any) -> Any:
        self._steps += 1
        found = self._engine.step(action, noise)
        obs = np.where(self._steps == self.horizon, np.nan, found.obs).astype(np.float32)
        return found._replace(obs=obs)


def test_the_last_observation_is_checked_too() -> None:
    """Nobody acts on it, but a value may be predicted of it."""
    algo = algorithm()
    env: Any = LastIsLost(make_engine(FAMILY, 3, 4))
    tasks = FAMILY.split("train").sample(3, 0)
    last = FAMILY.horizon - 1
    with pytest.raises(NonFiniteError, match=rf"task 0 .*episode 0, step {last}"):
        algo.iteration(algo.init(0), env, tasks, lambda k: rng(0, k))


def test_a_reward_that_is_not_finite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Task, episode and step."""
    algo = algorithm()
    env = make_engine(FAMILY, 3, 4)
    tasks = FAMILY.split("train").sample(3, 0)
    step = env.step

    def lost(action: Any, noise: Any) -> Any:
        found = step(action, noise)
        found[1][1] = np.nan
        return found

    monkeypatch.setattr(env, "step", lost)
    with pytest.raises(NonFiniteError, match=r"environment .*task 1 .*goal.*episode 0, step 0"):
        algo.iteration(algo.init(0), env, tasks, lambda k: rng(0, k))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": 0}, "--tasks must be at least 1, got 0"),
        ({"inner_lr": float("nan")}, "--inner-lr must be positive and finite, got nan"),
        ({"inner_steps": -1}, "--inner-steps must be at least 0, got -1"),
        ({"discount": 1.5}, "--discount must be between 0 and 1, got 1.5"),
        ({"inner_advantage_clip": -1.0}, "--inner-advantage-clip must be zero or positive"),
        ({"inner_loss": "ratio"}, "--inner-loss must be one of"),
    ],
    ids=str,
)
def test_impossible_values_are_refused(change: dict, message: str) -> None:
    """The option, what is allowed, and the value."""
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **change)

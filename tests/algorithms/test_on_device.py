"""Meta-iterations whose simulation, acting and update are on one device."""

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.maml_trpo.objective import MetaObjective
from metarl.algorithms.maml_trpo.state import MetaState
from metarl.algorithms.rl2.algorithm import Rl2
from metarl.algorithms.rl2.config import Rl2Config
from metarl.core.params import flatten
from metarl.core.precision import products
from metarl.core.trust_region import conjugate_gradient
from metarl.experiment.seeding import rng
from metarl.rl.data import Episodes
from metarl.rl.ppo_update import Schedule
from metarl.rl.rollout import rollout
from metarl.rl.trials import collect_trials
from metarl.tasks import make_engine, make_family
from metarl.tasks.trial import TrialEngine
from tests.rl.test_waiting import NoCopies
from tests.tasks.test_device import DEVICES, available


def engine(name: str, device: str, tasks: int, episodes: int) -> Any:
    """Short episodes on an engine of the device, MuJoCo Warp on the CPU too."""
    family = make_family(name, horizon=10)
    chosen = "warp" if family.definition.engine == "threads" else "auto"
    return make_engine(family, tasks, episodes, engine=chosen, device=device)


def check(before: Any, after: Any, metrics: dict[str, float], device: str) -> None:
    """Something finite has been learnt, and it is where it belongs."""
    old, new = before.tensors(), after.tensors()
    assert all(p.device.type == device and p.isfinite().all() for p in new.values())
    assert any(not torch.equal(old[name], new[name]) for name in old)
    assert all(math.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["half-cheetah-vel", "point-nav"])
def test_an_iteration_of_maml_trpo_on_one_device(name: str, device: str) -> None:
    """It samples, adapts, samples again and accepts a step within the trust region."""
    config = MamlTrpoConfig(tasks=3, episodes=4)
    env = engine(name, available(device), 3, 4)
    algorithm = MamlTrpo(config, env.observation_space, env.action_space, device=device)
    state = algorithm.init(0)
    tasks = env.family.split("train").sample(3, 0)
    after, metrics = algorithm.iteration(state, env, tasks, lambda k: rng(0, k))
    check(state, after, metrics, device)
    assert metrics["outer/accepted"] == 1.0
    assert 0 < metrics["outer/kl"] <= config.max_kl


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["hopper-params", "bandit-k5"])
def test_an_iteration_of_rl2_on_one_device(name: str, device: str) -> None:
    """It samples trials and takes every step of PPO."""
    config = Rl2Config(tasks=4, episodes=2, hidden=16, minibatches=2, epochs=2)
    env = TrialEngine(engine(name, available(device), 4, 1), 2)
    algorithm = Rl2(config, env.observation_space, env.action_space, device=device)
    state = algorithm.init(0)
    tasks = make_family(name).split("train").sample(4, 0)
    after, metrics = algorithm.iteration(state, env, tasks, lambda k: rng(0, k))
    check(state, after, metrics, device)
    assert (metrics["ppo/steps"], metrics["ppo/non_finite"]) == (4.0, 0.0)


@pytest.mark.parametrize("options", [{}, {"policy": "transformer"}], ids=["gru", "transformer"])
def test_no_minibatch_of_ppo_waits_for_the_device(options: dict[str, Any]) -> None:
    """On the device `meta`, whose tensors hold no values, whatever reads one raises."""
    config = Rl2Config(tasks=4, episodes=2, hidden=16, minibatches=2, epochs=2, **options)
    env = TrialEngine(engine("point-nav", "cpu", 4, 1), 2)
    algorithm = Rl2(config, env.observation_space, env.action_space)
    state, tasks = algorithm.init(0), make_family("point-nav").split("train").sample(4, 0)
    where = {"scaling": algorithm.scaling, "device": algorithm.device}
    trials = collect_trials(algorithm.learner(state), env, tasks, rng(0), **where)
    batch, state, _ = algorithm.batch(trials, state, env.horizon)
    meta = algorithm.ppo.device = torch.device("meta")
    indices = list(algorithm.ppo.minibatches(batch, np.random.default_rng(0)))
    batch, there = (moved(tree, meta, torch.float32) for tree in (batch, state))
    there = there._replace(counters=state.counters)  # read once per iteration
    with NoCopies():
        _, steps = algorithm.ppo._epochs(there, batch, indices, Schedule(0.1, 0.1), reads=False)
    assert steps.norms.shape == (4,)


def phases(algorithm: MamlTrpo, state: MetaState, env: Any) -> list[Episodes]:
    """What one iteration on a CPU learns from."""
    learner, tasks = algorithm.learner(state), env.family.split("train").sample(env.num_tasks, 0)
    phi, lived = learner.start(env.num_tasks), []
    for k in range(algorithm.config.inner_steps + 1):
        options = {"scaling": algorithm.scaling, "device": algorithm.device}
        episodes, _ = rollout(learner, phi, env, tasks, rng(0, k), **options)
        phi = learner.adapt(phi, episodes)
        lived.append(episodes)
    return lived


def moved(tree: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Episodes or a state on a device, with floats of a kind."""
    floats = tree_map(lambda p: p.to(dtype) if p.is_floating_point() else p, tree)
    return tree_map(lambda p: p.to(device), floats)


def update(
    algorithm: MamlTrpo, state: MetaState, lived: list[Episodes], dtype: torch.dtype
) -> torch.Tensor:
    """The step of the meta-parameters, computed where the algorithm is."""
    state = moved(state, algorithm.device, dtype)
    objective = algorithm.objective(state, len(lived[0].obs))
    for k, episodes in enumerate(lived):
        batch, _ = algorithm.batch(state, moved(episodes, algorithm.device, dtype))
        if k < len(lived) - 1:
            objective.inner_step(batch)
        else:
            objective.set_outer(batch)
    after, metrics = algorithm.outer_step(state, objective)
    assert metrics["outer/accepted"] == 1.0
    step = [flatten(new) - flatten(old) for new, old in zip(after[:2], state[:2], strict=True)]
    return torch.cat(step).cpu()


def test_no_fisher_product_waits_for_the_device() -> None:
    """Nor does conjugate gradient, nor an inner step: on the device `meta`, as above."""
    config = MamlTrpoConfig(tasks=3, episodes=4)
    env = engine("point-nav", "cpu", 3, 4)
    algorithm = MamlTrpo(config, env.observation_space, env.action_space)
    state, meta = algorithm.init(0), torch.device("meta")
    batches = [algorithm.batch(state, e)[0] for e in phases(algorithm, state, env)]
    inner, outer = (moved(batch, meta, torch.float32) for batch in batches)
    state = moved(state, meta, torch.float32)
    setting = algorithm._setting._replace(stacked=True)
    with NoCopies():
        objective = MetaObjective(state, 3, setting, algorithm.workers)
        objective.inner_step(inner)
        assert objective.inner_gradient_norm().device.type == "meta"
        objective.set_outer(outer)
        solution = conjugate_gradient(
            objective.fisher, objective.vector(), iterations=3, stops=False
        )
    assert solution.x.device.type == "meta"


def test_the_mean_norm_of_inner_gradients_is_the_same_for_all_tasks_in_one_call() -> None:
    """As one task at a time."""
    config = MamlTrpoConfig(tasks=3, episodes=4)
    env = engine("point-nav", "cpu", 3, 4)
    algorithm = MamlTrpo(config, env.observation_space, env.action_space)
    state = algorithm.init(0)
    inner, _ = (algorithm.batch(state, e)[0] for e in phases(algorithm, state, env))
    norms = []
    for stacked in (True, False):
        setting = algorithm._setting._replace(stacked=stacked)
        objective = MetaObjective(state, 3, setting, algorithm.workers)
        objective.inner_step(inner)
        norms.append(objective.inner_gradient_norm())
    torch.testing.assert_close(*norms)


UPDATES = [
    ("half-cheetah-vel", torch.float32),
    ("half-cheetah-vel", torch.float64),
    ("point-nav", torch.float64),  # float32's rounding changes its steps: F is nearly singular
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "dtype"), UPDATES, ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"inner_steps": 2, "learn_inner_lr": True}], ids=["one step", "learnt rates"]
)
def test_an_update_is_the_same_on_a_device(
    name: str, dtype: torch.dtype, device: str, options: dict[str, Any]
) -> None:
    """From the same data as on a CPU: 1e-4 of the step.

    Without a GPU its way of computing, all tasks in one call, is taken on the CPU.
    """
    config = MamlTrpoConfig(tasks=4, episodes=5, **options)
    env = make_engine(make_family(name, horizon=30), 4, 5)
    spaces = env.observation_space, env.action_space
    here, there = MamlTrpo(config, *spaces), MamlTrpo(config, *spaces, device=available(device))
    there.stacked, there._setting = True, there._setting._replace(stacked=True)
    state = here.init(0)
    lived = phases(here, state, env)
    expected, found = (update(algorithm, state, lived, dtype) for algorithm in (here, there))
    assert (found - expected).norm() <= 1e-4 * expected.norm()


SLOW_ON_CPU = [pytest.param("cpu", marks=pytest.mark.slow), *DEVICES[1:]]


@pytest.mark.parametrize("device", SLOW_ON_CPU)
def test_a_compiled_update_is_the_same_on_a_device(device: str) -> None:
    """With all tasks in one call: 1e-4 of the step that is computed without a compiler on a CPU."""
    config = MamlTrpoConfig(tasks=4, episodes=5)
    env = make_engine(make_family("half-cheetah-vel", horizon=30), 4, 5)
    spaces = env.observation_space, env.action_space
    here, there = MamlTrpo(config, *spaces), MamlTrpo(config, *spaces, device=available(device))
    there.stacked = True
    there._setting = there._setting._replace(stacked=True).traced(compiled=True)
    state = here.init(0)
    lived = phases(here, state, env)
    expected, found = (
        update(algorithm, state, lived, torch.float32) for algorithm in (here, there)
    )
    assert (found - expected).norm() <= 1e-4 * expected.norm()


PRODUCTS = [getattr(torch.ops.aten, name).default for name in ("mm", "bmm", "addmm", "baddbmm")]


class Tf32(TorchDispatchMode):
    """Cuts the factors of float32 products to TensorFloat-32: 10 bits of the mantissa."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in PRODUCTS and args[-1].dtype == torch.float32:
            *first, a, b = args
            args = (*first, self._cut(a), self._cut(b))
        return func(*args, **(kwargs or {}))

    def _cut(self, x: torch.Tensor) -> torch.Tensor:
        return (x.contiguous().view(torch.int32) & -(2**13)).view(torch.float32)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", [0, 2])
def test_an_update_in_tf32_is_as_good_as_in_float32(seed: int, device: str) -> None:
    """On half-cheetah-vel: the cosine of the steps is at least 0.99, and at one length KL and
    surrogate gain, computed in float32, are within 5 %; the line search may choose another length.

    Without a GPU the factors are cut by hand.
    """
    config = MamlTrpoConfig(tasks=8, episodes=10)
    env = make_engine(make_family("half-cheetah-vel", horizon=50), 8, 10)
    spaces = env.observation_space, env.action_space
    here, there = MamlTrpo(config, *spaces), MamlTrpo(config, *spaces, device=available(device))
    there.stacked, there._setting = True, there._setting._replace(stacked=True)
    state = here.init(seed)
    lived = phases(here, state, env)
    with products("float32"):
        exact = update(there, state, lived, torch.float32)
    with products("tf32"), Tf32() if device == "cpu" else nullcontext():
        rounded = update(there, state, lived, torch.float32)
    assert not torch.equal(rounded, exact)
    assert torch.cosine_similarity(rounded, exact, 0) >= 0.99
    objective = here.objective(state, 8)
    for take, episodes in zip((objective.inner_step, objective.set_outer), lived, strict=True):
        take(here.batch(state, episodes)[0])
    before = objective.start()[0]
    theta = objective.vector()
    steps = (step[: len(theta)] * exact.norm() / step.norm() for step in (rounded, exact))
    one, other = (objective.evaluate(theta + step) for step in steps)
    assert one.kl == pytest.approx(other.kl, rel=0.05)
    assert before - one.surrogate == pytest.approx(before - other.surrogate, rel=0.05)

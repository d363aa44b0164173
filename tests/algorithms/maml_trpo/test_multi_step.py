"""MAML's outer problem after every inner step."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo, Objective
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.maml_trpo.objective import MetaObjective
from metarl.algorithms.maml_trpo.state import MetaState
from metarl.core.mapping import Workers
from metarl.core.params import flatten, map_params
from metarl.experiment.seeding import rng
from metarl.rl.data import PolicyBatch
from metarl.rl.rollout import rollout
from metarl.tasks import make_engine, make_family

CONFIG = MamlTrpoConfig(
    tasks=3, episodes=4, hidden=(8,), inner_lr=0.5, inner_steps=2, inner_lr_decay=0.5
)
MULTI = replace(CONFIG, multi_step_loss=True)
FAMILY = make_family("point-nav", horizon=10)


def algorithm(config: MamlTrpoConfig) -> MamlTrpo:
    return MamlTrpo(config, FAMILY.observation_space, FAMILY.action_space)


def collected(algo: MamlTrpo) -> tuple[MetaState, list[PolicyBatch]]:
    """θ and the data of every phase, in float64."""
    env, tasks = make_engine(FAMILY, 3, 4), FAMILY.split("train").sample(3, 0)
    state = algo.init(0)
    learner = algo.learner(state)
    adapted, batches = learner.start(3), []
    for k in range(algo.config.inner_steps + 1):
        episodes, _ = rollout(
            learner, adapted, env, tasks, rng(0, k), scaling=algo.scaling, device=algo.device
        )
        adapted = learner.adapt(adapted, episodes)
        batches.append(_double(algo.batch(state, episodes)[0]))
    theta, rates, *_ = state
    return MetaState(map_params(torch.Tensor.double, theta), _double(rates)), batches


def _double(data: Any) -> Any:
    if isinstance(data, torch.Tensor):
        return data.double() if data.is_floating_point() else data
    if isinstance(data, dict):
        return {name: _double(value) for name, value in data.items()}
    return type(data)(*(_double(field) for field in data))


def filled(algo: MamlTrpo, objective: Objective, batches: list[PolicyBatch]) -> Objective:
    """An outer problem with its data, as an iteration fills it."""
    for k, batch in enumerate(batches):
        objective.set_outer(batch)
        if k < len(batches) - 1:
            objective.inner_step(algo.inner(batch, k))
    return objective


@pytest.mark.parametrize("iteration", [0, 5])
def test_it_is_the_mean_of_the_problems_after_one_and_two_steps(iteration: int) -> None:
    """Surrogate, gradient, Fisher product and what the line search asks; after half of the
    iterations the last step counts for its share and half of what the others had.
    """
    algo = algorithm(replace(MULTI, multi_step_iterations=10))
    state, batches = collected(algo)
    state = state._replace(counters={"iterations": torch.tensor(float(iteration))})
    shares = (0.5, 0.5) if iteration == 0 else (0.25, 0.75)

    def mean(values: Any) -> Any:
        return sum(share * value for share, value in zip(shares, values, strict=True))

    both = filled(algo, algo.objective(state, 3), batches)
    each = [
        filled(algo, MetaObjective(state, 3, algo._setting, Workers(1)), batches[: k + 1])
        for k in (1, 2)
    ]
    value, gradient = both.start()
    assert value == pytest.approx(mean(o.start()[0] for o in each), abs=1e-12)
    torch.testing.assert_close(gradient, mean(o.start()[1] for o in each))
    torch.testing.assert_close(both.fisher(gradient), mean(o.fisher(gradient) for o in each))
    there = both.vector() - 0.1 * gradient
    trials = [o.evaluate(there) for o in each]
    assert both.evaluate(there) == pytest.approx([mean(c) for c in zip(*trials, strict=True)])


def test_its_gradient_and_fisher_product_are_those_of_differences() -> None:
    """Of the surrogate that the line search sees, and of its KL, in float64."""
    algo = algorithm(MULTI)
    state, batches = collected(algo)
    objective = filled(algo, algo.objective(state, 3), batches)
    gradient = objective.start()[1]
    v = gradient / gradient.norm()
    ahead, behind = (objective.evaluate(objective.vector() + s * 1e-5 * v) for s in (1, -1))
    slope = (ahead.surrogate - behind.surrogate) / 2e-5
    assert slope == pytest.approx(torch.dot(gradient, v).item(), rel=1e-6)
    ahead, behind = (objective.evaluate(objective.vector() + s * 1e-3 * v) for s in (1, -1))
    curvature = torch.dot(v, objective.fisher(v)).item()
    assert (ahead.kl + behind.kl) / 1e-6 == pytest.approx(curvature, rel=1e-3)


def test_with_one_step_it_changes_nothing() -> None:
    """The same bits after an iteration."""
    states = []
    for multi in (False, True):
        config = replace(CONFIG, inner_steps=1, multi_step_loss=multi)
        algo = algorithm(config)
        env, tasks = make_engine(FAMILY, 3, 4), FAMILY.split("train").sample(3, 0)
        states.append(algo.iteration(algo.init(0), env, tasks, lambda k: rng(0, k))[0])
    assert torch.equal(flatten(states[0].theta), flatten(states[1].theta))


def test_steps_shrink_by_their_factors() -> None:
    """From one of training to the next, and beyond."""
    factors = [replace(MULTI, later_inner_lr=0.1).step_factor(k) for k in range(4)]
    assert factors == pytest.approx([1.0, 0.5, 0.05, 0.05])


def test_it_needs_inner_steps() -> None:
    """TRPO has none whose policies could be improved."""
    with pytest.raises(ValueError, match="--multi-step-loss must be off where there are no --inne"):
        replace(MULTI, inner_steps=0)
    with pytest.raises(ValueError, match="--multi-step-iterations must be 0 without --multi-step"):
        replace(CONFIG, multi_step_iterations=5)

"""Steps of adaptation: a path, a warning where they diverge, and as many as are best."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import metarl
from metarl.fewshot import Examples, Mlp, Sinusoid, losses
from metarl.fewshot.agent import FewShotAgent
from metarl.fewshot.data.sources import DataConfig
from metarl.fewshot.evaluate import Request, evaluate
from metarl.fewshot.learners.configs import (
    ImamlConfig,
    LearnedOptimizerConfig,
    MamlConfig,
    ReptileConfig,
)
from metarl.fewshot.learners.imaml import Imaml
from metarl.fewshot.learners.learned_optimizer import LearnedOptimizer
from metarl.fewshot.learners.maml import Maml
from metarl.fewshot.learners.on_network import AdaptsWeights
from metarl.fewshot.learners.reptile import Reptile
from metarl.fewshot.registry import preset_config
from metarl.fewshot.run import FewShotRunConfig, build, describe
from metarl.fewshot.steps import DivergingWarning, adapt_by_steps, best_steps
from metarl.fewshot.training import FewShot

LEARNERS: list[AdaptsWeights[Any]] = [
    Maml(MamlConfig(rates="layer-step", inner_steps=2), "regression", Mlp(1, 1, (8,))),
    Reptile(ReptileConfig(inner_batch=3), "regression", Mlp(1, 1, (8,))),
    Imaml(ImamlConfig(), "regression", Mlp(1, 1, (8,))),
    LearnedOptimizer(LearnedOptimizerConfig(), "regression", Mlp(1, 1, (8,))),
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def support(shots: int = 10) -> Examples:
    x, y = Sinusoid().sample(1, shots, 1, "train", generator()).support
    return Examples(x[0], y[0])


def maml(inner_lr: float) -> tuple[Maml, dict[str, Tensor]]:
    learner = Maml(MamlConfig(inner_lr=inner_lr), "regression", Mlp(1, 1, (8,)))
    return learner, learner.init(generator())


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: type(learner).__name__)
def test_a_path_has_what_adaptation_gives_after_every_step(learner: AdaptsWeights[Any]) -> None:
    """From the weights that every task starts from."""
    theta, task = learner.init(generator()), support()
    path = learner.path(theta, task, 4)
    assert len(path) == 5
    for steps in (0, 1, 4):
        adapted = learner.adapt(theta, task, steps)
        assert all(torch.equal(adapted[name], p) for name, p in path[steps].items())


def test_adaptation_that_diverges_says_so() -> None:
    """With the step in which it grew, and the one that was best."""
    learner, theta = maml(2.0)
    with pytest.warns(DivergingWarning, match=r"in 5 steps .* in step 1, and was least .* after 0"):
        adapt_by_steps(learner, theta, support(), 5)
    learner, theta = maml(1e6)
    with pytest.warns(DivergingWarning, match="to nan; it grew beyond its start in step 1"):
        adapt_by_steps(learner, theta, support(), 40)
    learner, theta = maml(0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        phi = adapt_by_steps(learner, theta, support(), 10)
    assert all(torch.equal(phi[k], p) for k, p in learner.adapt(theta, support(), 10).items())


@pytest.mark.parametrize(("inner_lr", "some"), [(0.01, True), (2.0, False)])
def test_the_best_steps_are_those_of_held_out_examples(inner_lr: float, some: bool) -> None:
    """As one finds by adapting without each fifth of them; where steps harm, there are none."""
    learner, theta = maml(inner_lr)
    x = support().x
    y = 3.0 + 0.1 * x
    found = best_steps(learner, theta, Examples(x, y), 8)
    errors = torch.zeros(9)
    for k in range(5):
        held = torch.arange(10) % 5 == k
        for steps in range(9):
            phi = learner.adapt(theta, Examples(x[~held], y[~held]), steps)
            errors[steps] += losses.loss(
                "regression", learner.predict(theta, phi, x[held]), y[held]
            )
    assert found == int(errors.nan_to_num(nan=torch.inf).argmin())
    assert (found > 0) == some


def test_every_class_is_held_out_and_learned_from() -> None:
    """A single example of a class cannot be both."""
    learner = Maml(MamlConfig(inner_lr=0.5), "classification", Mlp(2, 2, (8,)))
    theta = learner.init(generator())
    x = torch.tensor([[0.0, 1.0], [0.0, 1.1], [0.1, 1.0], [1.0, 0.0], [1.1, 0.0]])
    assert best_steps(learner, theta, Examples(x, torch.tensor([0, 0, 0, 1, 1])), 5) > 0
    with pytest.raises(ValueError, match="needs at least two examples of every class, got 1"):
        best_steps(learner, theta, Examples(x, torch.tensor([0, 0, 0, 0, 1])), 5)
    one = support(1)
    learner, theta = maml(0.01)
    with pytest.raises(ValueError, match="needs at least two examples, got 1"):
        best_steps(learner, theta, one, 5)


def agent(algo: str, **options: Any) -> FewShotAgent:
    """One that nothing has trained yet."""
    source = Sinusoid()
    config = FewShotRunConfig(
        algo=algo,
        preset="default",
        seed=0,
        device="cpu",
        how="vmap",
        compiled=False,
        eval_every=0,
        checkpoint_every=1,
        data=DataConfig(),
        algorithm=replace(preset_config(algo, "default", "sinusoid"), **options),
        **describe(source),
    )
    parts = build(config, threads=1)
    return FewShotAgent(parts, config, parts.trainer.init(0), source)


def test_an_agent_says_how_many_steps_it_took(tmp_path: Path) -> None:
    """Those of training, as many as it is told, or the best; its file keeps the number."""
    own, task = agent("maml", inner_lr=0.01, inner_steps=3), support()
    task = Examples(task.x, 3.0 + 0.1 * task.x)
    assert own.adapt(task).steps == 3
    assert own.adapt(task, steps=2).steps == 2
    best = own.adapt(task, steps="best")
    assert best.steps is not None
    assert best.steps > 3
    expected = own.adapt(task, steps=best.steps)
    assert torch.equal(best.predict(task.x), expected.predict(task.x))
    best.save(tmp_path / "adapted.safetensors")
    assert metarl.load_adapted(tmp_path / "adapted.safetensors").steps == best.steps
    with pytest.raises(ValueError, match="number or .best., got 'most'"):
        own.adapt(task, steps="most")  # type: ignore[arg-type]
    assert agent("cnp").adapt(task).steps is None


def test_an_agent_warns_of_steps_that_diverge_and_finds_others() -> None:
    """The best number of steps is none then, if each of them harms."""
    own = agent("maml", inner_lr=2.0, inner_clip=0.0)
    with pytest.warns(DivergingWarning, match="adaptation diverged"):
        own.adapt(support(), steps=10)
    assert own.adapt(support(), steps="best").steps == 0


@pytest.mark.slow
def test_learned_rates_last_for_more_steps_than_they_were_trained_for() -> None:
    """Far fewer tasks diverge after ten steps than where one step alone was trained."""

    def diverged(**options: Any) -> float:
        config = MamlConfig(
            **{
                **vars(preset_config("meta-sgd", "default", "sinusoid")),
                "iterations": 1500,
                **options,
            }
        )
        learner = Maml(config, "regression", Mlp(1, 1))
        trainer, source = FewShot(config, learner), Sinusoid()
        state = trainer.init(0)
        for i in range(1500):
            batch = source.sample(25, 10, 10, "train", generator(i))
            state, _ = trainer.iteration(state, batch)
        request = Request("test", 600, 5, 20, 0)
        found = evaluate(learner, state.theta, source, request, steps=(10,), generator=generator())
        return found.points[-1].diverged

    one_step = {"inner_steps": 1, "inner_clip": 0.0, "later_inner_lr": 1.0}
    assert diverged() < 0.05 < 0.2 < diverged(**one_step)

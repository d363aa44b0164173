"""No option is ignored: each one, given another value, changes what is learnt."""

from dataclasses import fields
from functools import cache
from typing import Any

import pytest
import torch

from metarl.algorithms.registry import METHODS
from metarl.core.params import flatten
from metarl.experiment.seeding import rng
from metarl.rl.rollout import rollout
from metarl.runs import engine_maker
from metarl.tasks import make_family

BASE: dict[str, dict[str, Any]] = {
    "maml-trpo": {"tasks": 2, "episodes": 2, "hidden": (8,), "cg_iterations": 3},
    "rl2": {"tasks": 6, "hidden": 8, "minibatches": 2, "epochs": 2},
}
# option: another value, and what else is given with either value
MAML_TRPO: dict[str, tuple[Any, dict[str, Any]]] = {
    "iterations": (3, {"kl_schedule": "linear"}),
    "tasks": (3, {}),
    "episodes": (3, {}),
    "inner_steps": (2, {}),
    "inner_lr": (0.4, {}),
    "inner_lr_decay": (0.5, {"inner_steps": 2}),
    "later_inner_lr": (0.2, {}),
    "learn_inner_lr": (True, {}),
    "first_order": (True, {}),
    "multi_step_loss": (True, {"inner_steps": 2}),
    "multi_step_iterations": (2, {"inner_steps": 2, "multi_step_loss": True}),
    "inner_loss": ("dice", {}),
    "inner_advantage_clip": (0.5, {}),
    "discount": (0.5, {}),
    "gae_lambda": (0.5, {}),
    "bootstrap_at_horizon": (True, {}),
    "hidden": ((8, 8), {}),
    "activation": ("relu", {}),
    "initial_std": (0.5, {}),
    "min_std": (0.5, {"initial_std": 0.1}),
    "output_gain": (0.1, {}),
    "normalize_observations": (True, {}),
    "action_scale": (0.3, {}),
    "max_kl": (0.001, {}),
    "kl_schedule": ("linear", {}),
    "cg_iterations": (1, {}),
    "cg_damping": (0.5, {}),
    "line_search_steps": (1, {"max_kl": 1.0}),
    "line_search_decay": (0.5, {"max_kl": 1.0}),
}
RL2: dict[str, tuple[Any, dict[str, Any]]] = {
    "iterations": (3, {"lr_schedule": "linear"}),
    "tasks": (4, {}),
    "episodes": (3, {}),
    "policy": ("transformer", {"heads": 2}),
    "cell": ("lstm", {}),
    "layers": (1, {"policy": "transformer", "heads": 2}),
    "heads": (2, {"policy": "transformer"}),
    "hidden": (4, {}),
    "layer_norm": (True, {}),
    "embeddings": ((4, 4, 4), {}),
    "head": ((8,), {}),
    "activation": ("relu", {"head": (8,)}),
    "transitions": (True, {}),
    "separate_critic": (True, {}),
    "initial_std": (0.5, {}),
    "min_std": (0.5, {"initial_std": 0.1}),
    "action_scale": (0.3, {}),
    "normalize_observations": (True, {}),
    "normalize_rewards": (False, {}),
    "discount": (0.5, {}),
    "gae_lambda": (0.5, {}),
    "bootstrap_at_end": (True, {}),
    "lr": (1e-3, {}),
    "lr_schedule": ("linear", {}),
    "clip": (0.01, {}),
    "epochs": (1, {}),
    "minibatches": (3, {}),
    "bptt_steps": (3, {}),
    "entropy_weight": (0.1, {}),
    "entropy_schedule": ("linear", {"entropy_weight": 1.0, "iterations": 2}),
    "value_per_step": (True, {}),
    "value_weight": (0.1, {}),
    "value_loss": ("squared", {"normalize_rewards": False}),
    "prediction_weight": (1.0, {}),
    "max_grad_norm": (0.01, {}),
    "max_kl": (1e-9, {}),
}
TABLES = {"maml-trpo": MAML_TRPO, "rl2": RL2}
# tf32 is of a GPU alone; the context is a bound, which ends a run where it is passed
UNSEEN = {"maml-trpo": {"precision"}, "rl2": {"precision", "context"}}


@cache
def learnt(algo: str, env: str, options: tuple[tuple[str, Any], ...]) -> torch.Tensor:
    """All parameters after two iterations, and an episode of what has learnt from two others."""
    method, family = METHODS[algo], make_family(env, horizon=4)
    config = method.config(**dict(options))
    algorithm: Any = method.build(config, family, device="cpu", threads=1, compiled=False)
    env_made = method.make_env(config, engine_maker(family, "auto", 1))
    state = algorithm.init(0)
    for i in range(2):
        tasks = family.split("train").sample(config.tasks, 0, i)
        state, _ = algorithm.iteration(state, env_made, tasks, lambda k, i=i: rng(0, i, k))
    learner = algorithm.learner(state)
    adapted = learner.start(config.tasks)
    for k in range(3):
        episodes, adapted = rollout(
            learner, adapted, env_made, tasks, rng(1, k), scaling=algorithm.scaling,
            device=algorithm.device,
        )  # fmt: skip
        adapted = learner.adapt(adapted, episodes)
    return torch.cat([flatten(state.tensors()).double(), episodes.reward.flatten().double()])


@pytest.mark.parametrize(
    ("algo", "option"), [(algo, option) for algo in TABLES for option in TABLES[algo]]
)
def test_another_value_of_an_option_changes_what_is_learnt(algo: str, option: str) -> None:
    """The weights after two iterations, or how the agent acts as it adapts."""
    value, beside = TABLES[algo][option]
    env = "grid-navi" if option == "prediction_weight" else "point-nav"
    base = BASE[algo] | beside
    config = METHODS[algo].config
    assert getattr(config(**base), option) != value
    plain, other = (
        learnt(algo, env, tuple(options.items())) for options in (base, base | {option: value})
    )
    assert plain.shape != other.shape or not torch.equal(plain, other)


@pytest.mark.parametrize("algo", TABLES)
def test_every_option_is_tried(algo: str) -> None:
    """A new one needs a row above."""
    names = {field.name for field in fields(METHODS[algo].config)}
    assert names == set(TABLES[algo]) | UNSEEN[algo]

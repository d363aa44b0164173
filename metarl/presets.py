"""Hyper-parameters by preset and environment, each preset named after its source.

The preset `default` is ours: it takes the families' tasks of Finn et al. 2017 and what trains
best on them. On the cheetahs these are a tanh network on normalised observations, a policy whose
unit action is a third of the actuator's range, and inner steps twice as long as the published
ones (docs/maml_trpo.md has the measurements). Bandits and random MDPs have short episodes, so that
an iteration takes more tasks, and small networks, which longer inner steps suit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metarl.algorithms.maml_trpo_config import MamlTrpoConfig
from metarl.algorithms.rl2_config import Rl2Config
from metarl.experiment.config import nearest
from metarl.tasks.registry import hints

Overrides = dict[str, Any]

_FINN_CHEETAH: Overrides = {"hidden": (100, 100), "activation": "relu"}
_FINN_POINT: Overrides = {
    "tasks": 20,
    "hidden": (100, 100),
    "activation": "relu",
    "inner_lr": 0.5,
    "iterations": 100,
}
_BEST_CHEETAH: Overrides = {
    "action_scale": 1 / 3,
    "normalize_observations": True,
    "inner_lr": 0.2,
}
_BEST_BANDIT: Overrides = {"tasks": 100, "hidden": (32, 32), "inner_lr": 0.5, "iterations": 150}
# The likelihood ratio's Hessian is right, but noisier; later steps are short lest they overshoot.
# Of policies that start by running away some seeds never learn more than to stop. Trained for one
# step alone, a quarter of the tasks are solved by no further one
_BEST_POINT: Overrides = {
    **_FINN_POINT,
    "inner_loss": "log-likelihood",
    "inner_steps": 2,
    "inner_lr_decay": 0.3,
    "later_inner_lr": 0.5,
    "multi_step_loss": True,
    "multi_step_iterations": 400,
    "inner_advantage_clip": 5.0,
    "gae_lambda": 0.8,
    "output_gain": 0.01,
    "iterations": 300,
}
# Once all poles stand, steps of constant length only follow noise, and some fall again
_BEST_CARTPOLE: Overrides = {"kl_schedule": "linear", "iterations": 100}
# Without damping the natural gradient is mostly noise, and nothing is learnt
_BEST_ANT: Overrides = {
    **_BEST_CHEETAH,
    "tasks": 16,
    "episodes": 30,
    "inner_lr": 2.0,
    "gae_lambda": 0.95,
    "max_kl": 0.05,
    "cg_damping": 0.1,
    "iterations": 150,
}
_SCALED: Overrides = {
    "action_scale": 0.1,  # the policy's unit action is a tenth of the range
    "later_inner_lr": 1.0,
}
_FINN_ANT: Overrides = {**_FINN_CHEETAH, "iterations": 800}
_PROMP: Overrides = {**_SCALED, "iterations": 1001}
_PROMP_PARAMS: Overrides = {**_PROMP, "inner_lr": 0.05}
_DELEU_BANDIT: Overrides = {
    "tasks": 20,
    "episodes": 10,
    "hidden": (32, 32),
    "activation": "relu",
    "inner_lr": 0.5,
    "discount": 0.95,
    "later_inner_lr": 1.0,
}
_CHEETAHS = ("half-cheetah-vel", "half-cheetah-dir")
_BANDITS = ("bandit-k5", "bandit-k10", "bandit-k50")

MAML_TRPO: dict[str, dict[str, Overrides]] = {
    "default": {
        "half-cheetah-vel": _BEST_CHEETAH,
        "half-cheetah-dir": _BEST_CHEETAH,
        **dict.fromkeys(_BANDITS, _BEST_BANDIT),
        "tabular-mdp": {**_BEST_BANDIT, "inner_lr": 2.0},
        "point-nav": _BEST_POINT,
        "cartpole": _BEST_CARTPOLE,
        "ant-dir": _BEST_ANT,
    },
    "finn2017": {
        **dict.fromkeys(_CHEETAHS, _FINN_CHEETAH),
        "ant-vel": _FINN_ANT,
        "ant-dir": {**_FINN_ANT, "episodes": 40},
        "point-nav": _FINN_POINT,
    },
    "finn2017-20d": dict.fromkeys(_CHEETAHS, _FINN_CHEETAH),
    "deleu2020": {
        **dict.fromkeys((*_CHEETAHS, "ant-vel", "ant-dir"), _SCALED),
        **dict.fromkeys(_BANDITS, _DELEU_BANDIT),
        "point-nav": {"tasks": 20, "later_inner_lr": 1.0},
    },
    "deleu2020-20d": dict.fromkeys(_CHEETAHS, _SCALED),
    "promp2018": {
        **dict.fromkeys((*_CHEETAHS, "ant-dir", "ant-dir-2d", "walker2d-vel"), _PROMP),
        "ant-goal": {**_PROMP, "inner_steps": 2},
        "humanoid-dir": {**_PROMP, "hidden": (128, 128)},
        "hopper-params": _PROMP_PARAMS,
        "walker2d-params": _PROMP_PARAMS,
    },
}
"""MAML-TRPO: preset → environment → what differs from the configuration's defaults."""


_RL2_BANDIT: Overrides = {
    "episodes": 1,  # of 10 pulls; --horizon sets another number
    "cell": "lstm",
    "discount": 1.0,
    "gae_lambda": 0.97,
    "tasks": 2048,
    "hidden": 64,
    "minibatches": 8,
    "lr": 3e-3,
    "lr_schedule": "linear",
    "value_per_step": True,
    "prediction_weight": 0.5,
    "entropy_weight": 0.003,
    "entropy_schedule": "linear",
    "normalize_rewards": False,
    "iterations": 500,
}
# Of fifty arms most are never pulled, and what helps with few is in the way
_RL2_MANY_ARMS: Overrides = {
    **_RL2_BANDIT,
    "cell": "gru",
    "discount": 0.99,
    "gae_lambda": 0.3,
    "value_per_step": False,
    "prediction_weight": 0.0,
    "entropy_schedule": "constant",
}
# Which reward followed which action in which state: attention finds it, a cell hardly does
_RL2_TABULAR: Overrides = {
    **_RL2_BANDIT,
    "episodes": 10,
    "tasks": 512,
    "policy": "transformer",
    "transitions": True,
    "context": 100,
    "minibatches": 16,
    "lr": 1e-3,
    "discount": 0.97,
    "gae_lambda": 0.9,
    "prediction_weight": 1.0,
    "entropy_weight": 0.03,  # with less, it settles for the first action that pays
    "normalize_rewards": True,
    "iterations": 420,
}
_RL2_NAVIGATION: Overrides = {"tasks": 128, "hidden": 64, "lr": 1e-3, "lr_schedule": "linear"}
_VARIBAD: Overrides = {
    "cell": "gru",
    "hidden": 128,
    "embeddings": (32, 16, 16),
    "head": (128,),
    "episodes": 2,
    "lr": 7e-4,
    "clip": 0.1,
    "epochs": 2,
    "minibatches": 4,
    "discount": 0.97,
    "gae_lambda": 0.9,
    "entropy_weight": 0.01,
}
# A public reproduction of RL² with PPO: about 240,000 steps per update
_VARIBAD_CHEETAHS: dict[str, Overrides] = {
    # 16 × 800 steps per update are 32 trials; 16 × 200 would be halves of 16 trials
    "half-cheetah-vel": {**_VARIBAD, "tasks": 32, "iterations": 7813},
    "half-cheetah-dir": {**_VARIBAD, "tasks": 16, "iterations": 15625},
}
# Ours: scaled as MAML-TRPO's default, with steps and entropy that fall to zero; 2.6e7 steps in all
_RL2_CHEETAH: Overrides = {
    **_VARIBAD,
    "tasks": 32,
    "iterations": 2000,
    "normalize_observations": True,
    "action_scale": 1 / 3,
    "lr_schedule": "linear",
    "entropy_schedule": "linear",
}
# The same with as many trials at once as a GPU likes: 1e8 steps in sixty iterations
_RL2_GPU: Overrides = {
    **_RL2_CHEETAH,
    "tasks": 4096,
    "minibatches": 32,
    "epochs": 4,
    "iterations": 60,
}
_VARIBAD_ANT: Overrides = {**_VARIBAD_CHEETAHS["half-cheetah-dir"], "clip": 0.05}
_RL2_2016: Overrides = {
    "hidden": 256,
    "layer_norm": True,
    "lr": 2e-4,
    "clip": 0.1,
    "epochs": 8,
    "discount": 0.99,
    "gae_lambda": 0.3,
    "entropy_weight": 0.01,
}

RL2: dict[str, dict[str, Overrides]] = {
    "default": {
        "half-cheetah-vel": _RL2_CHEETAH,
        "half-cheetah-dir": _RL2_CHEETAH,
        "point-nav": _RL2_NAVIGATION,
        "point-nav-sparse": {**_RL2_NAVIGATION, "episodes": 3},
        "bandit-k5": _RL2_BANDIT,
        "bandit-k10": _RL2_BANDIT,
        "bandit-k50": _RL2_MANY_ARMS,
        "tabular-mdp": _RL2_TABULAR,
        "grid-navi": {**_RL2_NAVIGATION, "episodes": 4},
    },
    "varibad2020": {
        **_VARIBAD_CHEETAHS,
        "ant-dir": _VARIBAD_ANT,
        "ant-goal": {**_VARIBAD_ANT, "lr": 3e-4, "lr_schedule": "linear", "minibatches": 1},
        "point-nav-sparse": {
            **_VARIBAD,
            "episodes": 3,
            "tasks": 32,
            "minibatches": 8,
            "discount": 0.99,
            "entropy_weight": 0.001,
            "iterations": 5209,
        },
    },
    "varibad2020-20d": _VARIBAD_CHEETAHS,
    "varibad2020-gpu": {"half-cheetah-vel": _RL2_GPU, "half-cheetah-dir": _RL2_GPU},
    "rl2_2016": {
        **{f"bandit-k{k}": {**_RL2_2016, "episodes": 1, "tasks": 24000} for k in (5, 10, 50)},
        "tabular-mdp": {**_RL2_2016, "episodes": 10, "tasks": 2400},
    },
}
"""RL²: the same."""


LIKE = "like:"
"""`like:bandit-k5` is the preset default of that family for another; `like:bandit-k5/rl2_2016` is
another preset of it."""


def tasks_of(preset: str) -> str:
    """The preset that a family's tasks are those of; one that is like another's changes none."""
    return "default" if preset.startswith(LIKE) else preset


def overrides(table: Mapping[str, Mapping[str, Overrides]], preset: str, env: str) -> Overrides:
    """What `preset` changes for `env`.

    Raises:
        ValueError: an unknown preset, or one that says nothing about `env`.
    """
    if preset.startswith(LIKE):
        env, _, other = preset.removeprefix(LIKE).partition("/")
        preset = other or "default"
        families = {name for rows in table.values() for name in rows}
        if env not in families and not hints(env):
            raise ValueError(f"preset {LIKE}{env}: no such family; {nearest(env, families)}")
    if preset not in table:
        hint = nearest(preset, table)
        raise ValueError(f"unknown preset {preset!r}; {hint}; --list-envs shows them all")
    if env not in table[preset] and preset != "default":
        known = [name for name, rows in table.items() if env in rows]
        raise ValueError(
            f"preset {preset!r} has no {env}; presets that have: {', '.join(known) or 'default'}"
        )
    return table[preset].get(env, dict(hints(env) or {}))


def maml_trpo_preset(preset: str, env: str) -> MamlTrpoConfig:
    """MAML-TRPO's configuration of `preset` for `env`; see `overrides`."""
    return MamlTrpoConfig(**overrides(MAML_TRPO, preset, env))


def rl2_preset(preset: str, env: str) -> Rl2Config:
    """RL²'s configuration of `preset` for `env`; see `overrides`."""
    return Rl2Config(**overrides(RL2, preset, env))

"""Hyper-parameters of MAML-TRPO by preset and environment, each preset named after its source."""

from __future__ import annotations

from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.presets import Overrides, overrides

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


def maml_trpo_preset(preset: str, env: str) -> MamlTrpoConfig:
    """MAML-TRPO's configuration of `preset` for `env`; see `overrides`."""
    return MamlTrpoConfig(**overrides(MAML_TRPO, preset, env))

"""Hyper-parameters of RL² by preset and environment, each preset named after its source."""

from __future__ import annotations

from metarl.algorithms.presets import Overrides, overrides
from metarl.algorithms.rl2.config import Rl2Config

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


def rl2_preset(preset: str, env: str) -> Rl2Config:
    """RL²'s configuration of `preset` for `env`; see `overrides`."""
    return Rl2Config(**overrides(RL2, preset, env))

"""Hyper-parameters by preset and environment, each preset named after its source.

The preset `default` is ours: it takes the families' tasks of Finn et al. 2017 and what trains
best on them. On the cheetahs these are a tanh network on normalised observations, a policy whose
unit action is a third of the actuator's range, and inner steps twice as long as the published
ones (docs/maml_trpo.md has the measurements). Bandits and random MDPs have short episodes, so that
an iteration takes more tasks, and small networks, which longer inner steps suit.
"""

from __future__ import annotations

from typing import Any

from metarl.algorithms.maml_trpo_config import MamlTrpoConfig
from metarl.experiment.config import nearest

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
_SCALED: Overrides = {"action_scale": 0.1}  # the policy's unit action is a tenth of the range
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
}
_CHEETAHS = ("half-cheetah-vel", "half-cheetah-dir")
_BANDITS = ("bandit-k5", "bandit-k10", "bandit-k50")

MAML_TRPO: dict[str, dict[str, Overrides]] = {
    "default": {
        "half-cheetah-vel": _BEST_CHEETAH,
        "half-cheetah-dir": _BEST_CHEETAH,
        **dict.fromkeys((*_BANDITS, "tabular-mdp"), _BEST_BANDIT),
        "point-nav": _FINN_POINT,
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
        "point-nav": {"tasks": 20},
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
    """The configuration of `preset` for `env`.

    Raises:
        ValueError: an unknown preset, or one that says nothing about `env`.
    """
    if preset not in MAML_TRPO:
        hint = nearest(preset, MAML_TRPO)
        raise ValueError(f"unknown preset {preset!r}; {hint}; --list-envs shows them all")
    table = MAML_TRPO[preset]
    if env not in table and preset != "default":
        known = [name for name, envs in MAML_TRPO.items() if env in envs]
        raise ValueError(f"preset {preset!r} has no {env}; presets that have: {', '.join(known)}")
    return MamlTrpoConfig(**table.get(env, {}))

"""Hyper-parameters of few-shot learning by preset, algorithm and data; named after the source."""

from __future__ import annotations

from typing import Any

from metarl.experiment.config import nearest

Overrides = dict[str, Any]

_SINUSOID: Overrides = {"iterations": 70_000, "eval_shots": 5, "eval_queries": 100}
# a falling step size and some weight decay: fewer tasks diverge in later steps
_OUR_SINUSOID: Overrides = {**_SINUSOID, "lr_schedule": "cosine", "weight_decay": 0.03}
_CURVES: dict[str, Overrides] = {"sinusoid": _OUR_SINUSOID, "mixture": _OUR_SINUSOID}
# a few tasks with long gradients would decide the mean of later steps
_CLIPPED_CURVES: dict[str, Overrides] = {k: {**v, "inner_clip": 60.0} for k, v in _CURVES.items()}
_MAML_OMNIGLOT: Overrides = {
    "tasks": 32,
    "shots": 1,
    "queries": 15,
    "inner_lr": 0.4,
    "eval_steps": (0, 1, 3),
    "norm": "batch",
    "iterations": 60_000,
}
_OUR_OMNIGLOT: Overrides = {
    **_MAML_OMNIGLOT,
    "tasks": 16,
    "queries": 5,
    "filters": 32,
    "norm": "group",
    "iterations": 20_000,
}
_MAML_LIKE = ("maml", "fomaml", "anil", "boil", "meta-sgd", "maml++")
_PROTONET: Overrides = {
    "tasks": 1,
    "shots": 1,
    "queries": 5,
    "norm": "group",
    "lr_schedule": "cosine",
    "iterations": 10_000,
}

_LONG: Overrides = {"iterations": 70_000, "eval_queries": 100}
_CLOSED: dict[str, Overrides] = dict.fromkeys(_CURVES, _LONG)
_REPTILE_CURVES: Overrides = {**_OUR_SINUSOID, "inner_lr": 0.02, "inner_optimizer": "sgd"}

# near its inner minimum: a median residual of .02 at the start, .4 with λ = 2
_IMAML_OMNIGLOT: Overrides = {
    **_OUR_OMNIGLOT,
    "tasks": 8,
    "inner_lr": 0.1,
    "proximity": 0.2,
    "cg_iterations": 10,
    "eval_steps": (0, 5, 32),
}
_LEARNED_OPTIMIZER_OMNIGLOT: Overrides = {
    **{name: value for name, value in _OUR_OMNIGLOT.items() if name != "inner_lr"},
    "tasks": 8,
    "eval_steps": (0, 5, 10),
    "iterations": 5_000,
}
_CONTROL_OMNIGLOT: Overrides = {**_OUR_OMNIGLOT, "inner_lr": 0.1, "eval_steps": (0, 10, 100)}
_FINN_20WAY: Overrides = {
    **_MAML_OMNIGLOT,
    "tasks": 16,
    "inner_lr": 0.1,
    "inner_steps": 5,
    "eval_steps": (0, 5),
}
# published with batch norm that keeps statistics, and with a step size halved every 2,000 episodes
_SNELL: Overrides = {**_PROTONET, "pooling": "max", "iterations": 20_000}
_NICHOL: Overrides = {
    "tasks": 5,
    "shots": 1,
    "queries": 9,
    "norm": "batch",
    "inner_lr": 1e-3,
    "inner_steps": 5,
    "inner_batch": 10,
    "eval_steps": (0, 5, 50),
    "outer_optimizer": "sgd",
    "lr": 1.0,
    "lr_schedule": "linear",
    "iterations": 100_000,
}
_NICHOL_20WAY: Overrides = {
    **_NICHOL,
    "inner_lr": 5e-4,
    "inner_steps": 10,
    "inner_batch": 20,
    "iterations": 200_000,
}

PRESETS: dict[str, dict[str, dict[str, Overrides]]] = {
    "default": {
        **{algo: {**_CLIPPED_CURVES, "omniglot": _OUR_OMNIGLOT} for algo in _MAML_LIKE},
        "fomaml": {**_CURVES, "omniglot": _OUR_OMNIGLOT},  # learns less when clipped
        "pretrain": {**_CURVES, "omniglot": _CONTROL_OMNIGLOT},
        "scratch": {"omniglot": {**_CONTROL_OMNIGLOT, "iterations": 1}},
        "reptile": {
            **dict.fromkeys(_CURVES, _REPTILE_CURVES),
            "omniglot": {
                **_OUR_OMNIGLOT,
                "tasks": 5,
                "queries": 9,
                "inner_lr": 1e-3,
                "eval_steps": (0, 5, 50),
            },
        },
        **{algo: {"omniglot": _PROTONET} for algo in ("protonet", "matching-net")},
        "r2d2": {**_CURVES, "omniglot": {**_PROTONET, "tasks": 8}},
        "cnp": {**_CLOSED, "omniglot": {**_PROTONET, "tasks": 8}},
        "snail": {**_CLOSED, "omniglot": {**_PROTONET, "tasks": 8}},
        "film": {**_CLOSED, "omniglot": {**_PROTONET, "tasks": 8}},
        "imaml": {**_CURVES, "omniglot": _IMAML_OMNIGLOT},
        "learned-optimizer": {**_CURVES, "omniglot": _LEARNED_OPTIMIZER_OMNIGLOT},
    },
    "finn2017": {"maml": {"sinusoid": _SINUSOID, "omniglot": _MAML_OMNIGLOT}},
    "finn2017-20way": {"maml": {"omniglot": _FINN_20WAY}},
    "snell2017": {"protonet": {"omniglot": _SNELL}},
    "snell2017-20way": {"protonet": {"omniglot": _SNELL}},
    "nichol2018": {"reptile": {"omniglot": _NICHOL}},
    "nichol2018-20way": {"reptile": {"omniglot": _NICHOL_20WAY}},
}
"""Preset → algorithm → data → what differs from the configuration's defaults."""

_DATA: dict[str, dict[str, int]] = {
    "finn2017-20way": {"ways": 20},
    "snell2017": {"train_ways": 60},
    "snell2017-20way": {"ways": 20, "train_ways": 60},
    "nichol2018-20way": {"ways": 20},
}


def data_options(preset: str) -> dict[str, Any]:
    """Say how a preset makes tasks of data, where that differs from the defaults."""
    return _DATA.get(preset, {})


def overrides(preset: str, algo: str, data: str) -> Overrides:
    """Return what `preset` changes for `algo` on `data`.

    Raises:
        ValueError: an unknown preset, or one that says nothing about the two.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; {nearest(preset, PRESETS)}")
    rows = PRESETS[preset].get(algo, {})
    if data not in rows and preset != "default":
        known = [name for name, table in PRESETS.items() if data in table.get(algo, {})]
        raise ValueError(
            f"preset {preset!r} has no {algo} on {data}; presets that have: "
            f"{', '.join(known) or 'default'}"
        )
    return rows.get(data, {})

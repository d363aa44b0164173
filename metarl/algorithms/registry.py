"""The algorithms by name. A new one is a line here."""

from __future__ import annotations

from typing import Any

from metarl.algorithms.maml_trpo.wiring import MamlTrpoMethod
from metarl.algorithms.presets import overrides
from metarl.algorithms.rl2.wiring import Rl2Method
from metarl.experiment.config import nearest
from metarl.protocols import Method

METHODS: dict[str, Method] = {"maml-trpo": MamlTrpoMethod(), "rl2": Rl2Method()}


def get_method(algo: str) -> Method:
    """The algorithm of a name.

    Raises:
        ValueError: an unknown one (names the nearest).
    """
    if algo not in METHODS:
        raise ValueError(f"unknown algo {algo!r}; {nearest(algo, METHODS)}")
    return METHODS[algo]


def preset_config(algo: str, preset: str, env: str) -> Any:
    """The hyper-parameters of `preset` for `env`.

    Raises:
        ValueError: an unknown algorithm or preset, or a preset that says nothing about `env`.
    """
    method = get_method(algo)
    return method.config(**overrides(method.presets, preset, env))

"""Hyper-parameters that every few-shot algorithm has; each one's own file adds its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Literal

from metarl.fewshot.networks.choices import NORMS, Activation, Norm


@dataclass(frozen=True)
class FewShotConfig:
    """Training in episodes: every iteration draws tasks and steps on their mean outer loss."""

    iterations: int = 20_000
    """Meta-iterations in all, those before a resume included."""
    tasks: int = 25
    """T, tasks per meta-iteration."""
    shots: int = 10
    """Examples to learn from: of every class, or of a regression task."""
    queries: int = 10
    """Examples to be judged on, counted likewise."""
    eval_shots: int = 0
    """Examples to learn from in evaluations; as in training if 0."""
    eval_queries: int = 0
    """Examples to be judged on in evaluations; as in training if 0."""
    lr: float = 1e-3
    """Outer step size."""
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Linear and cosine: from `lr` down to zero over all iterations."""
    outer_optimizer: Literal["adam", "sgd"] = "adam"
    """Of the outer step; sgd is θ ← θ − lr · gradient."""
    weight_decay: float = 0.0
    """What the networks' weights lose per iteration, times `lr` (decoupled, as in AdamW); learned
    step sizes and optimisers do not decay."""
    support_shift: int = 0
    """Pixels by which images of support sets are moved at random in training; 0 is none."""
    dropout: float = 0.0
    """Share of the features of every hidden layer that a training task does without."""
    hidden: tuple[int, ...] = (40, 40)
    """Widths of the hidden layers, for inputs that are not images."""
    activation: Activation = "relu"
    """Activation of the hidden layers, for inputs that are not images."""
    filters: int = 64
    """Filters of each of the four convolutions, for images."""
    pooling: Literal["stride", "max"] = "stride"
    """What halves an image after each convolution: its stride, or max-pooling."""
    norm: Norm = "none"
    """Between a layer and its activation; batch uses the statistics of the examples at hand."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        for name in ("iterations", "tasks", "shots", "queries", "filters"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("eval_shots", "eval_queries", "support_shift"):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        self._require("hidden", all(width >= 1 for width in self.hidden), "widths of at least 1")
        self._require("lr", math.isfinite(self.lr) and self.lr > 0, "positive and finite")
        self._require("dropout", 0 <= self.dropout < 1, "at least 0 and below 1")
        decay = self.weight_decay
        self._require("weight_decay", math.isfinite(decay) and decay >= 0, "at least 0")
        self._one_of("lr_schedule", "constant", "linear", "cosine")
        self._one_of("outer_optimizer", "adam", "sgd")
        self._one_of("activation", "relu", "tanh")
        self._one_of("pooling", "stride", "max")
        self._one_of("norm", *NORMS)

    def _require_steps(self, name: str) -> None:
        steps: tuple[int, ...] = getattr(self, name)
        rising = all(a < b for a, b in pairwise(steps))
        self._require(name, bool(steps) and steps[0] >= 0 and rising, "rising, from 0 or more")

    def _one_of(self, name: str, *allowed: str) -> None:
        self._require(name, getattr(self, name) in allowed, " or ".join(allowed))

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        assert name in {field.name for field in fields(self)}
        if not holds:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} must be {allowed}, got {getattr(self, name)!r}")

"""What every few-shot algorithm is: meta-parameters, a loss of one task, and a way to adapt."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from metarl.core.params import Params
from metarl.fewshot.data import Examples, Kind, Split

Adapted = Any
"""What a learner knows of one task: a tree of tensors."""


class FewShotLearner(Protocol):
    """Learns how to learn from a support set; functional, for ONE task at a time."""

    @property
    def kind(self) -> Kind:
        """Of the targets."""

    @property
    def transductive(self) -> bool:
        """Whether a prediction depends on the other queries."""

    @property
    def takes_steps(self) -> bool:
        """Whether it adapts by steps, of which there may be more than in training."""

    @property
    def any_ways(self) -> bool:
        """Whether training tasks may have another number of classes than those it is for."""

    @property
    def vmaps(self) -> bool:
        """Whether tasks can be mapped over in one call."""

    def init(self, generator: torch.Generator) -> Params:
        """Fresh meta-parameters θ."""

    def loss(self, theta: Params, task: Split) -> Tensor:
        """What meta-training descends: the outer loss of one task (a scalar)."""

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Adapted:
        """Learn a support set, in as many steps as in training if not told otherwise."""

    def predict(self, theta: Params, adapted: Adapted, x: Tensor) -> Tensor:
        """Outputs `[N, C]` of inputs `[N, …]`."""

"""What every few-shot algorithm is: meta-parameters, a loss of one task, and a way to adapt."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from metarl.core.params import Params
from metarl.fewshot.data.task import Examples, Kind, Split

Fitted = Any
"""What a learner knows of one task: a tree of tensors."""

JOINT_CLASSES = "joint.classes"
"""Name of the training classes that the labels of a task stand for, `[ways]`, beside θ."""


class FewShotLearner(Protocol):
    """Learns how to learn from a support set; functional, for ONE task at a time."""

    @property
    def kind(self) -> Kind:
        """The targets are of this kind."""

    @property
    def transductive(self) -> bool:
        """It is true where a prediction depends on the other queries."""

    @property
    def takes_steps(self) -> bool:
        """It is true where it adapts by steps, of which there may be more than in training."""

    @property
    def any_ways(self) -> bool:
        """It is true where training tasks may have more or fewer classes than those to come."""

    @property
    def vmaps(self) -> bool:
        """It is true where tasks can be mapped over in one call."""

    @property
    def undecayed(self) -> tuple[str, ...]:
        """Weight decay leaves meta-parameters alone whose names begin with one of these."""

    @property
    def joint(self) -> int:
        """Classes of the joint head, 0 without one; it is given theirs, see `JOINT_CLASSES`."""

    def constants(self, iteration: int) -> Params:
        """Return what stands beside θ in the loss of every task after so many iterations."""

    def init(self, generator: torch.Generator) -> Params:
        """Fresh meta-parameters θ."""

    def loss(self, theta: Params, task: Split) -> Tensor:
        """Compute what meta-training descends: the outer loss of one task (a scalar)."""

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Fitted:
        """Learn a support set, in as many steps as in training if not told otherwise."""

    def predict(self, theta: Params, adapted: Fitted, x: Tensor) -> Tensor:
        """Outputs `[N, C]` of inputs `[N, …]`."""

"""MAML and its kin for supervised few-shot learning.

Initial weights from which a few gradient steps on a support set solve a new task (Finn et al.
2017, arXiv 1703.03400, algorithm 2). By options it is also

- FOMAML (`--first-order`): the outer gradient at the adapted weights, ∂φ/∂θ = I;
- ANIL (`--adapts head`, arXiv 1909.09157) and BOIL (`--adapts body`, 2008.08882);
- Meta-SGD (`--rates weight`, 1707.09835): a learned step size for every weight;
- MAML++ (`--rates layer-step --multi-step-loss`, 1810.09502): one for every tensor and step, and
  an outer loss after every step, here with equal weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from metarl.algorithms.few_shot_config import FewShotConfig
from metarl.algorithms.on_network import AdaptsWeights
from metarl.core.adapt import adapting
from metarl.core.params import Params, map_params
from metarl.fewshot.data import Examples, Split
from metarl.fewshot.networks import HEAD, KEEP

RATE = "rate"
"""Prefix of learned step sizes among the meta-parameters."""


@dataclass(frozen=True)
class MamlConfig(FewShotConfig):
    """MAML (arXiv 1703.03400)."""

    inner_lr: float = 0.01
    """α, step size of adaptation; where it is learned, its start."""
    inner_steps: int = 1
    """Steps of adaptation in training."""
    eval_steps: tuple[int, ...] = (0, 1, 5, 10)
    """After how many steps evaluations measure."""
    first_order: bool = False
    """Leave out second derivatives (FOMAML)."""
    adapts: Literal["all", "head", "body"] = "all"
    """What moves in adaptation: all, the last layer (ANIL), or all but the last layer (BOIL)."""
    rates: Literal["fixed", "weight", "layer-step"] = "fixed"
    """Step sizes that are learned: none, one per weight, or one per tensor and step, which is
    learned as a multiple of `inner_lr` (few numbers, which steps as long as --lr would shake)."""
    inner_momentum: float = 0.0
    """μ of adaptation."""
    multi_step_loss: bool = False
    """Average the outer loss over the weights after every step."""
    query_weight: float = 0.0
    """λ of λ · L(θ; query), the multi-task objective beside the meta-objective."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        super().__post_init__()
        self._require("inner_steps", self.inner_steps >= 0, "at least 0")
        self._require_steps("eval_steps")
        rate = self.inner_lr
        self._require("inner_lr", math.isfinite(rate) and rate > 0, "positive and finite")
        self._require("inner_momentum", 0 <= self.inner_momentum < 1, "at least 0 and below 1")
        weight = self.query_weight
        self._require("query_weight", math.isfinite(weight) and weight >= 0, "at least 0")
        self._one_of("adapts", "all", "head", "body")
        self._one_of("rates", "fixed", "weight", "layer-step")


class Maml(AdaptsWeights[MamlConfig]):
    """A learner whose adapted state is φ, the weights of one task."""

    def init(self, generator: torch.Generator) -> Params:
        """The network's weights, and the step sizes that are learned."""
        c, params = self.config, self.network.init(generator)
        moving = {name: p for name, p in params.items() if self._moves(name)}
        rates: Params = {}
        if c.rates == "weight":
            rates = {f"{RATE}.{k}": torch.full_like(p, c.inner_lr) for k, p in moving.items()}
        elif c.rates == "layer-step":
            steps = range(max(c.inner_steps, 1))
            rates = {f"{RATE}.{i}.{k}": torch.tensor(1.0) for i in steps for k in moving}
        return params | rates

    def loss(self, theta: Params, task: Split) -> Tensor:
        """L(φ; query), or its mean over the φ of all steps; a scalar."""
        c = self.config
        start = self.weights(theta)
        path = [start, *self._path(theta, task.support, c.inner_steps)]
        judged = path[1:] if c.multi_step_loss and c.inner_steps else path[-1:]
        outer = torch.stack([self.network_loss(phi, task.query) for phi in judged]).mean()
        if c.query_weight:
            outer = outer + c.query_weight * self.network_loss(start, task.query)
        return outer

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Params:
        """φ after `steps` steps on the support set."""
        steps = self.config.inner_steps if steps is None else steps
        return [self.weights(theta), *self._path(theta, support, steps)][-1]

    def weights(self, theta: Params) -> Params:
        """The network's part of θ."""
        return {name: p for name, p in theta.items() if not name.startswith(f"{RATE}.")}

    def rates(self, theta: Params) -> Params | list[Params]:
        """α of every weight that moves; one such dictionary per step for "layer-step"."""
        c = self.config
        moving = {name: p for name, p in self.weights(theta).items() if self._moves(name)}
        if c.rates == "weight":
            return {name: theta[f"{RATE}.{name}"] for name in moving}
        if c.rates == "layer-step":
            steps = range(max(c.inner_steps, 1))
            return [
                {name: c.inner_lr * theta[f"{RATE}.{i}.{name}"] for name in moving} for i in steps
            ]
        return map_params(lambda p: p.new_full((), c.inner_lr), moving)

    def _path(self, theta: Params, support: Examples, steps: int) -> list[Params]:
        """φ_1 … φ_steps."""
        c = self.config
        phis = adapting(
            self.weights(theta),
            [support] * steps,
            self.network_loss,
            self.rates(theta),
            first_order=c.first_order,
            momentum=c.inner_momentum,
        )
        return list(phis)

    def _moves(self, name: str) -> bool:
        """Whether adaptation changes it."""
        if name.endswith(f".{KEEP}"):
            return False
        is_head = name.startswith(f"{HEAD}.")
        return self.config.adapts == "all" or is_head == (self.config.adapts == "head")


class Scratch(Maml):
    """The control without any training: its weights stay random, and adaptation is all there is."""

    def loss(self, theta: Params, task: Split) -> Tensor:
        """L(φ; query), with the gradient zero."""
        loss = super().loss(theta, task)
        return loss.detach() + 0.0 * loss

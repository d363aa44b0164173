"""MAML and its kin for supervised few-shot learning.

Initial weights from which a few gradient steps on a support set solve a new task (Finn et al.
2017, arXiv 1703.03400, algorithm 2). By options it is also

- FOMAML (`--first-order`): the outer gradient at the adapted weights, ∂φ/∂θ = I;
- ANIL (`--adapts head`, arXiv 1909.09157) and BOIL (`--adapts body`, 2008.08882);
- Meta-SGD (`--rates weight`, 1707.09835): a learned step size for every weight;
- MAML++ (`--rates layer-step --multi-step-loss`, 1810.09502): one for every tensor and step, and
  an outer loss after every step, whose weights move to the last one;
- pre-training (`--inner-steps 0`): in classification with a joint head over all training classes,
  as labels of a task mean nothing to another one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.adapt import adapting, step_shares
from metarl.core.params import Params, map_params
from metarl.fewshot import losses
from metarl.fewshot.data.task import Examples, Kind, Split
from metarl.fewshot.learners.configs import MamlConfig
from metarl.fewshot.learners.on_network import AdaptsWeights
from metarl.fewshot.learners.protocol import JOINT_CLASSES
from metarl.fewshot.networks.network import HEAD, KEEP, Network, weights

RATE = "rate"
"""Prefix of learned step sizes among the meta-parameters."""
JOINT = "joint"
"""Prefix of the head over all training classes."""
STEP_WEIGHTS = "step.weights"
"""Name of the weights of the outer loss after every step, `[inner_steps]`, beside θ."""
_OWN = (f"{RATE}.", f"{JOINT}.", STEP_WEIGHTS)


class Maml(AdaptsWeights[MamlConfig]):
    """A learner whose adapted state is φ, the weights of one task."""

    undecayed = (f"{RATE}.",)

    def __init__(self, config: MamlConfig, kind: Kind, network: Network, joint: int = 0) -> None:
        """See `OnNetwork`; `joint` classes are in the training tasks, 0 if they are no matter."""
        super().__init__(config, kind, network)
        trains_jointly = config.inner_steps == 0 or config.query_weight > 0
        self.joint = joint if trains_jointly and kind == "classification" else 0

    def constants(self, iteration: int) -> Params:
        """(1 − f) / K for every step and f more for the last one, f rising from 0 to 1."""
        c = self.config
        if not (c.multi_step_loss and c.multi_step_iterations and c.inner_steps):
            return {}
        shares = step_shares(c.inner_steps, iteration, c.multi_step_iterations)
        return {STEP_WEIGHTS: torch.tensor(shares)}

    def init(self, generator: torch.Generator) -> Params:
        """The network's weights, the joint head, and the step sizes that are learned."""
        c, params = self.config, self.network.init(generator)
        moving = {name: p for name, p in params.items() if self._moves(name)}
        rates: Params = {}
        if c.rates == "weight":
            rates = {f"{RATE}.{k}": torch.full_like(p, c.inner_lr) for k, p in moving.items()}
        elif c.rates == "layer-step":
            steps = range(max(c.inner_steps, 1))
            rates = {f"{RATE}.{i}.{k}": torch.tensor(1.0) for i in steps for k in moving}
        if self.joint:
            params |= weights(JOINT, (self.joint, self.network.width), generator)
        return params | rates

    def loss(self, theta: Params, task: Split) -> Tensor:
        """L(φ; query), or its mean over the φ of all steps; a scalar."""
        c = self.config
        if c.inner_steps == 0:
            return (1 + c.query_weight) * self._task_loss(theta, task.query)
        path = self.path(theta, task.support, c.inner_steps)
        judged = path[1:] if c.multi_step_loss else path[-1:]
        outer = torch.stack([self.network_loss(phi, task.query) for phi in judged])
        outer = (outer * theta[STEP_WEIGHTS]).sum() if STEP_WEIGHTS in theta else outer.mean()
        if c.query_weight:
            outer = outer + c.query_weight * self._task_loss(theta, task.query)
        return outer

    def _task_loss(self, theta: Params, examples: Examples) -> Tensor:
        """L(θ; examples), without adaptation; by the joint head where there is one."""
        start = self.weights(theta)
        if not self.joint:
            return self.network_loss(start, examples)
        features = self.network.features(start, examples.x)
        logits = functional.linear(features, theta[f"{JOINT}.weight"], theta[f"{JOINT}.bias"])
        return losses.loss(self.kind, logits, theta[JOINT_CLASSES][examples.y])

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Params:
        """φ after `steps` steps on the support set."""
        steps = self.config.inner_steps if steps is None else steps
        return self.path(theta, support, steps)[-1]

    def weights(self, theta: Params) -> Params:
        """The network's part of θ."""
        return {name: p for name, p in theta.items() if not name.startswith(_OWN)}

    def rates(self, theta: Params) -> Params | list[Params]:
        """α of every weight that moves, or one such dictionary per step and for all later ones."""
        c, rates = self.config, self._rates_of_training(theta)
        if c.later_inner_lr == 1.0:
            return rates
        steps = rates if isinstance(rates, list) else [rates] * max(c.inner_steps, 1)
        return [*steps, map_params(lambda a: c.later_inner_lr * a, steps[-1])]

    def _rates_of_training(self, theta: Params) -> Params | list[Params]:
        """The same for the steps of training."""
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

    def path(self, theta: Params, support: Examples, steps: int) -> list[Params]:
        """φ_0 … φ_steps."""
        c, start = self.config, self.weights(theta)
        phis = adapting(
            start,
            [support] * steps,
            self.network_loss,
            self.rates(theta),
            first_order=c.first_order,
            momentum=c.inner_momentum,
            clip=c.inner_clip,
        )
        return [start, *phis]

    def _moves(self, name: str) -> bool:
        """Say whether adaptation changes a parameter."""
        if name.endswith(f".{KEEP}"):
            return False
        is_head = name.startswith(f"{HEAD}.")
        return self.config.adapts == "all" or is_head == (self.config.adapts == "head")


class Scratch(Maml):
    """The control without any training: its weights stay random, and adaptation is all there is."""

    undecayed = ("",)  # everything

    def loss(self, theta: Params, task: Split) -> Tensor:
        """L(φ; query), with the gradient zero."""
        nothing = torch.stack([0.0 * p.sum() for p in theta.values()]).sum()
        return super().loss(theta, task).detach() + nothing

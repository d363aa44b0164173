"""Reptile: move the initial weights towards where plain training on each task ends.

Nichol, Achiam and Schulman 2018 (arXiv 1803.02999). Every task trains on support and query
together, for the method has no use for a query set, by Adam without momentum on small batches.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metarl.core.params import Params, map_params
from metarl.fewshot.data.task import Examples, Split
from metarl.fewshot.learners.configs import ReptileConfig
from metarl.fewshot.learners.on_network import AdaptsWeights

_EPS = 1e-8


class Reptile(AdaptsWeights[ReptileConfig]):
    """A learner whose adapted state is φ, the weights of one task."""

    drops_out = False

    def init(self, generator: torch.Generator) -> Params:
        """The network's weights."""
        return self.network.init(generator)

    def loss(self, theta: Params, task: Split) -> Tensor:
        """L(φ; query), which Reptile does not descend but reports."""
        return self.network_loss(self.adapt(theta, task.support), task.query)

    def task_gradient(self, theta: Params, task: Split) -> tuple[Tensor, Params]:
        """L(φ; all), and θ − φ in place of a gradient; φ has trained on all examples."""
        everything = Examples(
            torch.cat([task.support.x, task.query.x]), torch.cat([task.support.y, task.query.y])
        )
        phi = self.adapt(theta, everything)
        return self.network_loss(phi, everything), map_params(torch.sub, theta, phi)

    def aggregate(self, gradients: Params) -> Params:
        """The mean of `[T, …]` over tasks, each scaled to norm 1 for "unit-mean"."""
        if self.config.aggregate == "mean":
            return map_params(lambda g: g.mean(0), gradients)
        squares = [g.square().flatten(1).sum(1) for g in gradients.values()]
        norms = torch.stack(squares).sum(0).sqrt() + _EPS
        return map_params(lambda g: (g / norms.view(-1, *[1] * (g.dim() - 1))).mean(0), gradients)

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Params:
        """φ after `steps` steps on the support set; nothing is differentiable in θ."""
        return self.path(theta, support, self.config.inner_steps if steps is None else steps)[-1]

    def path(self, theta: Params, support: Examples, steps: int) -> list[Params]:
        """φ_0 … φ_steps."""
        c = self.config
        phi, second = map_params(lambda p: p.detach(), theta), map_params(torch.zeros_like, theta)
        path = [phi]
        for k in range(steps):
            gradient = torch.func.grad(self.network_loss)(phi, self._batch(support, k))
            if c.inner_optimizer == "adam":
                second = map_params(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
                unbias = 1 / (1 - 0.999 ** (k + 1))
                gradient = map_params(
                    lambda g, v, u=unbias: g / ((v * u).sqrt() + _EPS), gradient, second
                )
            phi = map_params(lambda p, g: p - c.inner_lr * g, phi, gradient)
            path.append(phi)
        return path

    def _batch(self, examples: Examples, step: int) -> Examples:
        """The examples of a step: the next ones in turn, by a stride that mixes classes."""
        count, size = len(examples.x), self.config.inner_batch
        if size == 0 or size >= count:
            return examples
        stride = next(s for s in range(round(count * 0.618), count + 1) if math.gcd(s, count) == 1)
        index = (torch.arange(step * size, (step + 1) * size) * stride) % count
        index = index.to(examples.x.device)
        return Examples(examples.x[index], examples.y[index])

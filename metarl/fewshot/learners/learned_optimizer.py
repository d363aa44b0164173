"""An optimiser that is itself learned: an LSTM for every coordinate, all with the same weights.

Andrychowicz et al. 2016 (arXiv 1606.04474): φ ← φ + s g(∇L, h), where the gradient is shown as its
logarithm and sign (appendix A) and taken as a constant. The initial weights are learned as well.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metarl.core.params import Params, detach, flatten, unflatten
from metarl.fewshot.data.task import Examples, Split
from metarl.fewshot.learners.configs import LearnedOptimizerConfig
from metarl.fewshot.learners.on_network import AdaptsWeights
from metarl.fewshot.networks.network import weights

_OWN = "optimizer."
_LOG_RANGE = 10.0  # p of the paper: gradients below e⁻ᵖ are shown linearly


class LearnedOptimizer(AdaptsWeights[LearnedOptimizerConfig]):
    """A learner whose adapted state is φ, the weights of one task."""

    drops_out = False
    undecayed = (_OWN,)

    def init(self, generator: torch.Generator) -> Params:
        """The network's initial weights and the LSTM's, whose forget gate starts open."""
        units = self.config.units
        own = weights("gates", (4 * units, 2 + units), generator)
        own["gates.bias"][units : 2 * units] += 1.0
        own |= weights("out", (1, units), generator)
        return self.network.init(generator) | {f"{_OWN}{k}": p for k, p in own.items()}

    def loss(self, theta: Params, task: Split) -> Tensor:
        """The mean of L(φ_k; query) over the steps k; a scalar."""
        path = self.path(theta, task.support, self.config.inner_steps)[1:]
        return torch.stack([self.network_loss(phi, task.query) for phi in path]).mean()

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Params:
        """φ after `steps` steps of the optimiser."""
        steps = self.config.inner_steps if steps is None else steps
        return self.path(theta, support, steps)[-1]

    def path(self, theta: Params, support: Examples, steps: int) -> list[Params]:
        """φ_0 … φ_steps."""
        phi = _network(theta)
        path = [phi]
        vector = flatten(phi)
        h = c = vector.new_zeros(len(vector), self.config.units)
        for _ in range(steps):
            gradient = torch.func.grad(self.network_loss)(detach(phi), support)
            shown = _shown(flatten(detach(gradient)))
            gates = torch.cat([shown, h], -1) @ theta[f"{_OWN}gates.weight"].T
            i, f, g, o = (gates + theta[f"{_OWN}gates.bias"]).chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            update = h @ theta[f"{_OWN}out.weight"].T + theta[f"{_OWN}out.bias"]
            vector = vector + self.config.output_scale * update.squeeze(-1)
            phi = unflatten(vector, phi)
            path.append(phi)
        return path


def _network(theta: Params) -> Params:
    """The network's part of θ."""
    return {name: p for name, p in theta.items() if not name.startswith(_OWN)}


def _shown(gradient: Tensor) -> Tensor:
    """(log|g| / p, sign g) where |g| ≥ e⁻ᵖ, else (−1, eᵖ g): `[P, 2]`."""
    size = gradient.abs()
    large = size >= math.exp(-_LOG_RANGE)
    logarithm = torch.log(torch.where(large, size, 1.0)) / _LOG_RANGE
    first = torch.where(large, logarithm, -1.0)
    second = torch.where(large, gradient.sign(), math.exp(_LOG_RANGE) * gradient)
    return torch.stack([first, second], -1)

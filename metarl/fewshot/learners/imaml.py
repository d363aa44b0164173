"""Implicit MAML: adaptation with a proximal term, differentiated at its end alone.

Rajeswaran et al. 2019 (arXiv 1909.04630): φ = argmin L(φ; support) + λ/2 ‖φ − θ‖², whose derivative
needs no path: dφ/dθ = (I + H/λ)⁻¹ with the Hessian H of L at φ. The outer gradient
(I + H/λ)⁻¹ ∇L(φ; query) comes from conjugate gradient, exact as far as φ is the minimum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metarl.core.params import Params, detach, flatten, global_norm, map_params, unflatten
from metarl.core.trust_region import conjugate_gradient
from metarl.fewshot.data.task import Examples, Split
from metarl.fewshot.learners.configs import ImamlConfig
from metarl.fewshot.learners.on_network import AdaptsWeights

FAR = 0.1
"""Residual beyond which the implicit gradient is no longer that of the outer loss."""


class Imaml(AdaptsWeights[ImamlConfig]):
    """A learner whose adapted state is φ, the weights of one task."""

    vmaps = False  # conjugate gradient ends when a task is solved
    drops_out = False

    def init(self, generator: torch.Generator) -> Params:
        """The network's weights."""
        return self.network.init(generator)

    def loss(self, theta: Params, task: Split) -> Tensor:
        """L(φ; query); a scalar that does not show the outer gradient."""
        return self.network_loss(self.adapt(theta, task.support), task.query)

    def task_gradient(self, theta: Params, task: Split) -> tuple[Tensor, Params]:
        """L(φ; query) and (I + H/λ)⁻¹ ∇L(φ; query)."""
        c = self.config
        phi = self.adapt(theta, task.support)
        gradient, loss = torch.func.grad_and_value(self.network_loss)(phi, task.query)

        inner = torch.func.grad(lambda params: self.network_loss(params, task.support))
        hessian = torch.func.vjp(inner, phi)[1]

        def product(v: Tensor) -> Tensor:
            (hv,) = hessian(unflatten(v, phi))
            return v + flatten(hv) / c.proximity

        solution = conjugate_gradient(product, flatten(gradient), iterations=c.cg_iterations)
        return loss, detach(unflatten(solution.x, phi))

    def residual(self, theta: Params, support: Examples) -> Tensor:
        """‖∇L(φ) + λ (φ − θ)‖ / ‖∇L(θ)‖: how far φ is from the minimum, 0 there and 1 at θ."""
        slope = torch.func.grad(self.network_loss)
        phi = self.adapt(theta, support)
        left = map_params(
            lambda g, p, t: g + self.config.proximity * (p - t), slope(phi, support), phi, theta
        )
        return global_norm(left) / global_norm(slope(theta, support))

    def aggregate(self, gradients: Params) -> Params:
        """The mean of `[T, …]` over tasks."""
        return map_params(lambda g: g.mean(0), gradients)

    def adapt(self, theta: Params, support: Examples, steps: int | None = None) -> Params:
        """φ after `steps` steps on the proximal objective; nothing is differentiable in θ."""
        return self.path(theta, support, self.config.inner_steps if steps is None else steps)[-1]

    def path(self, theta: Params, support: Examples, steps: int) -> list[Params]:
        """φ_0 … φ_steps."""
        c, theta = self.config, detach(theta)
        phi = theta
        path = [phi]
        for _ in range(steps):
            gradient = torch.func.grad(self.network_loss)(phi, support)
            phi = map_params(
                lambda p, g, t: p - c.inner_lr * (g + c.proximity * (p - t)), phi, gradient, theta
            )
            path.append(phi)
        return path

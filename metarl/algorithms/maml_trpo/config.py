"""Hyper-parameters of MAML-TRPO; every field is an option of `scripts/train_metarl.py`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from metarl.core.choices import Precision
from metarl.rl.choices import ReturnsConfig


@dataclass(frozen=True)
class MamlTrpoConfig:
    """MAML-TRPO (arXiv 1703.03400, algorithm 3)."""

    iterations: int = 500
    """Meta-iterations in all, those before a resume included."""
    tasks: int = 40
    """T, tasks per meta-iteration."""
    episodes: int = 20
    """E, episodes per task and sampling phase."""
    inner_steps: int = 1
    """K, gradient steps of adaptation, each on fresh episodes; 0 is TRPO on all tasks."""
    inner_lr: float = 0.1
    """α, the step size of adaptation (its initial value where it is learned)."""
    inner_lr_decay: float = 1.0
    """Factor on α from one of the `inner_steps` of training to the next."""
    later_inner_lr: float = 0.5
    """Factor on the last of these for updates beyond the `inner_steps` of training, which start
    where training ended (Finn et al. 2017, A.2)."""
    learn_inner_lr: bool = False
    """Learn α, one value per weight, together with θ (Meta-SGD, arXiv 1707.09835)."""
    first_order: bool = False
    """Take ∂φ/∂θ = I (FOMAML): cheaper, biased."""
    multi_step_loss: bool = False
    """Improve the policies after 1, 2, … K steps alike, not that after K alone (MAML++, arXiv
    1810.09502)."""
    multi_step_iterations: int = 0
    """Iterations over which these, of equal weight at first, give way to that after K alone; 0:
    their weights stay equal."""
    inner_loss: Literal["likelihood-ratio", "log-likelihood", "dice"] = "likelihood-ratio"
    """What adaptation descends; log-likelihood has the right gradient and a wrong Hessian."""
    inner_advantage_clip: float = 0.0
    """Adaptation learns from advantages within ± so many standard deviations, standardised again;
    0: from all as they are."""
    discount: float = 0.99
    """γ of the returns."""
    gae_lambda: float = 1.0
    """λ of generalised advantage estimation; 1 is returns minus baseline."""
    bootstrap_at_horizon: bool = False
    """Continue the value beyond the horizon instead of ending it there with zero."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the policy's hidden layers."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation of the hidden layers."""
    initial_std: float = 1.0
    """σ₀ of the actions, in policy units (see `action_scale`)."""
    min_std: float = 1e-6
    """Lower bound of σ."""
    output_gain: float = 1.0
    """Factor on the initial weights of the policy's last layer; small starts near zero action."""
    normalize_observations: bool = False
    """Show the policy observations of running mean 0 and variance 1."""
    action_scale: float = 1.0
    """What the policy's unit action is, as a fraction of half the actuator's range, which is 1
    without bounds."""
    max_kl: float = 0.01
    """Trust region: mean KL between the adapted policies before and after the outer step."""
    kl_schedule: Literal["constant", "linear"] = "constant"
    """Linear: from `max_kl` down to zero over all iterations."""
    cg_iterations: int = 10
    """Conjugate-gradient iterations of the outer step."""
    cg_damping: float = 1e-5
    """Multiple of the identity added to the Fisher matrix."""
    line_search_steps: int = 15
    """Candidates that the line search tries at most."""
    line_search_decay: float = 0.8
    """Factor between one candidate's step and the next one's."""
    precision: Precision = "float32"
    """Of products in the update on a GPU: tf32 rounds their factors to 10 bits."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        for name in ("iterations", "tasks", "episodes", "cg_iterations", "line_search_steps"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("inner_steps", self.inner_steps >= 0, "at least 0")
        positive = ("inner_lr", "initial_std", "min_std", "action_scale", "max_kl", "output_gain")
        for name in positive:
            self._require(name, _finite(getattr(self, name)) > 0, "positive and finite")
        self._require("inner_lr_decay", 0 < self.inner_lr_decay <= 1, "above 0 and at most 1")
        self._require("later_inner_lr", 0 <= self.later_inner_lr <= 1, "between 0 and 1")
        possible = self.inner_steps >= 1 or not self.multi_step_loss
        self._require("multi_step_loss", possible, "off where there are no --inner-steps")
        self._require("multi_step_iterations", self.multi_step_iterations >= 0, "at least 0")
        possible = self.multi_step_loss or not self.multi_step_iterations
        self._require("multi_step_iterations", possible, "0 without --multi-step-loss")
        for name in ("inner_advantage_clip", "cg_damping"):
            self._require(name, _finite(getattr(self, name)) >= 0, "zero or positive, and finite")
        for name in ("discount", "gae_lambda"):
            self._require(name, 0 <= getattr(self, name) <= 1, "between 0 and 1")
        self._require("line_search_decay", 0 < self.line_search_decay < 1, "between 0 and 1")
        self._require("hidden", all(width >= 1 for width in self.hidden), "widths of at least 1")
        losses = ("likelihood-ratio", "log-likelihood", "dice")
        self._require("inner_loss", self.inner_loss in losses, f"one of {', '.join(losses)}")
        schedules = ("constant", "linear")
        self._require("kl_schedule", self.kl_schedule in schedules, " or ".join(schedules))
        self._require("activation", self.activation in ("tanh", "relu"), "tanh or relu")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} must be {allowed}, got {getattr(self, name)!r}")

    def step_factor(self, step: int) -> float:
        """Return the factor on α in a step of adaptation, counted from 0."""
        trained = max(1, self.inner_steps)
        factor = self.inner_lr_decay ** min(step, trained - 1)
        return factor if step < trained else factor * self.later_inner_lr

    def kl_bound(self, iteration: int) -> float:
        """δ of an iteration, counted from 0."""
        left = 1 - iteration / self.iterations if self.kl_schedule == "linear" else 1.0
        return self.max_kl * max(left, 0.0)

    @property
    def counts(self) -> bool:
        """It is true where an iteration depends on how many there were."""
        return self.kl_schedule != "constant" or self.multi_step_iterations > 0

    @property
    def returns(self) -> ReturnsConfig:
        """Say how rewards become advantages."""
        return ReturnsConfig(self.discount, self.gae_lambda, self.bootstrap_at_horizon)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else -math.inf

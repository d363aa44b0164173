"""Hyper-parameters of RL²; every field is an option of `scripts/train_metarl.py --algo rl2`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from metarl.core.choices import Precision


@dataclass(frozen=True)
class Rl2Config:
    """RL² (arXiv 1611.02779), trained with PPO (arXiv 1707.06347) over whole trials."""

    iterations: int = 500
    """Meta-iterations in all, those before a resume included."""
    tasks: int = 64
    """T, tasks per meta-iteration: one trial each."""
    episodes: int = 2
    """K, episodes of a trial; the memory lasts for all of them."""
    policy: Literal["recurrent", "transformer"] = "recurrent"
    """What remembers: a recurrent cell, or a causal transformer over the trial."""
    cell: Literal["gru", "lstm"] = "gru"
    """The recurrent cell."""
    layers: int = 2
    """Layers of the transformer."""
    heads: int = 4
    """Attention heads of the transformer."""
    context: int = 512
    """Steps of a trial at most, for the transformer."""
    hidden: int = 128
    """Width of the memory."""
    layer_norm: bool = False
    """Normalise the cell's gates (slower: not torch's fused kernel)."""
    embeddings: tuple[int, ...] = ()
    """Widths of the linear layers that observation, action and reward pass first; none if empty."""
    head: tuple[int, ...] = ()
    """Widths of the hidden layers between the memory and the outputs of actor and critic."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation of embeddings and hidden layers."""
    transitions: bool = False
    """Show each step the observation before as well, which makes a whole transition of it."""
    separate_critic: bool = False
    """Give the critic a memory of its own."""
    initial_std: float = 1.0
    """σ₀ of continuous actions, in policy units (see `action_scale`)."""
    min_std: float = 1e-6
    """Lower bound of σ."""
    action_scale: float = 1.0
    """What the policy's unit action is, as a fraction of half the actuator's range, which is 1
    without bounds."""
    normalize_observations: bool = False
    """Show the policy observations of running mean 0 and variance 1."""
    normalize_rewards: bool = True
    """Train on rewards over the running standard deviation of returns; the policy sees raw ones."""
    discount: float = 0.99
    """γ, over the whole trial."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation, over the whole trial."""
    bootstrap_at_end: bool = False
    """End a trial with the value of a further episode's start instead of zero; a guess with
    `--episodes 1`, where the critic learns of no such start."""
    lr: float = 7e-4
    """Step size of Adam."""
    lr_schedule: Literal["constant", "linear"] = "constant"
    """Linear: from `lr` down to zero over all iterations."""
    clip: float = 0.2
    """ε, how far a ratio of probabilities may gain."""
    epochs: int = 4
    """Passes over the trials of an iteration."""
    minibatches: int = 4
    """Parts of a pass: each holds whole trials of some tasks."""
    bptt_steps: int = 0
    """Steps through which errors are propagated back; 0 is the whole trial."""
    entropy_weight: float = 0.01
    """Weight of the policy's entropy."""
    entropy_schedule: Literal["constant", "linear"] = "constant"
    """Linear: from `entropy_weight` down to zero over all iterations."""
    value_per_step: bool = False
    """Let the critic predict the mean reward per step that is left, not the sum of rewards."""
    value_weight: float = 0.5
    """Weight of the value's loss."""
    value_loss: Literal["huber", "squared"] = "huber"
    """Loss of the value."""
    prediction_weight: float = 0.0
    """Weight of an auxiliary loss of the memory, half the squared error of the reward that it
    expects of the action (arXiv 1611.05397); discrete actions only."""
    max_grad_norm: float = 0.5
    """Gradients are scaled down to this norm."""
    max_kl: float = 0.0
    """End an iteration's updates once a minibatch's KL exceeds this; 0 never does."""
    precision: Precision = "float32"
    """Of products in the update on a GPU: tf32 rounds their factors to 10 bits."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        counts = ("iterations", "tasks", "episodes", "hidden", "epochs", "minibatches")
        for name in (*counts, "layers", "heads", "context"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        divides = self.policy != "transformer" or self.hidden % self.heads == 0
        self._require("hidden", divides, f"a multiple of --heads {self.heads}")
        self._require("minibatches", self.minibatches <= self.tasks, "at most --tasks")
        self._require("bptt_steps", self.bptt_steps >= 0, "at least 0")
        for name in ("lr", "initial_std", "min_std", "action_scale", "clip", "max_grad_norm"):
            value = getattr(self, name)
            self._require(name, math.isfinite(value) and value > 0, "positive and finite")
        for name in ("entropy_weight", "value_weight", "prediction_weight", "max_kl"):
            value = getattr(self, name)
            self._require(name, math.isfinite(value) and value >= 0, "zero or positive, and finite")
        for name in ("discount", "gae_lambda"):
            self._require(name, 0 <= getattr(self, name) <= 1, "between 0 and 1")
        endless = self.value_per_step and self.bootstrap_at_end
        self._require(
            "discount",
            self.discount < 1 or not endless,
            "below 1 with --value-per-step and --bootstrap-at-end, whose trials never end",
        )
        self._require("head", all(width >= 1 for width in self.head), "widths of at least 1")
        self._require(
            "embeddings",
            len(self.embeddings) in (0, 3) and all(width >= 1 for width in self.embeddings),
            "three widths of at least 1 (observation, action, reward), or none",
        )
        for name, allowed in (
            ("policy", ("recurrent", "transformer")),
            ("cell", ("gru", "lstm")),
            ("activation", ("tanh", "relu")),
            ("lr_schedule", ("constant", "linear")),
            ("entropy_schedule", ("constant", "linear")),
            ("value_loss", ("huber", "squared")),
        ):
            self._require(name, getattr(self, name) in allowed, " or ".join(allowed))

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} must be {allowed}, got {getattr(self, name)!r}")

"""Hyper-parameters of every few-shot learner; this file needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from metarl.fewshot.config import FewShotConfig
from metarl.fewshot.networks.choices import Activation, Norm


@dataclass(frozen=True)
class CnpConfig(FewShotConfig):
    """Conditional neural processes (arXiv 1807.01613)."""

    code: int = 128
    """Width of r (of each class)."""
    encoder: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of h."""
    decoder: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of g."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        super().__post_init__()
        self._require("code", self.code >= 1, "at least 1")
        for name in ("encoder", "decoder"):
            self._require(name, all(w >= 1 for w in getattr(self, name)), "widths of at least 1")


@dataclass(frozen=True)
class FilmConfig(FewShotConfig):
    """FiLM (arXiv 1709.07871) generated from the support set."""

    norm: Norm = "layer"
    """Between a layer and its activation; what it scales by is generated, so there must be one."""
    code: int = 128
    """Width of the code of a support set."""
    encoder: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of the set encoder."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        super().__post_init__()
        self._require("norm", self.norm != "none", "batch, group or layer")
        self._require("code", self.code >= 1, "at least 1")
        self._require("encoder", all(w >= 1 for w in self.encoder), "widths of at least 1")


@dataclass(frozen=True)
class ImamlConfig(FewShotConfig):
    """Implicit MAML (arXiv 1909.04630)."""

    activation: Activation = "tanh"
    """Activation of the hidden layers, for inputs that are not images; a smooth one, for where relu
    has a kink the minimum has no gradient of zero."""
    inner_lr: float = 0.02
    """Step size of adaptation."""
    inner_steps: int = 32
    """Steps of gradient descent in training; enough to come near the minimum, see `residual`."""
    eval_steps: tuple[int, ...] = (0, 1, 5, 32)
    """After how many steps evaluations measure."""
    proximity: float = 5.0
    """λ, how strongly adapted weights are held at the initial ones."""
    cg_iterations: int = 5
    """Products with the Hessian per task."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        super().__post_init__()
        for name in ("inner_steps", "cg_iterations"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("inner_lr", "proximity"):
            value = getattr(self, name)
            self._require(name, math.isfinite(value) and value > 0, "positive and finite")
        self._require_steps("eval_steps")


@dataclass(frozen=True)
class LearnedOptimizerConfig(FewShotConfig):
    """Learning to learn by gradient descent by gradient descent (arXiv 1606.04474)."""

    inner_steps: int = 5
    """Steps of the optimiser in training."""
    eval_steps: tuple[int, ...] = (0, 1, 5, 10)
    """After how many steps evaluations measure."""
    units: int = 20
    """Width of the LSTM."""
    output_scale: float = 0.1
    """s, what the LSTM's output is multiplied by."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        super().__post_init__()
        for name in ("inner_steps", "units"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        scale = self.output_scale
        self._require("output_scale", math.isfinite(scale) and scale > 0, "positive and finite")
        self._require_steps("eval_steps")


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
    multi_step_iterations: int = 0
    """Iterations over which that average, equal at first, moves to the last step alone; 0: it
    stays equal."""
    later_inner_lr: float = 1.0
    """Factor on α for the steps beyond the `inner_steps` of training."""
    inner_clip: float = 0.0
    """Longest gradient of a step of adaptation; longer ones are scaled down to it. 0: any."""
    query_weight: float = 0.0
    """λ of λ · L(θ; query), the multi-task objective beside the meta-objective; in classification
    by a joint head over all training classes."""

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
        self._require("multi_step_iterations", self.multi_step_iterations >= 0, "at least 0")
        later = self.later_inner_lr
        self._require("later_inner_lr", math.isfinite(later) and later > 0, "positive and finite")
        clip = self.inner_clip
        self._require("inner_clip", math.isfinite(clip) and clip >= 0, "at least 0 and finite")
        self._require("inner_momentum", 0 <= self.inner_momentum < 1, "at least 0 and below 1")
        weight = self.query_weight
        self._require("query_weight", math.isfinite(weight) and weight >= 0, "at least 0")
        self._one_of("adapts", "all", "head", "body")
        self._one_of("rates", "fixed", "weight", "layer-step")


@dataclass(frozen=True)
class MatchingNetConfig(FewShotConfig):
    """Matching networks (arXiv 1606.04080)."""

    cosine_scale: float = 10.0
    """What the cosine is multiplied by before the softmax; it is learned from here."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        super().__post_init__()
        self._require("cosine_scale", self.cosine_scale > 0, "positive")


@dataclass(frozen=True)
class ProtoNetConfig(FewShotConfig):
    """Prototypical networks (arXiv 1703.05175)."""

    distance: Literal["euclidean", "cosine"] = "euclidean"
    """Squared Euclidean distance, or one minus the cosine, times ten."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        super().__post_init__()
        self._one_of("distance", "euclidean", "cosine")


@dataclass(frozen=True)
class R2D2Config(FewShotConfig):
    """R2-D2 (arXiv 1805.08136)."""

    ridge: float = 1.0
    """λ of the ridge regression; it is learned from here."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        super().__post_init__()
        self._require("ridge", self.ridge > 0, "positive")


@dataclass(frozen=True)
class ReptileConfig(FewShotConfig):
    """Reptile (arXiv 1803.02999)."""

    inner_optimizer: Literal["adam", "sgd"] = "adam"
    """Of a task: Adam with β₁ = 0, or plain gradient descent."""
    inner_lr: float = 1e-3
    """Its step size."""
    inner_steps: int = 5
    """Its steps in training."""
    inner_batch: int = 10
    """Examples per step, taken in turn; all of them if 0."""
    eval_steps: tuple[int, ...] = (0, 5, 50)
    """After how many steps evaluations measure."""
    aggregate: Literal["mean", "unit-mean"] = "mean"
    """Of the tasks' displacements: their mean, or the mean of their directions."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        super().__post_init__()
        self._require("inner_steps", self.inner_steps >= 1, "at least 1")
        self._require("inner_batch", self.inner_batch >= 0, "at least 0")
        self._require_steps("eval_steps")
        rate = self.inner_lr
        self._require("inner_lr", math.isfinite(rate) and rate > 0, "positive and finite")
        self._one_of("inner_optimizer", "adam", "sgd")
        self._one_of("aggregate", "mean", "unit-mean")


@dataclass(frozen=True)
class SnailConfig(FewShotConfig):
    """SNAIL (arXiv 1707.03141)."""

    channels: int = 32
    """That each convolution adds."""
    keys: int = 32
    """Width of the keys and values of attention."""
    blocks: int = 2
    """Blocks of attention, convolutions, attention."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        super().__post_init__()
        for name in ("channels", "keys", "blocks"):
            self._require(name, getattr(self, name) >= 1, "at least 1")

"""The losses of proximal policy optimisation (arXiv 1707.06347), as sums over real steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, Self

import torch
from torch import Tensor
from torch.nn import functional

from metarl.core.params import Params
from metarl.rl.policy import Dist, log_prob_and_entropy

ValueLoss = Literal["huber", "squared"]


class PpoConfig(Protocol):
    """The hyper-parameters that the update reads; an algorithm's own configuration has them."""

    @property
    def lr(self) -> float:
        """Adam's learning rate."""

    @property
    def lr_schedule(self) -> str:
        """It is "constant", or "linear" to 0 over all iterations."""

    @property
    def iterations(self) -> int:
        """Meta-iterations of the whole run, for schedules."""

    @property
    def entropy_weight(self) -> float:
        """w_H."""

    @property
    def entropy_schedule(self) -> str:
        """It names a schedule, as `lr_schedule` does."""

    @property
    def value_weight(self) -> float:
        """w_V."""

    @property
    def prediction_weight(self) -> float:
        """w_R; 0 is no prediction."""

    @property
    def clip(self) -> float:
        """ε of the clipped ratio."""

    @property
    def value_loss(self) -> ValueLoss:
        """It is "huber" or "squared"."""

    @property
    def max_grad_norm(self) -> float:
        """Gradients are scaled down to this norm."""

    @property
    def max_kl(self) -> float:
        """Epochs end at a larger KL; 0 is never."""

    @property
    def bptt_steps(self) -> int:
        """Steps of a trial that errors go back through; 0 is all."""

    @property
    def epochs(self) -> int:
        """Passes over the trials of an iteration."""

    @property
    def minibatches(self) -> int:
        """An epoch has so many."""


class PpoState(Protocol):
    """The update steps this; it is a NamedTuple that has these fields among others."""

    @property
    def params(self) -> Params:
        """The policy has these parameters."""

    @property
    def first(self) -> Params:
        """Adam's first moments."""

    @property
    def second(self) -> Params:
        """Adam's second moments."""

    @property
    def counters(self) -> Params:
        """`adam`, the steps of Adam so far, and `iterations`, both scalars."""

    @property
    def _replace(self) -> Callable[..., Self]:
        """The state with other fields, as every NamedTuple has it."""


class PpoBatch(NamedTuple):
    """All that PPO may see, time-major `[S, N, …]`."""

    views: Tensor  # [S, N, D]
    action: Tensor  # [S, N, A], or [S, N] or [S, N, K] int64
    log_prob: Tensor  # [S, N], of the action when it was drawn
    advantage: Tensor  # [S, N]
    target: Tensor  # [S, N], what the value is to be
    reward: Tensor  # [S, N], of mean 0 and variance 1, what is to be expected of the action
    mask: Tensor  # [S, N] bool


class PpoTerms(NamedTuple):
    """Sums or means over real steps; each a scalar."""

    policy: Tensor  # −min(ρ A, clip(ρ, 1 − ε, 1 + ε) A)
    value: Tensor
    entropy: Tensor
    clipped: Tensor  # how many ratios left 1 ± ε
    approx_kl: Tensor  # (ρ − 1) − log ρ (http://joschu.net/blog/kl-approx.html)
    prediction: Tensor  # ½ (expected − reward)², zero where nothing is expected


def ppo_terms(
    dist: Dist, value: Tensor, batch: PpoBatch, *, clip: float, value_loss: ValueLoss
) -> PpoTerms:
    """Equation 7, the value's loss and the entropy, each summed over the real steps.

    L = −min(ρ A, clip(ρ, 1 − ε, 1 + ε) A),   ρ = π(a) / π_old(a)

    Args:
        dist: of the policy now, each `[S, N, …]`.
        value: of the critic now, `[S, N]`.
        batch: the data; without padding's values (see `without_padding`).
        clip: ε.
        value_loss: "huber" (quadratic up to an error of 1, then linear) or "squared" (½ error²).
    """
    log_prob, entropy = log_prob_and_entropy(dist, batch.action)
    log_ratio = torch.where(batch.mask, log_prob - batch.log_prob, 0.0)
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    surrogate = torch.minimum(ratio * batch.advantage, clipped * batch.advantage)
    error = torch.where(batch.mask, value - batch.target, 0.0)
    if value_loss == "huber":
        critic = functional.smooth_l1_loss(error, torch.zeros_like(error), reduction="sum")
    else:
        critic = 0.5 * error.square().sum()
    with torch.no_grad():
        outside = ((ratio - 1).abs() > clip).sum().to(value.dtype)
        kl = (ratio - 1 - log_ratio).sum()
    return PpoTerms(
        -torch.where(batch.mask, surrogate, 0.0).sum(),
        critic,
        torch.where(batch.mask, entropy, 0.0).sum(),
        outside,
        kl,
        torch.zeros_like(kl),
    )


def take_trials(batch: PpoBatch, index: Tensor) -> PpoBatch:
    """The trials `index` `[M]` of a batch; never a part of a trial."""
    return PpoBatch(*(field.index_select(1, index) for field in batch))


def without_padding(batch: PpoBatch) -> PpoBatch:
    """Zeros where the mask is False, so that padding (NaN included) reaches no gradient."""

    def clean(field: Tensor) -> Tensor:
        mask = batch.mask.unsqueeze(-1) if field.dim() > batch.mask.dim() else batch.mask
        return torch.where(mask, field, 0)

    fields = batch._asdict()
    del fields["mask"]
    return batch._replace(**{name: clean(field) for name, field in fields.items()})

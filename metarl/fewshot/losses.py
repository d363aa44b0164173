"""What a prediction costs, and how good it is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from metarl.fewshot.data.task import Kind


def loss(kind: Kind, outputs: Tensor, y: Tensor) -> Tensor:
    """Squared error per number, or cross-entropy per example; the mean (a scalar).

    Args:
        kind: of the targets.
        outputs: `[N, C]`, predictions or logits.
        y: `[N, C]` targets, or `[N]` classes.
    """
    if kind == "regression":
        return (outputs - y).square().mean()
    return functional.cross_entropy(outputs, y)


def score(kind: Kind, outputs: Tensor, y: Tensor) -> Tensor:
    """Mean squared error, or accuracy, over the examples: `[…]` of `[…, N, C]`.

    Logits that are not finite have no accuracy: it is not a number.
    """
    if kind == "regression":
        return (outputs - y).square().mean((-2, -1))
    return hits(outputs, y).mean(-1)


def among(there: Tensor, logits: Tensor) -> Tensor:
    """Logits `[…, C]` of which a class that is not `there` `[C]` is never the answer."""
    return torch.where(there, logits, torch.finfo(logits.dtype).min)


def hits(outputs: Tensor, y: Tensor) -> Tensor:
    """1 where the greatest logit is that of the class, else 0: `[…, N]` of `[…, N, C]`.

    It is not a number where the logits are not finite.
    """
    found = (outputs.argmax(-1) == y).float()
    return torch.where(outputs.isfinite().all(-1), found, torch.nan)

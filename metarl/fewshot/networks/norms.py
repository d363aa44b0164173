"""Normalisation as plain tensor operations.

Under `torch.func.vmap` the second derivatives of torch's fused norms are wrong by 0.5–10 %; of
these, every one agrees with finite differences (tests/fewshot). Examples are the first axis,
features or channels the second: `[N, C]` or `[N, C, height, width]`. There are no running
statistics: "batch" uses those of the examples it is given, so a prediction depends on the other
queries (it is *transductive*, and evaluations say so).
"""

from __future__ import annotations

import torch
from torch import Tensor

from metarl.core.params import Params
from metarl.fewshot.networks.choices import Norm

_EPS = 1e-5


def groups(channels: int) -> int:
    """Count the groups of "group": eight channels each, or all in one where that fails."""
    return channels // 8 if channels % 8 == 0 else 1


def init(norm: Norm, channels: int, prefix: str) -> Params:
    """Scale 1 and shift 0, each `[C]`; nothing without a norm."""
    if norm == "none":
        return {}
    return {f"{prefix}.scale": torch.ones(channels), f"{prefix}.shift": torch.zeros(channels)}


def apply(norm: Norm, params: Params, prefix: str, x: Tensor) -> Tensor:
    """(x − mean) / std · scale + shift.

    Mean and std are those of a channel over examples and positions ("batch", arXiv 1502.03167), of
    an example over all ("layer", 1607.06450) or over a group of channels ("group", 1803.08494).
    """
    if norm == "none":
        return x
    wide = (-1, *[1] * (x.dim() - 2))
    if norm == "batch":
        standard = _standardized(x, [0, *range(2, x.dim())])
    elif norm == "layer":
        standard = _standardized(x, list(range(1, x.dim())))
    else:
        parts = x.reshape(x.shape[0], groups(x.shape[1]), -1)
        standard = _standardized(parts, [2]).reshape(x.shape)
    return standard * params[f"{prefix}.scale"].view(wide) + params[f"{prefix}.shift"].view(wide)


def _standardized(x: Tensor, over: list[int]) -> Tensor:
    centred = x - x.mean(over, keepdim=True)
    return centred * (centred.square().mean(over, keepdim=True) + _EPS).rsqrt()

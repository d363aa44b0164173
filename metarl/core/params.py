"""Parameters as plain dictionaries of tensors, and the linear algebra they need."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Params = dict[str, Tensor]
"""Parameters by name, as `torch.func.functional_call` takes them."""


def map_params(fn: Callable[..., Tensor], *trees: Params) -> Params:
    """Apply `fn` to the tensors of the same name; every tree has the first one's names."""
    first = trees[0]
    return {name: fn(*(tree[name] for tree in trees)) for name in first}


def detach(params: Params) -> Params:
    """The same values, cut from every graph."""
    return map_params(lambda p: p.detach(), params)


def leaves(params: Params) -> Params:
    """The same values as fresh leaves that record gradients."""
    return map_params(lambda p: p.detach().requires_grad_(True), params)


def broadcast(params: Params, num_tasks: int) -> Params:
    """Add a leading task axis `[T, …]` without copying."""
    return map_params(lambda p: p.expand(num_tasks, *p.shape), params)


def unstack(params: Params) -> list[Params]:
    """One tree of `[T, …]` to T trees of `[…]` (views)."""
    rows = {name: p.unbind(0) for name, p in params.items()}
    num_tasks = len(next(iter(rows.values())))
    return [{name: row[i] for name, row in rows.items()} for i in range(num_tasks)]


def flatten(params: Params) -> Tensor:
    """All tensors, in the dictionary's order, as one vector `[P]`."""
    return torch.cat([p.reshape(-1) for p in params.values()])


def unflatten(vector: Tensor, like: Params) -> Params:
    """The inverse of `flatten`: views into `vector` with the shapes of `like`."""
    pieces = torch.split(vector, [p.numel() for p in like.values()])
    return {
        name: piece.view(p.shape) for (name, p), piece in zip(like.items(), pieces, strict=True)
    }


def global_norm(params: Params) -> Tensor:
    """The Euclidean norm of all entries together (a scalar)."""
    return torch.sqrt(sum((p.square().sum() for p in params.values()), torch.zeros(())))

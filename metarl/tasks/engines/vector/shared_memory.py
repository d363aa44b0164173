"""The arrays that the engine and its workers share, one row per environment.

In worker processes they lie in shared memory, so that a step sends no array through a pipe.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Metrics = dict[str, np.ndarray]


class Field(NamedTuple):
    """An array lies here in the shared memory."""

    shape: tuple[int, ...]
    dtype: str
    offset: int


class SharedArrays(NamedTuple):
    """An engine and its workers exchange these; N environments, W workers."""

    seed: np.ndarray  # [N] int64, of the next reset
    chosen: np.ndarray  # [N] bool, whom the next command is for
    action: np.ndarray  # [N, …], within the action space
    obs: np.ndarray  # [N, O] float32
    reward: np.ndarray  # [N] float64
    terminated: np.ndarray  # [N] bool
    truncated: np.ndarray  # [N] bool, by the environment itself
    calls: np.ndarray  # [W] int64, calls of environments so far: a worker that lives goes on
    current: np.ndarray  # [W] int64, the environment that is being called


Layout = dict[str, Field]


def layout(count: int, obs: int, action: tuple[tuple[int, ...], str], workers: int) -> Layout:
    """The arrays of `count` environments; `action` is the shape and the type of one action."""
    shapes: dict[str, tuple[tuple[int, ...], str]] = {
        "seed": ((count,), "int64"),
        "chosen": ((count,), "bool"),
        "action": ((count, *action[0]), action[1]),
        "obs": ((count, obs), "float32"),
        "reward": ((count,), "float64"),
        "terminated": ((count,), "bool"),
        "truncated": ((count,), "bool"),
        "calls": ((workers,), "int64"),
        "current": ((workers,), "int64"),
    }
    fields, offset = {}, 0
    for name, (shape, dtype) in shapes.items():
        fields[name] = Field(shape, dtype, offset)
        offset += -(-size(fields[name]) // 64) * 64  # whole cache lines
    return fields


def size(field: Field) -> int:
    """Bytes of one array."""
    return int(np.prod(field.shape)) * np.dtype(field.dtype).itemsize


def shared_arrays(memory: Any, fields: Layout) -> SharedArrays:
    """The arrays in a buffer."""
    return SharedArrays(
        **{
            name: np.ndarray(field.shape, field.dtype, memory, field.offset)
            for name, field in fields.items()
        }
    )

"""Memory that environments need on MuJoCo Warp, and memory that there is."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import torch

CONTACTS, ROWS = 48, 192
"""Contacts and rows of constraints per environment that there is room for at least.

Of all bodies the humanoid needs the most: 10 and 39 in 30,000 physics steps with random controls.
"""


def contacts(model: Any) -> int:
    """Room for contacts per environment: two of every geom with the floor, and some more."""
    return max(CONTACTS, 2 * int(model.ngeom) + 16)


def rows(model: Any) -> int:
    """Room for rows of constraints: four of every such contact, and all limits."""
    return max(ROWS, 4 * contacts(model) + int(model.njnt) + int(model.nv))


def size_in_bytes(data: Any, array: Any) -> int:
    """Memory of the arrays of a kind in a dataclass, those in its fields' own fields included."""
    if isinstance(data, array):
        return int(data.capacity)
    if not dataclasses.is_dataclass(data):
        return 0
    return sum(size_in_bytes(getattr(data, f.name), array) for f in dataclasses.fields(data))


def free_bytes(device: torch.device) -> int:
    """Memory that nothing uses yet."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def gib(size: int) -> str:
    """Bytes in GiB, for people."""
    return f"{size / 2**30:.2f}"

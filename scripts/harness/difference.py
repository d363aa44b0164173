"""How the results of two runs differ: to the last bit, and by how much."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Tensors = Mapping[str, np.ndarray]


def digest_of(tensors: Tensors) -> str:
    """A hash of names, types, shapes and all bits."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(repr(_bits(name, tensors[name])).encode())
    return found.hexdigest()[:12]


def digest_of_json(value: Any) -> str:
    """A hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def tensor_differences(here: Tensors, there: Tensors) -> list[str]:
    """A line for every tensor that is not the same to the last bit."""
    lines = [f"{name}: only here" for name in here if name not in there]
    lines += [f"{name}: only there" for name in there if name not in here]
    for name in here:
        if name not in there or _bits(name, here[name]) == _bits(name, there[name]):
            continue
        lines.append(f"{name}: {_distance(here[name], there[name])}")
    return lines


def json_differences(here: Any, there: Any) -> list[str]:
    """A line for every value that is not the same."""
    a, b = dict(_leaves(here)), dict(_leaves(there))
    lines = [f"{name}: only here" for name in a if name not in b]
    lines += [f"{name}: only there" for name in b if name not in a]
    for name in a:
        if name not in b or repr(a[name]) == repr(b[name]):
            continue
        numbers = all(isinstance(v, float | int) for v in (a[name], b[name]))
        by = f", by {abs(a[name] - b[name]):.3g}" if numbers else ""
        lines.append(f"{name}: {a[name]!r}, was {b[name]!r}{by}")
    return lines


def _bits(name: str, array: np.ndarray) -> tuple[str, str, tuple[int, ...], bytes]:
    return name, array.dtype.str, array.shape, array.tobytes()


def _distance(here: np.ndarray, there: np.ndarray) -> str:
    """The largest absolute difference, or what makes it meaningless."""
    if here.dtype != there.dtype or here.shape != there.shape:
        return f"{here.dtype} {list(here.shape)}, was {there.dtype} {list(there.shape)}"
    a, b = here.astype(np.float64), there.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(a - b))
    largest, count = float(np.max(apart, initial=0.0)), int((~same).sum())
    if math.isnan(largest):
        return f"{count} of {a.size} values differ, some are no numbers"
    size = float(np.max(np.abs(b), initial=0.0))
    signs = "" if count else " (signs of zeros, or what kind of nan)"
    return f"{count} of {a.size} values differ, by up to {largest:.3g} (of {size:.3g}){signs}"


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every number, text, … of a JSON value, by its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _leaves(item, f"{name}[{i}]")
    else:
        yield name, value

"""Values of task parameters: whether two are the same, and how they are put in arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

LONE = "task"
"""What a task without names is called."""


def column(values: list[Any]) -> np.ndarray:
    """`[T, …]` numbers where all values are numbers, or vectors of them, of one kind and shape."""
    kinds = {_kind(value) for value in values}
    if len(kinds) == 1 and None not in kinds:
        return np.asarray(values)
    objects = np.empty(len(values), object)
    for i, value in enumerate(values):
        objects[i] = value
    return objects


def stacked(values: list[Any]) -> np.ndarray:
    """Stack values as `column` does, but turn whole numbers beside others into such numbers."""
    found = column(values)
    if found.dtype != object:
        return found
    try:
        numbers = np.asarray(values)
    except ValueError:  # of several shapes
        return found
    return numbers if numbers.dtype.kind in "biuf" else found


def value_at(values: np.ndarray, i: int) -> Any:
    """The i-th value of a batch, numbers as those of Python."""
    batch = np.asarray(values)
    return batch[i] if batch.dtype == object else batch[i].tolist()


def as_drawn(task: Mapping[str, Any], pattern: Any) -> Any:
    """A task as its author would have drawn it, of whom `pattern` is one; `task` has names."""
    if not isinstance(pattern, Mapping):
        return _like(task[LONE], pattern) if set(task) == {LONE} else dict(task)
    return {name: _like(value, pattern.get(name)) for name, value in task.items()}


def equal(one: object, other: object) -> bool:
    """Say whether two values are the same, a list no tuple and a whole number no float."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        return all(equal(a, b) for a, b in zip(one.flat, other.flat, strict=True))
    if isinstance(one, list | tuple) and type(one) is type(other):
        same_length = len(one) == len(other)
        return same_length and all(equal(a, b) for a, b in zip(one, other, strict=True))
    return _sort(one) == _sort(other) and bool(one == other)


def leaves(value: object) -> Iterator[object]:
    """Everything in a value that holds no other values."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist()
    if isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def differing(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Say which of two batches' values `[T, …]` of one shape are not the same, `[T]` bool."""
    if object in (one.dtype, other.dtype):
        return np.array([not equal(a, b) for a, b in zip(one, other, strict=True)])
    different: np.ndarray = (one != other).reshape(len(one), -1).any(1)
    return different


def _sort(value: object) -> str | type:
    """Truth values, whole numbers and other numbers are different, numpy's or Python's."""
    for name, kinds in _NUMBERS.items():
        if isinstance(value, kinds):
            return name
    return type(value)


_NUMBERS = {"b": (bool, np.bool_), "i": (int, np.integer), "f": (float, np.floating)}


def _like(value: Any, pattern: Any) -> Any:
    """A list as the tuple or array, and a whole float as the integer, that the pattern is."""
    if isinstance(pattern, np.ndarray) and not isinstance(value, np.ndarray):
        return np.asarray(value, pattern.dtype)
    if type(value) in (list, tuple) and type(pattern) in (list, tuple):
        inner = pattern[0] if pattern else None
        return type(pattern)(_like(item, inner) for item in value)
    if isinstance(value, float) and _sort(pattern) == "i" and value.is_integer():
        return int(value)
    return value


def _kind(value: Any) -> Any:
    """Return what numbers must share to be rows of one array; None for what is no number."""
    if isinstance(value, np.ndarray):
        return (np.ndarray, value.shape, value.dtype) if value.dtype.kind in "biuf" else None
    if type(value) in (list, tuple):
        inner = {_kind(item) for item in value}
        one = len(inner) == 1 and None not in inner and not isinstance(value[0], np.ndarray)
        return (type(value), len(value), *inner) if one else None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return None
    return _sort(value) if _sort(value) in _NUMBERS else None

"""Memory that does not suffice: a message with figures instead of a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_RAN_OUT = re.compile(
    r"out of memory|can't allocate memory|_ALLOC_FAILED|Failed to allocate \d+ bytes on .*'$"
)
"""What torch, CUDA's libraries and Warp say where they have no kind of error of their own."""
_FIGURE = r"([\d.]+ (?:bytes|[KMG]iB))"
_FIGURES = re.compile(
    rf"Tried to allocate {_FIGURE}.*? capacity of {_FIGURE} of which {_FIGURE} is free", re.DOTALL
)
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class OutOfMemory(ValueError):
    """A device has too little memory for what it was asked for."""


@contextmanager
def enough_memory(tasks: int, each: str, way_out: str) -> Iterator[None]:
    """Within the block memory that runs out is the user's concern, not a fault.

    Args:
        tasks: how many are computed together.
        each: what a task is, in words.
        way_out: what to do.

    Raises:
        OutOfMemory: how much was asked for, where torch tells: how much is needed at least, and
            for how many tasks that would be at most; and the way out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        said = re.split(r"\.? (?:Including|Process) ", str(error))[0].rstrip(".")
        raise OutOfMemory(
            f"{tasks} tasks × {each} do not fit into the memory: {said}. {_needed(said, tasks)}"
            f"{way_out}."
        ) from None


def ran_out(error: BaseException) -> bool:
    """Say whether torch, one of CUDA's libraries, Warp or numpy was refused memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    theirs = type(error).__module__ in ("builtins", "torch")  # not one that we raise
    return isinstance(error, RuntimeError) and theirs and bool(_RAN_OUT.search(str(error)))


def _needed(said: str, tasks: int) -> str:
    """The least that is needed, by what torch says; empty where it says nothing.

    What is in use and what was refused is needed, if no more. A part of it does not depend on the
    tasks, so that in proportion no more of them fit.
    """
    found = _FIGURES.search(said)
    if found is None:
        return ""
    asked, total, free = map(_bytes, found.groups())
    need = max(total - free + asked, total)
    room = min(int(tasks * total / need), tasks - 1)
    return (
        f"That makes {need / 2**30:.2f} GiB at least with all that is in use there, room for "
        f"{room} tasks at most. "
    )


def _bytes(figure: str) -> float:
    number, unit = figure.split()
    return float(number) * _UNITS[unit]

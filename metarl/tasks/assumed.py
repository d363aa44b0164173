"""A horizon for families that are made only to be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ASSUMED: ContextVar[int] = ContextVar("assumed_horizon", default=0)


@contextmanager
def assumed_horizon(steps: int) -> Iterator[None]:
    """Families that are made inside take these steps where no other horizon is known; 0 is none."""
    before = _ASSUMED.set(steps)
    try:
        yield
    finally:
        _ASSUMED.reset(before)

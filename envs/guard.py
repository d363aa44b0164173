"""Running code of the user's: whatever it raises becomes one message."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Loaded = TypeVar("Loaded")


def guarded(load: Callable[[], Loaded], what: str) -> Loaded:
    """Run code of the user's; what it raises becomes one message with the user's own lines.

    Raises:
        ValueError: the shortened traceback.
    """
    try:
        return load()
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if _is_users(frame.filename)]
        if not own and isinstance(error, ValueError):
            raise  # a message of ours
        lines = traceback.format_list(own) + traceback.format_exception_only(error)
        raise ValueError(f"{what} failed:\n{''.join(lines).rstrip()}") from None


def _is_users(filename: str) -> bool:
    """Neither ours, nor an installed package's, nor the interpreter's own."""
    path = Path(filename)
    if filename.startswith("<") or path.is_relative_to(Path(__file__).parent):
        return False
    return not path.is_relative_to(Path(os.__file__).parent) and "site-packages" not in path.parts

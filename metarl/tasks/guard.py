"""Running code of the user's: whatever it raises becomes one message."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Loaded = TypeVar("Loaded")
OURS = (Path(__file__).parents[1], Path(__file__).parents[2] / "envs" / "metarl_envs")
RENAMED = (
    "metarl has no package named envs any more: write `from metarl.tasks import TaskFamily` where "
    "a file of yours says `from envs import TaskFamily`"
)


def guarded(load: Callable[[], Loaded], what: str) -> Loaded:
    """Run code of the user's; what it raises becomes one message with the user's own lines.

    Raises:
        ValueError: the shortened traceback.
    """
    try:
        return load()
    except (Exception, SystemExit) as error:
        if isinstance(error, ImportError) and error.name == "envs":
            raise ValueError(f"{what} failed: {error}; {RENAMED}") from None
        lines = own_lines(error)
        if not lines and isinstance(error, ValueError):
            raise  # a message of ours
        said = "".join(traceback.format_exception_only(error))
        raise ValueError(f"{what} failed:\n{lines}{said.rstrip()}") from None


def own_lines(error: BaseException) -> str:
    """The lines of an error's traceback that are the user's own; empty where none is."""
    frames = traceback.extract_tb(error.__traceback__)
    return "".join(traceback.format_list([f for f in frames if _is_users(f.filename)]))


def _is_users(filename: str) -> bool:
    """Neither ours, nor an installed package's, nor the interpreter's own."""
    path = Path(filename)
    if filename.startswith("<") or any(map(path.is_relative_to, OURS)):
        return False
    return not path.is_relative_to(Path(os.__file__).parent) and "site-packages" not in path.parts

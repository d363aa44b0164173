"""Another commit, checked out beside this tree."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def checked_out(root: Path, commit: str, folder: Path) -> Iterator[Path]:
    """A checkout of a commit in a folder, removed at the end."""
    git(root, "worktree", "add", "--detach", str(folder), commit)
    try:
        yield folder
    finally:
        git(root, "worktree", "remove", "--force", str(folder))


def git(root: Path, *arguments: str) -> str:
    """Return what git says.

    Raises:
        ValueError: it refuses.
    """
    words = ["git", "-C", str(root), *arguments]
    ended = subprocess.run(words, capture_output=True, text=True)
    if ended.returncode != 0:
        raise ValueError(f"git {' '.join(arguments)}: {ended.stderr.strip()}")
    return ended.stdout.strip()

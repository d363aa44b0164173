"""Where a family's file is now: runs are moved, and so are the files that they were made with."""

from __future__ import annotations

from pathlib import Path

ABOVE = 3
"""Folders above a run that may hold the file."""


class FamilyNotFoundError(ValueError):
    """A family is not where it was, or is another one now."""


def find_again(source: str, run: Path) -> str:
    """The source of a family, with the place where its file is now.

    A file that is not where it was is looked for, by as much of its path as there is, in the run's
    folder, in those above it and in the working directory, and then in the folders beside the run.

    Args:
        source: `path/to/file.py:family`; others are returned as they are.
        run: the folder of a run that was made with it.

    Raises:
        FamilyNotFoundError: there is none, or there are several.
    """
    where, _, attribute = source.rpartition(":")
    old = Path(where)
    if old.suffix != ".py" or old.is_file():
        return source
    folder, here = run.resolve(), Path.cwd()
    bases = [here, folder, *folder.parents[:ABOVE]]
    parts = old.parts[1:] if old.is_absolute() else old.parts
    places = [{base.joinpath(*parts[i:]) for base in bases} for i in range(len(parts))]
    places.append({beside / old.name for beside in folder.parent.iterdir() if beside.is_dir()})
    for candidates in places:
        found = sorted({path.resolve() for path in candidates if path.is_file()})
        if len(found) == 1:
            return f"{found[0]}:{attribute}"
        if found:
            listed = ", ".join(map(str, found))
            raise FamilyNotFoundError(f"{source} is not there any more, but may be any of {listed}")
    raise FamilyNotFoundError(
        f"{source} is not there any more, and there is no {old.name} in {folder}, above or beside "
        f"it, or in {here}"
    )

"""Modules of the user's own, by name or by file."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

from metarl.tasks.guard import guarded


def find_modules_here() -> None:
    """Modules of the working directory can be imported, whatever script is run."""
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.append(str(Path.cwd()))


def file_module(path: Path) -> ModuleType:
    """A file as a module that worker processes can import by its name, too."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = guarded(lambda: importlib.import_module(path.stem), f"importing {path}")
    found = getattr(module, "__file__", None)
    if found is None or Path(found).resolve() != path:
        raise ValueError(
            f"{path} cannot be imported as {path.stem!r}: another module of that name is found "
            f"first ({found or 'built in'}); rename the file"
        )
    return module

"""Commands of a tree, each in a process of its own that need not import torch once more.

What takes long, and belongs to no tree, is imported once by `prepare`; each command is a fork of
that process.
"""

from __future__ import annotations

import builtins
import multiprocessing
import os
import runpy
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

SECONDS = 300.0
"""That a command may take."""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "MUJOCO_GL": "disabled",
}
"""What leaves nothing to chance; it must be set when a process begins."""
_SLOW = (
    "torch._dynamo",  # torch.func asks for it
    "torch.utils.tensorboard",
    "stable_baselines3.common.logger",
    "gymnasium.wrappers",
    "mujoco",
    "array_api_compat.torch",
    "rich.progress",
    "sklearn.metrics",
)


def prepare() -> None:
    """Import what all commands import; those that a tree does without do no harm."""
    for name in _SLOW:
        with suppress(ImportError):
            import_module(name)


def run_command(
    script: Path, arguments: Sequence[str], log: Path, *, stacked: bool = False
) -> int | None:
    """Run `tree/scripts/NAME.py` as `python scripts/NAME.py` in its tree does.

    Args:
        script: the command.
        arguments: of its command line.
        log: a file for all that it says, which replaces what was in it.
        stacked: let MAML-TRPO treat its tasks stacked, as on a GPU.

    Returns:
        The exit code; None if it took longer than `SECONDS`.
    """
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=_run, args=(script, arguments, log, stacked))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        return None
    return process.exitcode


def _run(script: Path, arguments: Sequence[str], log: Path, stacked: bool) -> None:
    """The command, in a process of its own."""
    tree = script.parent.parent
    sys.stdout = sys.stderr = log.open("w", buffering=1)
    for descriptor in (1, 2):
        os.dup2(sys.stdout.fileno(), descriptor)
    os.chdir(tree)
    families = tree / "envs" / "metarl_envs"
    places = [str(tree), *([str(families.parent)] if families.is_dir() else [])]
    own = {str(Path(__file__).parent.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    os.environ["PYTHONPATH"] = os.pathsep.join(places)  # of its worker processes
    sys.path[:] = [str(script.parent), *places, *(p for p in sys.path if p not in own)]
    sys.argv = [str(script), *arguments]
    asked = _stack_tasks() if stacked else None
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        if end.code in (0, None) and asked == []:
            sys.exit("error: nothing asks whether MamlTrpo.stacked, which is to be compared")
        raise


def _stack_tasks() -> list[object]:
    """Change the class of MAML-TRPO as soon as it is made, in whatever module: no option asks for
    stacked tasks on a CPU.

    Returns:
        Who has asked whether its tasks are stacked, from now on.
    """
    make: Any = builtins.__build_class__
    asked: list[object] = []

    def stacked(algorithm: object) -> bool:
        asked.append(algorithm)
        return True

    def changed(body: Any, name: str, *bases: Any, **options: Any) -> Any:
        made = make(body, name, *bases, **options)
        if name == "MamlTrpo":
            made.stacked = property(stacked, lambda algorithm, value: None)
        return made

    vars(builtins)["__build_class__"] = changed
    return asked

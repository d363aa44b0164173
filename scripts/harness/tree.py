"""An arm in a tree, another commit's or this one: by the commands that both have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from harness.arms import Arm
from harness.command import run_command
from safetensors.numpy import load_file

ITERATIONS = 3
REFUSED = 2
"""The exit code of a command that does not know an option."""


class Result(NamedTuple):
    """An arm came to this in a tree."""

    trained: dict[str, Any]  # all tensors of the newest checkpoint
    evaluation: Any  # JSON
    resumed: dict[str, Any]  # all tensors after the last iteration was done again


class Failure(NamedTuple):
    """The tree said this instead."""

    refused: bool  # the tree does not know the arm
    message: str


def run_arm(arm: Arm, tree: Path, folder: Path, data: Path) -> Result | Failure:
    """Train for three iterations, evaluate, and do the last one again from the checkpoint before.

    Args:
        arm: what is trained.
        tree: the checkout whose commands are run.
        folder: where the runs go; made here.
        data: the folder of `arms.write_data`.
    """
    folder.mkdir(parents=True)
    whole, resumed, table = folder / "whole", folder / "resumed", folder / "evaluation.json"
    train, evaluate = f"train_{arm.what}.py", f"evaluate_{arm.what}.py"
    options = [option.replace("{data}", str(data)) for option in arm.options]
    workers = arm.evaluation[-2:] if "--workers" in arm.evaluation else ()
    total = ("--iterations", str(ITERATIONS))
    commands = (
        (train, "--run-dir", str(whole), *options, *total),
        (evaluate, str(whole), *arm.evaluation, "--json", str(table)),
        (train, "--resume", str(resumed), *total, "--threads", "2", *workers),
    )
    for command, *arguments in commands:
        if arguments[0] == "--resume":
            _copy_without_last_iteration(whole, resumed)
        script, log = tree / "scripts" / command, folder / "log"
        code = run_command(script, arguments, log, stacked=arm.stacked)
        if code != 0:
            return Failure(code == REFUSED, f"{command}, {_ended(code)}: {_last_line(log)}")
    evaluation = json.loads(table.read_text())
    del evaluation["run"]  # its folder
    return Result(_newest(whole), evaluation, _newest(resumed))


def _ended(code: int | None) -> str:
    return "which took too long" if code is None else f"exit code {code}"


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


def _copy_without_last_iteration(whole: Path, resumed: Path) -> None:
    """Copy a run as if it had been ended before its last iteration."""
    shutil.copytree(whole, resumed)
    (resumed / "results.json").unlink()
    shutil.rmtree(resumed / "checkpoints" / f"{ITERATIONS:06d}")


def _newest(run: Path) -> dict[str, Any]:
    """All tensors of the newest checkpoint."""
    newest = max((run / "checkpoints").iterdir())
    tensors: dict[str, Any] = load_file(newest / "tensors.safetensors")
    return tensors

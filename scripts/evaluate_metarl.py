"""Evaluate a finished or running run on tasks of a split.

python scripts/evaluate_metarl.py runs/RUN --split test --tasks 200
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from rich.console import Console
from rich.table import Table

from metarl import load_agent
from metarl.experiment.files import write_json


@dataclass(frozen=True)
class Options:
    """The adaptation curve of a run: mean return after 0, 1, 2, … updates."""

    run_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    split: Literal["train", "test", "ood"] = "test"
    """Which tasks: of training, held out, or from outside the training range."""
    tasks: int = 40
    """Number of tasks."""
    updates: int = 3
    """Gradient steps of adaptation at most."""
    episodes: int = 20
    """Episodes per task and update, with stochastic actions."""
    seed: int = 0
    """Of tasks, environments and actions."""
    threads: int = len(os.sched_getaffinity(0))
    """Worker threads."""
    json: Path | None = None
    """Also write the table to this file."""


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 2 a user's mistake."""
    torch.set_num_threads(1)
    options = tyro.cli(Options, args=argv)
    try:
        if options.threads < 1:
            raise ValueError(f"--threads must be at least 1, got {options.threads}")
        agent = load_agent(options.run_dir, threads=options.threads)
        curve = agent.evaluate(
            split=options.split,
            tasks=options.tasks,
            updates=options.updates,
            episodes=options.episodes,
            seed=options.seed,
            threads=options.threads,
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = Table("updates", "mean return", "95 % interval", title=f"{options.split} tasks")
    for p in curve:
        table.add_row(str(p.updates), f"{p.mean:.1f}", f"± {p.ci95:.1f}")
    Console().print(table)
    if options.json is not None:
        write_json(
            options.json,
            {
                "run": str(options.run_dir),
                "iteration": agent.iteration,
                "split": options.split,
                "tasks": options.tasks,
                "episodes_per_update": options.episodes,
                "seed": options.seed,
                "curve": [p._asdict() for p in curve],
            },
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

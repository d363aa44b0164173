"""The adaptation curve of a finished or running run on tasks of a split.

python scripts/evaluate_metarl.py RUN_DIR --split test --tasks 200
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from display import cores, fail, make_console, show_evaluation

try:
    from metarl.agent import load_agent
except ImportError as error:  # another package `envs` is found first, or something is missing
    sys.exit(fail(error))

from envs import EnvironmentFailure
from metarl.experiment.files import write_json
from metarl.rl.rollout import NonFiniteError


@dataclass(frozen=True)
class Options:
    """Evaluate a run: the mean return after 0, 1, 2, … updates, with stochastic actions."""

    run_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of the run, finished or running."""
    split: Literal["train", "test", "ood"] = "test"
    """Which tasks: of training, held out, or from outside the training range."""
    tasks: int = 40
    """Number of tasks."""
    updates: int = 3
    """Gradient steps of adaptation at most."""
    episodes: int = 20
    """Episodes per task and update."""
    seed: int = 0
    """Of tasks, environments and actions."""
    threads: int = cores()
    """Worker threads; they never change a result."""
    workers: int = 0
    """Worker processes of the vector engine, 0 is none; they never change a result."""
    json: Path | None = None
    """Also write the table to this file."""


def evaluate(options: Options) -> dict[str, Any]:
    """Print the table; returns it as JSON.

    Raises:
        ValueError: the folder has no valid run, or an option is impossible.
        NonFiniteError: the environment returned a value that is not finite.
        EnvironmentFailure: an environment raised, died or hangs.
    """
    torch.set_num_threads(1)  # the workers are the parallelism; more would stall on barriers
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise ValueError(f"--json {options.json}: its folder does not exist")
    agent = load_agent(options.run_dir, threads=options.threads)
    evaluation = agent.evaluate(
        split=options.split,
        tasks=options.tasks,
        updates=options.updates,
        episodes=options.episodes,
        seed=options.seed,
        threads=options.threads,
        workers=options.workers,
    )
    title = (
        f"{agent.family.name}, iteration {agent.iteration}: {options.tasks} {options.split} tasks"
    )
    show_evaluation(make_console(), evaluation, title)
    return {
        "run": str(options.run_dir),
        "env": agent.family.name,
        "iteration": agent.iteration,
        "split": options.split,
        "tasks": options.tasks,
        "episodes_per_update": options.episodes,
        "seed": options.seed,
        **evaluation.to_json(),
    }


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 the environment failed, 2 a user's mistake, 130 interrupted."""
    try:
        options = tyro.cli(Options, args=argv)
        table = evaluate(options)
        if options.json is not None:
            write_json(options.json, table)
    except SystemExit as stop:  # --help, or a message of tyro's
        return int(stop.code or 0)
    except (ValueError, OSError) as error:
        return fail(error)
    except (NonFiniteError, EnvironmentFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs that differ only in what is held out, one after another in one folder, and their mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from metarl.cli.command import Job
from metarl.cli.display import fail, resume_command, say, with_interval
from metarl.experiment.files import read_json, write_json
from metarl.experiment.run import read_results
from metarl.fewshot.data.sources import DataConfig
from metarl.fewshot.intervals import interval

FILE = "series.json"
Changes = dict[str, dict[str, Any]]
"""Folder of a run in that of the series -> what is different in its `DataConfig`."""


def changes_of(data: DataConfig, split_seeds: int) -> Changes:
    """The runs that --folds or --split-seeds stand for; empty for a single one.

    Raises:
        ValueError: both at once, or an impossible number.
    """
    if split_seeds < 0 or split_seeds == 1:
        raise ValueError(f"--split-seeds must be at least 2, or 0 for one run, got {split_seeds}")
    if data.folds and split_seeds:
        raise ValueError("--folds and --split-seeds are two ways to hold out in turn: choose one")
    if data.folds and data.fold is None:
        return {f"fold-{k}": {"fold": k} for k in range(data.folds)}
    seeds = range(data.split_seed, data.split_seed + split_seeds)
    return {f"split-seed-{seed}": {"split_seed": seed} for seed in seeds}


def require_fresh(folder: Path) -> None:
    """Refuse a folder in which there is something already; raises ValueError."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(
            f"{folder} is not an empty folder: choose another --run-dir, or --resume {folder}"
        )


def read_changes(folder: Path) -> Changes:
    """Read the changes of a series that began before.

    Raises:
        ValueError: its file is not what a series writes.
    """
    written = read_json(folder / FILE)
    runs = written.get("runs") if isinstance(written, dict) else None
    if not isinstance(runs, dict) or not runs:
        raise ValueError(f"{folder / FILE} is not what a series of runs writes")
    return runs


def run_series(
    folder: Path, changes: Changes, prepare: Callable[[str], Job], console: Console
) -> int:
    """Do all runs, show their results and their mean, and write them beside the runs.

    Args:
        folder: of the series.
        changes: of its runs.
        prepare: makes the job of a run, by its folder in that of the series.
        console: where to say what happens.

    Returns:
        The exit code of the first run that does not finish, or 0.
    """
    for done, name in enumerate(changes):
        try:
            code = prepare(name)()
        except (ValueError, OSError) as error:
            code = fail(error)
        if code:
            go_on = resume_command("train_fewshot.py", folder)
            say(console, f"{done} of {len(changes)} runs are done; go on with: {go_on}")
            return code
    summary = _summary({name: read_results(folder / name) for name in changes})
    write_json(folder / FILE, {"runs": changes, "evaluation": summary})
    if summary:
        _show(console, summary)
    say(console, f"runs: {folder}")
    return 0


def _summary(results: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Mean and interval over the runs, by steps; None where a run was not evaluated."""
    evaluations = {name: found.get("evaluation") for name, found in results.items()}
    first = next(iter(evaluations.values()))
    if not all(evaluations.values()) or first is None:
        return None
    points = []
    for i, point in enumerate(first["points"]):
        means = {name: e["points"][i]["mean"] for name, e in evaluations.items() if e}
        known = [float("nan") if mean is None else mean for mean in means.values()]
        mean, ci95 = interval(torch.tensor(known).double(), torch.arange(len(known)))
        points.append({"steps": point["steps"], "mean": mean, "ci95": ci95, "runs": means})
    return {"metric": first["metric"], "points": points}


def _show(console: Console, summary: dict[str, Any]) -> None:
    """A row per run, and their mean with its interval over the runs."""
    points = summary["points"]
    steps = ["" if p["steps"] is None else f" after {p['steps']}" for p in points]
    names = list(points[0]["runs"])
    title = f"mean of {len(names)} runs, 95 % interval over the runs"
    table = Table("run", *(f"{summary['metric']}{step}" for step in steps), title=title)
    for name in names:
        means = (p["runs"][name] for p in points)
        table.add_row(name, *("no number" if mean is None else f"{mean:.4f}" for mean in means))
    table.add_section()
    table.add_row("mean", *(" ".join(with_interval(p["mean"], p["ci95"])) for p in points))
    console.print(table)

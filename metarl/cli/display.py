"""What the commands show: a progress bar or plain lines, and the adaptation curve as a table."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from metarl.fewshot.analyse import LayerChange
from metarl.fewshot.evaluate import FewShotEvaluation as FewShotEvaluation
from metarl.metaworld import Score
from metarl.rl.evaluate import Evaluation
from metarl.training.reporter import Report

_SCRIPTS = Path(__file__).parents[2] / "scripts"


def make_console() -> Console:
    """Standard output, 120 columns wide where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 120)


def say(console: Console, text: str) -> None:
    """Print text as it is: no markup, no colours, no line breaks in paths."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def fail(message: object) -> int:
    """Print a user's mistake as one message; the exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    return 2


def show_evaluation(console: Console, evaluation: Evaluation, title: str) -> None:
    """The mean returns by updates or by episodes, above what they are to be compared with."""
    columns = ["mean return", "95 % interval"]
    rows = [[str(name), *with_interval(mean, ci95)] for name, mean, ci95 in evaluation.curve]
    if evaluation.success:
        columns += ["success", "95 % interval"]
        for row, (_, rate, ci95) in zip(rows, evaluation.success, strict=True):
            row += with_interval(100 * rate, 100 * ci95, " %")
    table = Table(evaluation.curve[0]._fields[0], *columns, title=title)
    for row in rows:
        table.add_row(*row)
    if evaluation.references:
        table.add_section()
    for name, mean, ci95 in evaluation.references:
        table.add_row(name, *with_interval(mean, ci95))
    console.print(table)


def with_interval(mean: float, ci95: float, unit: str = "") -> tuple[str, str]:
    """A mean and the half-width of its interval with as many decimals as leave two digits of that.

    Args:
        mean: of the unit.
        ci95: nan where there is no interval, which is shown as a dash; beside 0 stands all of the
            mean that is not rounding.
        unit: what both end with, such as " %".
    """
    if not math.isfinite(ci95) or abs(mean) >= 1e7:
        return f"{mean:.4g}{unit}", f"± {ci95:.2g}{unit}" if math.isfinite(ci95) else "–"
    if ci95 <= 1e-12 * abs(mean):  # nothing but rounding
        return f"{mean + 0.0:.7g}{unit}", f"± 0{unit}"
    exponent = int(f"{ci95:.1e}".partition("e")[2])
    decimals = min(max(1 - exponent, 0), 6)
    return f"{mean:.{decimals}f}{unit}", f"± {ci95:.{decimals}f}{unit}"


def show_few_shot(console: Console, evaluation: FewShotEvaluation, title: str) -> None:
    """Errors or accuracies by steps of adaptation."""
    columns = ("steps", f"mean {evaluation.metric}", "95 % interval", "median", "diverged")
    over = f", intervals over their {evaluation.sources} sources" if evaluation.sources else ""
    over = f", intervals over {evaluation.classes} classes" if evaluation.classes else over
    table = Table(*columns, "no number", title=f"{title}{over}")
    for p in evaluation.points:
        steps = "" if p.steps is None else str(p.steps)
        median = with_interval(p.median, p.ci95)[0]
        numbers = *with_interval(p.mean, p.ci95), median
        table.add_row(steps, *numbers, f"{100 * p.diverged:.1f} %", str(p.non_finite))
    if evaluation.baselines:
        table.add_section()
        table.add_row(f"each of {evaluation.baselines[0].tasks} tasks alone:")
    for b in evaluation.baselines:
        table.add_row(b.name, *with_interval(b.mean, b.ci95))
    console.print(table)
    if few := evaluation.few_classes():
        say(console, f"note: {few}")


def show_layers(console: Console, changes: list[LayerChange]) -> None:
    """Show what adaptation changes, layer by layer."""
    table = Table("layer", "moved ‖φ − θ‖ / ‖θ‖", "similarity of features (CKA)")
    for c in changes:
        moved = with_interval(c.moved, c.moved_ci95)
        similar = with_interval(c.similarity, c.similarity_ci95)
        table.add_row(c.layer, " ".join(moved), " ".join(similar))
    console.print(table)


def show_report(console: Console, report: dict[str, Any], names: list[str]) -> None:
    """The means over classes, above the ten classes of the lowest F1."""
    table = Table("class", "precision", "recall", "F1", "queries")
    worst = sorted(names, key=lambda name: float(report[name]["f1-score"]))[:10]
    for name in ("macro avg", *worst):
        row = report[name]
        numbers = (f"{row[k]:.3f}" for k in ("precision", "recall", "f1-score"))
        table.add_row(name, *numbers, f"{row['support']:.0f}")
        if name == "macro avg":
            table.add_section()
    console.print(table)


def show_players(console: Console, players: dict[str, tuple[float, float]], title: str) -> None:
    """Mean and interval of everyone who played the same instances."""
    table = Table("player", "mean", "95 % interval", title=title)
    for name, (mean, ci95) in players.items():
        table.add_row(name, *with_interval(mean, ci95))
    console.print(table)


def show_score(console: Console, score: Score, title: str) -> None:
    """The rate of success in every environment of Meta-World's protocol, and the mean."""
    table = Table("environment", "success", title=title)
    for name, rate in score.environments.items():
        table.add_row(name, f"{100 * rate:.1f} %")
    table.add_section()
    table.add_row("mean", f"{100 * score.success:.1f} %")
    console.print(table)
    say(console, f"mean return of episodes that end with success: {score.mean_return:.1f}")


@contextmanager
def progress_bar(console: Console, completed: int, total: int) -> Iterator[Report]:
    """A bar with the time left on a terminal, and a line per iteration everywhere.

    Yields:
        What is to be called with the iterations that are complete and the latest one in words.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("training", total=total, completed=completed)

        def report(done: int, line: str) -> None:
            progress.update(bar, completed=done)
            say(console, f"{done}/{total}  {line}")

        yield report


def cores() -> int:
    """Count the CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resume_command(script: str, folder: Path) -> str:
    """Say what to type to go on with a run of one of the scripts."""
    path = os.path.relpath(_SCRIPTS / script)
    return shlex.join(["python", path, "--resume", str(folder)])

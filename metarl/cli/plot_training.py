"""Draw what runs learnt while they trained: scalars of progress.csv by iteration.

python scripts/plot_training.py RUN_DIR OTHER_RUN_DIR --window 10 --file training.png
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from matplotlib import colormaps
from matplotlib.figure import Figure

from metarl.cli.command import exit_code
from metarl.experiment.run import PROGRESS
from metarl.experiment.writers import STEP

STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class PlotTrainingOptions:
    """Draw scalars of runs, one colour a run and one kind of line a scalar."""

    run_dirs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs, finished or running."""
    file: Path = Path("training.png")
    """Where the figure goes; its ending says in which format."""
    scalars: tuple[str, ...] = ("return/before", "return/after", "return/episode_*")
    """What is drawn; * stands for anything."""
    window: int = 1
    """Iterations that a point is the mean of."""


def read_progress(run_dir: Path) -> dict[str, np.ndarray]:
    """Iterations and values `[2, rows]` by scalar, without the rows that lack it.

    Raises:
        ValueError: no run, or no iteration is logged yet.
    """
    path = run_dir / PROGRESS
    if not path.exists():
        raise ValueError(f"{run_dir} is not the folder of a run: it has no {PROGRESS}")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path} holds no iteration yet")
    return {
        name: np.array([(row[STEP], row[name]) for row in rows if row[name]], dtype=float).T
        for name in rows[0]
        if name != STEP
    }


def draw(options: PlotTrainingOptions) -> None:
    """Write the figure.

    Raises:
        ValueError: no folder, a folder that is no run, a run without these scalars, a window
            below 1.
    """
    if not options.run_dirs or options.window < 1:
        raise ValueError("give at least one folder of a run, and a --window of 1 or more")
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    colours = colormaps["tab10"](range(10))
    for number, run_dir in enumerate(options.run_dirs):
        progress = read_progress(run_dir)
        names = [n for n in progress if any(fnmatch(n, wanted) for wanted in options.scalars)]
        if not names:
            raise ValueError(
                f"--scalars {' '.join(options.scalars)}: {run_dir} has {', '.join(progress)}"
            )
        for kind, name in enumerate(names):
            x, y = progress[name]
            mean = np.ones(min(options.window, len(y))) / min(options.window, len(y))
            axis.plot(
                x[len(mean) - 1 :] + 1,
                np.convolve(y, mean, mode="valid"),
                STYLES[kind % len(STYLES)],
                color=colours[number % len(colours)],
                label=f"{run_dir.name}, {name}",
            )
    axis.set_xlabel(STEP if options.window == 1 else f"{STEP} (mean of the last {options.window})")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize="small")
    figure.savefig(options.file, dpi=110)


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 2 a user's mistake."""
    return exit_code(lambda: draw(tyro.cli(PlotTrainingOptions, args=argv)))


if __name__ == "__main__":
    sys.exit(main())

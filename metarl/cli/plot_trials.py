"""Draw where an RL² agent goes in each episode of a trial, on families of a point in the plane.

python scripts/plot_trials.py RUN_DIR --tasks 4 --file trials.png
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from matplotlib import colormaps
from matplotlib.figure import Figure

from metarl.agent import Agent, load_agent
from metarl.algorithms.rl2.algorithm import Rl2
from metarl.cli.command import exit_code
from metarl.experiment.seeding import Phase, rng
from metarl.rl.rollout import rollout
from metarl.runs import engine_maker
from metarl.tasks.trial import TrialEngine


@dataclass(frozen=True)
class PlotTrialsOptions:
    """Draw the paths of whole trials on held-out tasks."""

    run_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of a run of rl2 on point-nav or point-nav-sparse."""
    file: Path = Path("trials.png")
    """Where the figure goes; its ending says in which format."""
    tasks: int = 4
    """Number of tasks, one after the other."""
    seed: int = 0
    """Of tasks and actions."""


def paths(agent: Agent, tasks: int, seed: int) -> tuple[np.ndarray, list[list[np.ndarray]]]:
    """Goals `[T, 2]`, and the positions `[steps, 2]` of every task and episode.

    Raises:
        ValueError: not RL² on a family with a goal in the plane.
    """
    algorithm = agent.algorithm
    if not isinstance(algorithm, Rl2) or "goal" not in agent.family.parameters:
        raise ValueError("paths are drawn of rl2 on a family with a goal, such as point-nav-sparse")
    episodes = algorithm.config.episodes
    env = TrialEngine(engine_maker(agent.family, "auto", 1)(tasks, 1), episodes)
    drawn = agent.family.split("test").sample(tasks, seed)
    state: Any = agent.state  # RL²'s
    learner = algorithm.learner(state)
    trials, _ = rollout(
        learner,
        learner.start(tasks),
        env,
        drawn,
        rng(seed, Phase.EVAL_ROLLOUT),
        scaling=algorithm.scaling,
        device=algorithm.device,
    )
    place = trials.obs[:, 0, :, :2].numpy()
    number, real = trials.metrics["episode"][:, 0].numpy(), trials.mask[:, 0].numpy()
    rows = [[place[t][real[t] & (number[t] == k)] for k in range(episodes)] for t in range(tasks)]
    return np.asarray(drawn["goal"]), rows


def draw(agent: Agent, options: PlotTrialsOptions) -> None:
    """Write the figure; see `paths` for what it raises."""
    goals, rows = paths(agent, options.tasks, options.seed)
    figure = Figure(figsize=(3.2 * len(goals), 2.6), layout="constrained")
    axes = figure.subplots(1, len(goals), sharex=True, sharey=True, squeeze=False)
    colours = colormaps["viridis"](np.linspace(0, 0.85, len(rows[0])))
    for axis, goal, episodes in zip(axes[0], goals, rows, strict=True):
        axis.plot(*goal, "*", markersize=13, color="crimson", label="goal", zorder=9)
        axis.plot(0, 0, "k+", markersize=10)
        for k, (path, colour) in enumerate(zip(episodes, colours, strict=True)):
            axis.plot(
                *path.T, ".-", color=colour, linewidth=1, markersize=3, label=f"episode {k + 1}"
            )
        axis.set_aspect("equal")
    axes[0][-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    figure.suptitle(f"{agent.family.name}: one trial each of {len(goals)} held-out tasks")
    figure.savefig(options.file, dpi=110, bbox_inches="tight")


def _draw(argv: list[str] | None) -> None:
    options = tyro.cli(PlotTrialsOptions, args=argv)
    draw(load_agent(options.run_dir), options)


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 2 a user's mistake."""
    torch.set_num_threads(1)
    return exit_code(lambda: _draw(argv))


if __name__ == "__main__":
    sys.exit(main())

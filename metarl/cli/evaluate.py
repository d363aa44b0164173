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

from metarl.agent import Agent, load_agent
from metarl.algorithms.rl2.algorithm import Rl2
from metarl.cli.command import exit_code
from metarl.cli.display import cores, make_console, say, show_evaluation, show_players, show_score
from metarl.experiment.files import write_json
from metarl.experiment.memory import enough_memory
from metarl.experiment.seeding import Phase, rng, sequence
from metarl.metaworld import official_evaluation
from metarl.protocols import EvalOptions
from metarl.rl.intervals import interval
from metarl.runs import read_run_config, with_family
from metarl.tasks import Tasks, compared, repeats_advice
from metarl.tasks.oracles import oracle_scores, require_oracles


@dataclass(frozen=True)
class EvaluateOptions:
    """Evaluate a run: the mean return after 0, 1, 2, … updates (MAML-TRPO) or in episode 1, 2, 3, …
    of a trial (RL²), with stochastic actions.
    """

    run_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of the run, finished or running."""
    env: str | None = None
    """Where the run's family is now, as my_module:my_family or path/to/file.py:my_family; where it
    was, or near the run or the working directory, if not given."""
    split: Literal["train", "test", "ood"] = "test"
    """Which tasks: of training, held out, or from outside the training range."""
    tasks: int = 40
    """Number of tasks."""
    updates: int | None = None
    """Gradient steps of MAML-TRPO at most; 3 if not given."""
    episodes: int | None = None
    """MAML-TRPO: episodes per task and update, 20 if not given. RL²: episodes of a trial, as many
    as in training if not given."""
    seed: int = 0
    """Of tasks, environments and actions."""
    device: Literal["auto", "cpu", "cuda"] | None = None
    """Where the policy lives, and what steps the environments; the run's if not given. Noise is
    drawn there, so that the CPU's episodes are others than a GPU's."""
    threads: int = cores()
    """Worker threads; they never change a result."""
    workers: int = 0
    """Worker processes of the vector engine, 0 is none; they never change a result."""
    oracles: bool = False
    """RL²: also play the same instances with all that is known to do well on the family."""
    metaworld: bool = False
    """Meta-World's own protocol: --tasks goals of every test environment, --updates of --episodes
    each (1 of 10 if not given), and the success in three episodes afterwards."""
    json: Path | None = None
    """Also write the table to this file."""


def evaluate(options: EvaluateOptions) -> dict[str, Any]:
    """Print the table; returns it as JSON.

    Raises:
        ValueError: the folder has no valid run, or an option is impossible.
        NonFiniteError: the environment returned a value that is not finite.
        EnvironmentFailure: an environment raised, died or hangs.
    """
    torch.set_num_threads(1)  # the workers are the parallelism; more would stall on barriers
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise ValueError(f"--json {options.json}: its folder does not exist")
    device = options.device or _device_of(options.run_dir)
    parallel = {"threads": options.threads, "workers": options.workers}
    family = _family_of(options)
    agent = load_agent(options.run_dir, device=device, family=family, **parallel)
    sequence(options.seed)  # refuses an impossible one
    if options.metaworld:
        return _evaluate_officially(agent, options)
    if options.oracles:
        if not isinstance(agent.algorithm, Rl2):
            raise ValueError("--oracles compares whole trials: it needs a run of rl2")
        require_oracles(agent.family)
    drawn = agent.family.split(options.split).sample(options.tasks, options.seed)
    chosen = EvalOptions(drawn, options.tasks, options.updates, options.episodes, options.seed)
    outcome = agent.outcome(chosen, **parallel)
    evaluation = agent.summary(outcome, drawn)
    title = (
        f"{agent.family.name}, iteration {agent.iteration}: {options.tasks} {options.split} tasks"
    )
    console = make_console()
    show_evaluation(console, evaluation, title)
    if options.split == "test":
        trained = _trained_on(agent, read_run_config(options.run_dir).seed)
        if advice := repeats_advice(agent.family, drawn, trained):
            say(console, f"note: {advice}")
    table = {
        "run": str(options.run_dir),
        "env": agent.family.name,
        "iteration": agent.iteration,
        "split": options.split,
        "tasks": options.tasks,
        "updates": options.updates,
        "episodes": options.episodes,
        "seed": options.seed,
        "device": agent.algorithm.device.type,
        **evaluation.to_json(),
    }
    if options.oracles:
        noise = rng(options.seed, Phase.ORACLE)
        scores = oracle_scores(agent.family, drawn, len(outcome.returns), noise)
        totals = {"agent": outcome.returns.sum(0), **scores}
        players = {name: interval(total) for name, total in totals.items()}
        show_players(console, players, f"{agent.family.name}: total reward of a trial")
        table["players"] = {
            name: {"mean": mean, "ci95": ci95} for name, (mean, ci95) in players.items()
        }
    return table


def _trained_on(agent: Agent, seed: int) -> list[Tasks]:
    """The tasks that a run with a seed has met in its first iterations."""
    n, split = agent.algorithm.config.tasks, agent.family.split("train")
    return [split.sample(n, seed, i) for i in range(compared(agent.family, agent.iteration))]


def _family_of(options: EvaluateOptions) -> str | None:
    """Find the run's family, and say where it is if that is not where it was.

    Raises:
        FamilyNotFoundError: it is not found.
    """
    config, folder = read_run_config(options.run_dir), options.run_dir
    _, moved = with_family(config, folder, options.env)
    if moved and options.env is None:
        say(make_console(), f"note: the family of {folder} is taken from {moved} now")
    return moved or None


def _device_of(run_dir: Path) -> str:
    """Return the device that a run was trained on.

    Raises:
        ValueError: it is not a run, or this machine has no such device.
    """
    device = read_run_config(run_dir).device
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"{run_dir} was trained on cuda, but torch finds no CUDA device; use --device cpu"
        )
    return device


def _evaluate_officially(agent: Agent, options: EvaluateOptions) -> dict[str, Any]:
    """Print what Meta-World's protocol gives; returns it as JSON."""
    steps = 1 if options.updates is None else options.updates
    episodes = 10 if options.episodes is None else options.episodes
    score = official_evaluation(
        agent.metaworld(seed=options.seed),
        agent.family,
        goals=options.tasks,
        adaptation_steps=steps,
        adaptation_episodes=episodes,
        seed=options.seed,
    )
    title = (
        f"{agent.family.name}, iteration {agent.iteration}: Meta-World's evaluation, "
        f"{options.tasks} goals, {steps} × {episodes} episodes of {agent.family.horizon} steps"
    )
    show_score(make_console(), score, title)
    return {
        "run": str(options.run_dir),
        "env": agent.family.name,
        "iteration": agent.iteration,
        "goals": options.tasks,
        "updates": steps,
        "episodes": episodes,
        "horizon": agent.family.horizon,
        "seed": options.seed,
        **score._asdict(),
    }


def _run(options: EvaluateOptions) -> None:
    each = f"an evaluation of {options.run_dir}"
    with enough_memory(options.tasks, each, "Take fewer --tasks, or --device cpu"):
        table = evaluate(options)
    if options.json is not None:
        write_json(options.json, table)


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 the environment failed, 2 a user's mistake, 130 interrupted."""
    return exit_code(lambda: _run(tyro.cli(EvaluateOptions, args=argv)))


if __name__ == "__main__":
    sys.exit(main())

"""Meta-train an agent on a family of tasks.

python scripts/train_metarl.py --env half-cheetah-vel
python scripts/train_metarl.py --env point-nav --preset finn2017 --seed 1
python scripts/train_metarl.py --resume runs/RUN --iterations 600
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import envs
from metarl.agent import Agent, build
from metarl.algorithms.maml_trpo_config import MamlTrpoConfig
from metarl.algorithms.meta_objective import MetaState
from metarl.experiment import checkpoint
from metarl.experiment.config import to_json
from metarl.experiment.run import Run, default_folder, read_config
from metarl.experiment.seeding import Phase, rng, torch_seed
from metarl.presets import MAML_TRPO, maml_trpo_preset
from metarl.rl.evaluate import CurvePoint
from metarl.rl.rollout import NonFiniteError

CORES = len(os.sched_getaffinity(0))
EVAL_TASKS, EVAL_EPISODES, EVAL_UPDATES = 40, 20, 3


@dataclass(frozen=True)
class Options:
    """Meta-train MAML-TRPO on a family of tasks; every option has a default."""

    env: str = "half-cheetah-vel"
    """Family of tasks; --list-envs shows them all."""
    algo: Literal["maml-trpo"] = "maml-trpo"
    """Meta-learning algorithm."""
    preset: str = "default"
    """Source of the tasks and hyper-parameters: default, finn2017, deleu2020 or promp2018."""
    seed: int = 0
    """Root of all randomness."""
    horizon: int | None = None
    """Steps of an episode; the preset's if not given."""
    run_dir: Path | None = None
    """Folder of the run; runs/<algo>__<env>__s<seed>__<time> if not given."""
    resume: Path | None = None
    """Go on with the run in this folder; only --iterations and --threads may be given with it."""
    engine: Literal["auto", "threads", "arrays"] = "auto"
    """What steps the environments: MuJoCo on all cores (threads) or array operations (arrays)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the policy lives; auto takes a GPU where there is one."""
    threads: int = CORES
    """Worker threads of the simulation and of the update; they never change a result."""
    eval_every: int = 50
    """Iterations between evaluations on held-out tasks; 0 evaluates at the end only."""
    checkpoint_every: int = 10
    """Iterations between checkpoints; one more is written at the end."""
    list_envs: bool = False
    """Print all families of tasks and exit."""
    algorithm: tyro.conf.OmitArgPrefixes[MamlTrpoConfig] = field(default_factory=MamlTrpoConfig)
    """Hyper-parameters; the defaults shown are those of the chosen preset."""


@dataclass(frozen=True)
class ResumeOptions:
    """Go on with a run; all else comes from its folder."""

    resume: Path
    """Folder of the run."""
    iterations: int | None = None
    """Total number of iterations, those already done included."""
    threads: int = CORES
    """Worker threads of the simulation and of the update; they never change a result."""


def parse(argv: list[str]) -> Options | ResumeOptions:
    """Read the command line; the preset sets the defaults of the hyper-parameters."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--env", default="half-cheetah-vel")
    first.add_argument("--preset", default="default")
    first.add_argument("--resume")
    known, _ = first.parse_known_args(argv)
    if known.resume is not None:
        return tyro.cli(ResumeOptions, args=argv)
    envs.make_family(known.env, known.preset)
    default = Options(algorithm=maml_trpo_preset(known.preset, known.env))
    return tyro.cli(Options, args=argv, default=default)


def resolve(options: Options) -> dict[str, Any]:
    """Everything that repeats the run, as JSON; refuses what cannot work."""
    family = envs.make_family(options.env, options.preset, options.horizon)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: no CUDA device was found; use --device cpu")
    for name in ("eval_every", "seed"):
        if getattr(options, name) < 0:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} must be at least 0, got {getattr(options, name)}")
    for name in ("checkpoint_every", "threads"):
        if getattr(options, name) < 1:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} must be at least 1, got {getattr(options, name)}")
    return {
        "algo": options.algo,
        "preset": options.preset,
        "seed": options.seed,
        "engine": options.engine,
        "device": device,
        "eval_every": options.eval_every,
        "checkpoint_every": options.checkpoint_every,
        "family": family.to_json(),
        "algorithm": to_json(options.algorithm),
    }


class Interrupt:
    """Turns the first Ctrl-C (or SIGTERM) into a request to end after the current iteration."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class Training:
    """One run from its first or latest iteration to its end."""

    def __init__(self, run: Run, config: dict[str, Any], threads: int, console: Console) -> None:
        """Build the family, the algorithm and the environments that `config` describes."""
        torch.set_num_threads(1)  # the workers are the parallelism; more would stall on barriers
        self.run, self.config, self.console, self.threads = run, config, console, threads
        self.family, self.algorithm = build(config, threads=threads, device=config["device"])
        self.options = self.algorithm.config
        self.seed: int = config["seed"]
        self.state = self.algorithm.init(torch_seed(self.seed, Phase.INIT))
        self.iteration = 0
        self.non_finite = 0
        self.seconds = 0.0

    def load(self, saved: checkpoint.Checkpoint) -> None:
        """Go on from a checkpoint."""
        tensors = {k: t.to(self.algorithm.device) for k, t in saved.tensors.items()}
        self.state = MetaState.from_tensors(tensors)
        self.iteration = saved.iteration
        self.non_finite = saved.state["non_finite_updates"]
        self.seconds = saved.state["seconds"]

    def save(self) -> None:
        """Write a checkpoint of the iterations that are complete."""
        state = {"non_finite_updates": self.non_finite, "seconds": self.seconds}
        checkpoint.save(self.run.folder, self.iteration, self.state.tensors(), state)

    def step(self, env: Any) -> dict[str, float]:
        """One meta-iteration on fresh tasks."""
        started = time.perf_counter()
        i = self.iteration
        tasks = self.family.split("train").sample(self.options.tasks, self.seed, i)
        self.state, metrics = self.algorithm.iteration(
            self.state, env, tasks, lambda k: rng(self.seed, Phase.ROLLOUT, i, k)
        )
        self.non_finite += int(metrics["outer/non_finite"])
        self.iteration += 1
        self.seconds += time.perf_counter() - started
        return metrics

    def evaluate(self) -> list[CurvePoint]:
        """The adaptation curve on held-out tasks, with the run's seed."""
        agent = Agent(self.family, self.algorithm, self.state, self.iteration)
        return agent.evaluate(
            tasks=EVAL_TASKS,
            updates=EVAL_UPDATES,
            episodes=EVAL_EPISODES,
            seed=self.seed,
            engine=self.config["engine"],
            threads=self.threads,
        )

    def loop(self, interrupt: Interrupt, report: Callable[[int, dict[str, float]], None]) -> None:
        """Iterate until the end or an interrupt, with evaluations and checkpoints on the way."""
        env = envs.make_engine(
            self.family,
            self.options.tasks,
            self.options.episodes,
            engine=self.config["engine"],
            threads=self.threads,
        )
        every, total = self.config["eval_every"], self.options.iterations
        try:
            while self.iteration < total and not interrupt.requested:
                metrics = self.step(env)
                done = self.iteration
                if every and done % every == 0 and done < total:
                    curve = self.evaluate()
                    metrics |= {f"eval/return_after_{p.updates}": p.mean for p in curve}
                    show_curve(self.console, curve, f"held-out tasks after {done} iterations")
                self.run.log(metrics, done - 1)
                if done % self.config["checkpoint_every"] == 0 or done == total:
                    self.save()
                report(done, metrics)
        finally:
            env.close()
            if self.iteration:
                self.save()


def show_curve(console: Console, curve: list[CurvePoint], title: str) -> None:
    """The adaptation curve as a table."""
    table = Table("updates", "mean return", "95 % interval", title=title)
    for p in curve:
        table.add_row(str(p.updates), f"{p.mean:.1f}", f"± {p.ci95:.1f}")
    console.print(table)


def line(done: int, total: int, metrics: dict[str, float]) -> str:
    """One iteration in words."""
    return (
        f"{done}/{total}  return {metrics['return/before']:.1f} → {metrics['return/after']:.1f}"
        f"  KL {metrics['outer/kl']:.4f}  {metrics['time/env_steps_per_second']:,.0f} steps/s"
    )


def train(training: Training, console: Console) -> int:
    """Train, evaluate and write the results; the exit code."""
    total = training.options.iterations
    resume = f"python scripts/train_metarl.py --resume {training.run.folder}"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        Interrupt() as interrupt,
        Progress(
            *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
        ) as progress,
    ):
        bar = progress.add_task("training", total=total, completed=training.iteration)

        def report(done: int, metrics: dict[str, float]) -> None:
            progress.update(bar, completed=done)
            console.print(line(done, total, metrics), highlight=False)

        try:
            training.loop(interrupt, report)
        except NonFiniteError as error:
            console.print(f"error: {error}\na checkpoint was saved; go on with: {resume}")
            return 1
    write_results(training, console)
    console.print(f"run: {training.run.folder}")
    if training.iteration < total:
        console.print(f"stopped after {training.iteration} iterations; go on with: {resume}")
        return 130
    return 0


def write_results(training: Training, console: Console) -> None:
    """The final evaluation: table, results.json and TensorBoard's HPARAMS tab."""
    curve = training.evaluate()
    show_curve(console, curve, f"{EVAL_TASKS} held-out tasks, {EVAL_EPISODES} episodes per update")
    final = {f"final/return_after_{p.updates}": p.mean for p in curve}
    options = to_json(training.options) | {
        "env": training.family.name,
        "preset": training.config["preset"],
        "seed": training.seed,
    }
    training.run.log_hparams(options, final, training.iteration)
    training.run.write_results(
        {
            "env": training.family.name,
            "preset": training.config["preset"],
            "seed": training.seed,
            "iterations": training.iteration,
            "training_seconds": training.seconds,
            "non_finite_updates": training.non_finite,
            "evaluation": {
                "split": "test",
                "tasks": EVAL_TASKS,
                "episodes_per_update": EVAL_EPISODES,
                "curve": [p._asdict() for p in curve],
            },
        }
    )


def start(options: Options, console: Console) -> int:
    """A new run."""
    config = resolve(options)
    folder = options.run_dir or default_folder(options.algo, options.env, options.seed)
    with Run.create(folder, config) as run:
        return train(Training(run, config, options.threads, console), console)


def go_on(options: ResumeOptions, console: Console) -> int:
    """A run from its newest valid checkpoint."""
    config = read_config(options.resume)
    if options.threads < 1:
        raise ValueError(f"--threads must be at least 1, got {options.threads}")
    saved = checkpoint.load_latest(options.resume)
    for skipped in saved.skipped:
        console.print(f"skipped a checkpoint that does not verify: {skipped}")
    if options.iterations is not None:
        if options.iterations < saved.iteration:
            raise ValueError(
                f"--iterations is the total: {saved.iteration} are done, got {options.iterations}"
            )
        config["algorithm"]["iterations"] = options.iterations
    with Run.resume(options.resume, saved.iteration) as run:
        training = Training(run, config, options.threads, console)
        training.load(saved)
        if training.iteration >= training.options.iterations:
            console.print(
                f"all {training.iteration} iterations are done; raise --iterations to go on"
            )
            return 0
        return train(training, console)


def list_envs(console: Console) -> None:
    """All families with parameters, ranges, horizon, spaces and presets."""
    table = Table("env", "parameters", "horizon", "observations", "actions", "presets")
    for name in envs.family_names():
        family = envs.make_family(name)
        parameters = "\n".join(f"{k}: {d}" for k, d in family.parameters.items())
        presets = ", ".join(p for p, rows in MAML_TRPO.items() if name in rows)
        table.add_row(
            name,
            parameters,
            str(family.horizon),
            str(family.observation_space.shape),
            str(family.action_space.shape),
            presets,
        )
    console.print(table)


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 the environment failed, 2 a user's mistake, 130 interrupted."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        if isinstance(options, ResumeOptions):
            return go_on(options, console)
        if options.list_envs:
            list_envs(console)
            return 0
        return start(options, console)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

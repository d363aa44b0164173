"""Meta-train an agent on a family of tasks.

python scripts/train_metarl.py --env half-cheetah-vel
python scripts/train_metarl.py --env point-nav --preset finn2017 --seed 1
python scripts/train_metarl.py --env Pendulum-v1 --vary "g=uniform(6,14)"
python scripts/train_metarl.py --env bandit-k5 --algo rl2
python scripts/train_metarl.py --resume RUN_DIR --iterations 600
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import gymnasium
import torch
import tyro
from rich.console import Console

from metarl.algorithms.presets import tasks_of
from metarl.algorithms.registry import METHODS, get_method
from metarl.cli.command import (
    Job,
    given,
    given_of,
    more_iterations,
    refuse_beside_resume,
    run_command,
)
from metarl.cli.display import cores, resume_command, say
from metarl.cli.list_envs import show_families
from metarl.cli.reporter import ConsoleReporter
from metarl.cli.tuning import defaults
from metarl.core.precision import require_precision
from metarl.experiment import checkpoint
from metarl.experiment.config import to_json
from metarl.experiment.machine import resolve_compile, resolve_device
from metarl.experiment.run import Run, default_folder, read_results
from metarl.runs import EVAL_TASKS, RunConfig, read_run_config, with_family
from metarl.tasks import TaskFamily, load_family, make_family
from metarl.tasks.checking import sign_advice
from metarl.tasks.contract.task_rules import stale_advice
from metarl.tasks.custom.setters import Way
from metarl.training.loop import train
from metarl.training.reinforcement import Training

ALGO, ENV, PRESET = "maml-trpo", "half-cheetah-vel", "default"
RESUMABLE = (
    "--resume",
    "--env",
    "--iterations",
    *("--eval-tasks", "--eval-updates", "--eval-episodes"),
    "--device",
    "--compile",
    "--threads",
    "--workers",
    "--help",
)


AlgorithmConfig = TypeVar("AlgorithmConfig")


@dataclass(frozen=True)
class TrainOptions(Generic[AlgorithmConfig]):
    """Meta-train an agent on a family of tasks; every option has a default."""

    algorithm: tyro.conf.OmitArgPrefixes[AlgorithmConfig]
    """Hyper-parameters; the defaults shown are those of the chosen algo, env and preset."""
    env: str = ENV
    """Family of tasks: a name (--list-envs shows them all), your own as my_module:my_family or
    path/to/file.py:my_family, or with --vary any Gymnasium environment."""
    vary: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """What varies in a Gymnasium environment: name=uniform(low,high) or name=choice(a,b,…), where
    name is an attribute such as g or model.opt.gravity[2]; once per parameter."""
    apply: Way = "attributes"
    """How what varies reaches the environment: as attributes, as arguments of its constructor, by
    reset(options={"task": …}), or by its set_task or reset_task; auto takes what it has."""
    algo: str = ALGO
    """Meta-learning algorithm: maml-trpo or rl2; each has hyper-parameters of its own."""
    preset: str = PRESET
    """Source of the tasks and hyper-parameters, such as finn2017 or varibad2020; it changes the
    defaults that --help shows. --list-envs shows all presets. like:bandit-k5 takes the
    hyper-parameters of that family for another, such as your own."""
    seed: int = 0
    """Root of all randomness."""
    horizon: int | None = None
    """Steps of an episode; the preset's if not given."""
    run_dir: Path | None = None
    """Folder of the run; runs/<algo>__<env>__s<seed>__<time> if not given."""
    resume: Path | None = None
    """Go on with the run in this folder; only --env (of a family that has moved),
    --iterations, --eval-tasks, --eval-updates, --eval-episodes, --device, --compile, --threads and
    --workers may be given with it."""
    engine: Literal["auto", "threads", "arrays", "vector", "warp"] = "auto"
    """What steps the environments: MuJoCo on all cores (threads), array operations (arrays), any
    Gymnasium environment (vector), or MuJoCo Warp, which auto takes on a GPU (warp)."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the policy lives; auto takes a GPU where there is one."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile Fisher product and line search; auto does in runs of at least 20 iterations on a CPU
    with a C++ compiler, on does on a GPU too."""
    threads: int = cores()
    """Worker threads of the simulation and of the update; they never change a result."""
    workers: int = 0
    """Worker processes of the vector engine, 0 is none; they never change a result."""
    eval_every: int = 50
    """Iterations between evaluations on held-out tasks; 0 evaluates at the end only."""
    eval_tasks: int = EVAL_TASKS
    """Held-out tasks of an evaluation; 0 evaluates never."""
    eval_updates: int | None = None
    """Gradient steps of MAML-TRPO in an evaluation; 3 if not given."""
    eval_episodes: int | None = None
    """Episodes of an evaluation, 0 evaluates never. MAML-TRPO: per task and update, 20 if not
    given. RL²: of a trial, as many as in training if not given."""
    checkpoint_every: int = 10
    """Iterations between checkpoints; one more is written at the end."""
    list_envs: bool = False
    """Print all families of tasks and exit."""


@dataclass(frozen=True)
class ResumeOptions:
    """Go on with a run; all else comes from its folder."""

    resume: Path
    """Folder of the run."""
    env: str | None = None
    """Where the run's family is now, as my_module:my_family or path/to/file.py:my_family; where it
    was, or near the run or the working directory, if not given."""
    iterations: int | None = None
    """Total number of iterations, those already done included; the run's if not given."""
    eval_tasks: int | None = None
    """Held-out tasks of an evaluation from now on, 0 evaluates never; the run's if not given."""
    eval_updates: int | None = None
    """Gradient steps of an evaluation from now on; the run's if not given."""
    eval_episodes: int | None = None
    """Episodes of an evaluation from now on, 0 evaluates never; the run's if not given."""
    device: Literal["auto", "cpu", "cuda"] | None = None
    """Where the policy lives from now on; the run's if not given."""
    compile: Literal["auto", "on", "off"] | None = None
    """Whether to compile from now on; as the run does if not given."""
    threads: int = cores()
    """Worker threads of the simulation and of the update; they never change a result."""
    workers: int = 0
    """Worker processes of the vector engine, 0 is none; they never change a result."""


def prepare(arguments: list[str], console: Console) -> Job:
    """Read the command line and refuse what cannot work before anything starts.

    The preset sets the defaults of the hyper-parameters, so it is looked for first.

    Raises:
        ValueError: a user's mistake.
        SystemExit: tyro's --help, or its message about an unknown option.
    """
    if given(arguments, "--resume") is not None:
        refuse_beside_resume(arguments, RESUMABLE)
        return _prepare_resume(tyro.cli(ResumeOptions, args=arguments), console)
    env, preset = given(arguments, "--env") or ENV, given(arguments, "--preset") or PRESET
    algo = given(arguments, "--algo") or ALGO
    if not (":" in env or env in gymnasium.registry or given(arguments, "--vary")):
        make_family(env)
    begin = defaults(arguments, algo, env, preset)
    default = TrainOptions(algorithm=begin.config)
    kind: Any = TrainOptions  # whose hyper-parameters are the algorithm's
    options = tyro.cli(kind[get_method(algo).config], args=arguments, default=default)
    if options.list_envs:
        presets = {algo: method.presets for algo, method in METHODS.items()}
        return lambda: show_families(console, presets)
    return _prepare_start(options, console, begin.note(options.algorithm))


def _prepare_start(options: TrainOptions[Any], console: Console, note: str = "") -> Job:
    """A new run: everything is built before its folder is made."""
    family = load_family(
        options.env,
        tasks_of(options.preset),
        options.horizon,
        options.vary,
        options.workers,
        apply=options.apply,
    )
    if options.vary:
        _warn_of_what_varies(family)
    device = resolve_device(options.device)
    require_precision(options.algorithm.precision, torch.device(device))
    config = RunConfig(
        algo=options.algo,
        preset=options.preset,
        seed=options.seed,
        engine=options.engine,
        device=device,
        compiled=_compiles(options.compile, options.algo, device, options.algorithm),
        eval_every=options.eval_every,
        eval_tasks=options.eval_tasks,
        eval_updates=options.eval_updates,
        eval_episodes=options.eval_episodes,
        checkpoint_every=options.checkpoint_every,
        family=family.to_json(),
        algorithm=options.algorithm,
    )
    folder = options.run_dir or default_folder(options.algo, family.name, options.seed)
    training = Training(config, options.threads, options.workers)
    run = Run.create(folder, to_json(config))
    return lambda: _train(training, run, console, note)


def _compiles(mode: str, algo: str, device: str, algorithm: Any) -> bool:
    """Say whether a run of these options compiles; `auto` never does where there is nothing to."""
    nothing = mode == "auto" and not get_method(algo).compiles
    return resolve_compile("off" if nothing else mode, device, algorithm.iterations)


def _warn_of_what_varies(family: TaskFamily) -> None:
    """Say what its environment may not have been made for."""
    console = Console(stderr=True)
    if stale := stale_advice(family):
        say(console, f"warning: {stale}, or vary what is derived as well")
    if sign := sign_advice(family):
        say(console, f"warning: {sign}; narrow the range if that makes no sense")


def _prepare_resume(options: ResumeOptions, console: Console) -> Job:
    """A run from its newest checkpoint that verifies."""
    folder = options.resume
    saved = checkpoint.load_latest(folder)
    config, moved = with_family(read_run_config(folder), folder, options.env)
    if moved:
        say(console, f"the family is taken from {moved} from now on")
    for skipped in saved.skipped:
        say(console, f"skipped a checkpoint that does not verify: {skipped}")
    config = replace(
        config,
        algorithm=more_iterations(config.algorithm, options.iterations, saved),
        **given_of(options, "eval_tasks", "eval_updates", "eval_episodes"),
    )
    device = resolve_device(options.device or config.device)
    as_before = "on" if config.compiled and device == config.device else "off"
    compiled = _compiles(options.compile or as_before, config.algo, device, config.algorithm)
    config = replace(config, device=device, compiled=compiled)
    results = read_results(folder)
    training = Training(config, options.threads, options.workers)
    training.load(saved, results)
    if saved.iteration >= training.total and results.get("finished"):
        return lambda: _say_finished(folder, saved.iteration, console)
    run = Run.resume(folder, saved.iteration, to_json(config))
    return lambda: _train(training, run, console)


def _train(training: Training, run: Run, console: Console, note: str = "") -> int:
    """Say what is about to happen, and do it."""
    config, family = training.config, training.family
    compiled = "compiled, " if config.compiled else ""
    processes = f", worker processes: {training.workers}" if training.workers else ""
    say(
        console,
        f"{config.algo} on {family.name}, preset {config.preset}, seed {config.seed}: iterations "
        f"{training.position.iteration} to {training.total}, {config.algorithm.tasks} tasks × "
        f"{config.algorithm.episodes} episodes × {family.horizon} steps; {config.device}, "
        f"{compiled}worker threads: {training.threads}, each with one torch thread{processes}; "
        f"{run.folder}",
    )
    for remark in filter(None, (note, training.advice)):
        say(console, f"note: {remark}")
    with run:
        go_on = f"go on with: {resume_command('train_metarl.py', run.folder)}"
        return train(training, run, ConsoleReporter(console), go_on)


def _say_finished(folder: Path, iterations: int, console: Console) -> int:
    """Nothing is left to do."""
    more = f"{resume_command('train_metarl.py', folder)} --iterations {2 * iterations}"
    say(console, f"all {iterations} iterations are done; raise --iterations to go on: {more}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 the environment failed, 2 a user's mistake, 130 interrupted."""
    return run_command(prepare, argv)


if __name__ == "__main__":
    sys.exit(main())

"""Meta-train a few-shot learner on tasks made of data.

python scripts/train_fewshot.py --data sinusoid --algo maml
python scripts/train_fewshot.py --resume RUN_DIR --iterations 100000
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import tyro
from rich.console import Console

from metarl.cli.command import (
    Job,
    given,
    given_of,
    more_iterations,
    refuse_beside_resume,
    run_command,
)
from metarl.cli.display import cores, resume_command, say
from metarl.cli.reporter import ConsoleReporter
from metarl.cli.series import FILE as SERIES
from metarl.cli.series import Changes, changes_of, read_changes, require_fresh, run_series
from metarl.experiment import checkpoint
from metarl.experiment.config import to_json
from metarl.experiment.files import write_json
from metarl.experiment.machine import resolve_device
from metarl.experiment.run import CONFIG, Run, default_folder, read_results
from metarl.fewshot.data.sources import DataConfig, absolute, make_source, with_enough_examples
from metarl.fewshot.data.task import Source
from metarl.fewshot.mapping import resolve_how
from metarl.fewshot.presets import data_options
from metarl.fewshot.registry import EVAL_TASKS, get_algorithm, preset_config
from metarl.fewshot.run import FewShotRunConfig, describe, open_source, read_run_config
from metarl.training.few_shot import FewShotTraining
from metarl.training.loop import train

ALGO, DATA, PRESET = "maml", "sinusoid", "default"
RESUMABLE = ("--resume", "--iterations", "--eval-tasks", "--threads", "--help")

AlgorithmConfig = TypeVar("AlgorithmConfig")


@dataclass(frozen=True)
class TrainFewShotOptions(Generic[AlgorithmConfig]):
    """Meta-train a few-shot learner; every option has a default."""

    algorithm: tyro.conf.OmitArgPrefixes[AlgorithmConfig]
    """Hyper-parameters; the defaults shown are those of the chosen algo, data and preset."""
    source: tyro.conf.OmitArgPrefixes[tyro.conf.UseAppendAction[DataConfig]]
    """Data, and how tasks are made of it."""
    algo: str = ALGO
    """Algorithm: by gradients maml, fomaml, anil, boil, meta-sgd, maml++, reptile, imaml or
    learned-optimizer; by distances protonet, matching-net or r2d2; by a network that reads the
    support set cnp, snail or film; without meta-learning pretrain or scratch."""
    preset: str = PRESET
    """Source of the hyper-parameters, such as finn2017; it changes the defaults that --help
    shows."""
    seed: int = 0
    """Root of all randomness."""
    split_seeds: int = 0
    """As many runs, from --split-seed on: how much does it matter what is held out?"""
    run_dir: Path | None = None
    """Folder of the run; runs/<algo>__<data>__s<seed>__<time> if not given."""
    resume: Path | None = None
    """Go on with the run in this folder; only --iterations, --eval-tasks and --threads
    may be given with it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the parameters live; auto takes a GPU where there is one."""
    how: Literal["auto", "vmap", "loop", "threads"] = "auto"
    """All tasks in one call, one at a time, or spread over threads; auto chooses by their size and
    the device, and says."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the gradient of a multi-layer perceptron; auto does, on a CPU with a C++ compiler,
    where the run is so long that it spares more time by it than it takes."""
    threads: int = cores()
    """Worker threads; they never change a result."""
    eval_every: int = 5000
    """Iterations between evaluations on held-out tasks; 0 evaluates at the end only."""
    eval_tasks: int = EVAL_TASKS
    """Held-out tasks of an evaluation; 0 evaluates never."""
    checkpoint_every: int = 1000
    """Iterations between checkpoints; one more is written at the end, the last three stay."""


@dataclass(frozen=True)
class ResumeFewShotOptions:
    """Go on with a run; all else comes from its folder."""

    resume: Path
    """Folder of the run."""
    iterations: int | None = None
    """Total number of iterations, those already done included; the run's if not given."""
    eval_tasks: int | None = None
    """Held-out tasks of an evaluation from now on, 0 evaluates never; the run's if not given."""
    threads: int = cores()
    """Worker threads; they never change a result."""


def prepare(arguments: list[str], console: Console) -> Job:
    """Read the command line and refuse what cannot work before anything starts.

    The preset sets the defaults of the hyper-parameters, so it is looked for first.

    Raises:
        ValueError: a user's mistake.
        SystemExit: tyro's --help, or its message about an unknown option.
    """
    if given(arguments, "--resume") is not None:
        refuse_beside_resume(arguments, RESUMABLE)
        options = tyro.cli(ResumeFewShotOptions, args=arguments)
        series = (options.resume / SERIES).is_file()
        return (_prepare_series if series else _prepare_resume)(options, console)
    algo, data = given(arguments, "--algo") or ALGO, given(arguments, "--data") or DATA
    preset = given(arguments, "--preset") or PRESET
    config = preset_config(algo, preset, data)
    default = TrainFewShotOptions(algorithm=config, source=DataConfig(**data_options(preset)))
    kind: Any = TrainFewShotOptions  # whose hyper-parameters are the algorithm's
    kind = kind[get_algorithm(algo).config]
    return _prepare_start(tyro.cli(kind, args=arguments, default=default), console)


def _prepare_start(options: TrainFewShotOptions[Any], console: Console) -> Job:
    """A new run, or a series: everything is built before its folder is made."""
    runs = changes_of(options.source, options.split_seeds)
    if not runs:
        config, source, why = _configured(options)
        folder = options.run_dir or default_folder(options.algo, source.name, options.seed)
        return _start(config, source, folder, options.threads, console, why)
    first, *_, last = (replace(options.source, **changes) for changes in runs.values())
    make_source(absolute(last))  # so that it is refused before anything starts
    config, source, why = _configured(replace(options, source=first))
    folder = options.run_dir or default_folder(options.algo, source.name, options.seed)
    require_fresh(folder)
    name = next(iter(runs))
    job = _start(config, source, folder / name, options.threads, console, why)
    write_json(folder / SERIES, {"runs": runs})
    begun = {name: job}
    later = ResumeFewShotOptions(folder, threads=options.threads)
    return lambda: run_series(
        folder, runs, lambda n: begun.pop(n, None) or _prepare_one(n, runs, later, console), console
    )


def _configured(options: TrainFewShotOptions[Any]) -> tuple[FewShotRunConfig, Source, str]:
    """Return what options describe, its data, and how tasks are mapped, in words."""
    c = options.algorithm
    shots, queries = max(c.shots, c.eval_shots), max(c.queries, c.eval_queries)
    data = with_enough_examples(absolute(options.source), shots + queries)
    source = make_source(data)
    source.require(shots, queries)
    config = FewShotRunConfig(
        algo=options.algo,
        preset=options.preset,
        seed=options.seed,
        device=resolve_device(options.device),
        how="vmap",
        compiled=False,
        eval_every=options.eval_every,
        eval_tasks=options.eval_tasks,
        checkpoint_every=options.checkpoint_every,
        data=data,
        algorithm=c,
        **describe(source),
    )
    config, why = resolve_how(config, options.how, options.compile)
    return config, source, why


def _start(
    config: FewShotRunConfig,
    source: Source,
    folder: Path,
    threads: int,
    console: Console,
    why: str = "",
) -> Job:
    """A new run of a configuration."""
    training = FewShotTraining(config, threads, source)
    run = Run.create(folder, to_json(config))
    return lambda: _train(training, run, console, why)


def _prepare_series(options: ResumeFewShotOptions, console: Console) -> Job:
    """Go on with the runs of a series that are not finished."""
    folder = options.resume
    runs = read_changes(folder)
    return lambda: run_series(
        folder, runs, lambda name: _prepare_one(name, runs, options, console), console
    )


def _prepare_one(name: str, runs: Changes, options: ResumeFewShotOptions, console: Console) -> Job:
    """A run of a series: as it stands, or anew with the configuration of the first one."""
    folder = options.resume / name
    if (folder / CONFIG).exists():
        done, more = read_results(folder), (options.iterations, options.eval_tasks)
        if done.get("finished") and more == (None, None):
            return lambda: 0
        return _prepare_resume(replace(options, resume=folder), console)
    config = read_run_config(options.resume / next(iter(runs)))
    source = make_source(replace(config.data, **runs[name]))
    config = replace(config, data=replace(config.data, **runs[name]), **describe(source))
    return _start(config, source, folder, options.threads, console)


def _prepare_resume(options: ResumeFewShotOptions, console: Console) -> Job:
    """A run from its newest checkpoint that verifies."""
    folder = options.resume
    saved = checkpoint.load_latest(folder)
    config = read_run_config(folder)
    for skipped in saved.skipped:
        say(console, f"skipped a checkpoint that does not verify: {skipped}")
    algorithm = more_iterations(config.algorithm, options.iterations, saved)
    config = replace(config, algorithm=algorithm, **given_of(options, "eval_tasks"))
    results = read_results(folder)
    training = FewShotTraining(config, options.threads, open_source(config))
    training.load(saved, results)
    if saved.iteration >= training.total and results.get("finished"):
        more = f"{resume_command('train_fewshot.py', folder)} --iterations {2 * saved.iteration}"
        done = f"all {saved.iteration} iterations are done; raise --iterations to go on: {more}"
        return lambda: _say_finished(done, console)
    run = Run.resume(folder, saved.iteration, to_json(config))
    return lambda: _train(training, run, console)


def _say_finished(done: str, console: Console) -> int:
    """Nothing is left to do."""
    say(console, done)
    return 0


def _train(training: FewShotTraining, run: Run, console: Console, why: str = "") -> int:
    """Say what is about to happen, and do it."""
    config, c = training.config, training.config.algorithm
    how = f"{'vmapped and compiled' if config.compiled else config.how}{f' ({why})' if why else ''}"
    say(
        console,
        f"{config.algo} on {config.form.name}, preset {config.preset}, seed "
        f"{config.seed}: iterations {training.iteration} to {training.total}, {c.tasks} tasks × "
        f"({c.shots} shots + {c.queries} queries); {config.device}, tasks: {how}; {run.folder}",
    )
    with run:
        go_on = f"go on with: {resume_command('train_fewshot.py', run.folder)}"
        return train(training, run, ConsoleReporter(console), go_on)


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 2 a user's mistake, 130 interrupted."""
    return run_command(prepare, argv)


if __name__ == "__main__":
    sys.exit(main())

"""One training run, from its first or latest iteration to its results."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self

import torch
from display import progress_bar, resume_command, say, show_evaluation
from rich.console import Console

import envs
from metarl.agent import Agent, RunConfig, build, engine_maker
from metarl.experiment import checkpoint
from metarl.experiment.config import to_json
from metarl.experiment.run import Run
from metarl.experiment.seeding import Phase, rng, torch_seed
from metarl.methods.base import State
from metarl.rl.evaluate import Evaluation
from metarl.rl.rollout import NonFiniteError

EVAL_TASKS = 40
Metrics = dict[str, float]


class Position(NamedTuple):
    """Where a run is; replaced as a whole, so that an error never sees half an iteration."""

    iteration: int  # iterations that are complete
    state: State  # after them
    non_finite: int  # updates that were not finite and were left out
    seconds: float  # spent on training, all resumes included


class Interrupt:
    """Turns the first Ctrl-C or SIGTERM into a request to end; the second one quits at once."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        # not print: the signal may have come in the middle of one
        os.write(2, b"\nending after this iteration; once more quits at once\n")


class Training:
    """The family, the algorithm and the environments of a run, and where it is."""

    def __init__(self, config: RunConfig, threads: int, workers: int = 0) -> None:
        """Build what `config` describes; nothing is written.

        Raises:
            ValueError: something of it is impossible.
            EnvironmentFailure: an environment cannot be made.
        """
        torch.set_num_threads(1)  # the workers are the parallelism; more would stall on barriers
        self.config = config
        self.threads = threads
        self.workers = workers
        self.parts = build(config, threads=threads, device=config.device)
        self.family, self.algorithm, self.method = self.parts
        make = engine_maker(self.family, config.engine, threads, workers)
        self.env = self.method.make_env(config.algorithm, make)
        state = self.algorithm.init(torch_seed(config.seed, Phase.INIT))
        self.position = Position(0, state, 0, 0.0)
        self.evaluation: Evaluation | None = None  # the latest one
        self.evaluated_at = -1  # the iterations that were complete then

    @property
    def total(self) -> int:
        """Iterations that the run is to have in the end."""
        return self.config.algorithm.iterations

    def load(self, saved: checkpoint.Checkpoint, results: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Args:
            saved: the checkpoint.
            results: what results.json holds so far, for its latest evaluation; may be empty.

        Raises:
            ValueError: the checkpoint does not fit the configuration.
        """
        tensors = {k: t.to(self.algorithm.device) for k, t in saved.tensors.items()}
        shapes = {k: t.shape for k, t in self.position.state.tensors().items()}
        if shapes != {k: t.shape for k, t in tensors.items()}:
            raise ValueError(f"{saved.path} does not hold the parameters that the run describes")
        state = self.method.restore(tensors)
        counted = saved.state
        self.position = Position(
            saved.iteration, state, counted["non_finite_updates"], counted["seconds"]
        )
        evaluation = results.get("evaluation")
        if evaluation and evaluation["iteration"] <= saved.iteration:
            self.evaluation = Evaluation.from_json(evaluation)
            self.evaluated_at = evaluation["iteration"]

    def save(self, folder: Path) -> None:
        """Write a checkpoint of the iterations that are complete."""
        p = self.position
        state = {"non_finite_updates": p.non_finite, "seconds": p.seconds}
        checkpoint.save(folder, p.iteration, p.state.tensors(), state)

    def step(self) -> Metrics:
        """One meta-iteration on fresh training tasks."""
        started = time.perf_counter()
        i, state, non_finite, seconds = self.position
        seed = self.config.seed
        tasks = self.family.split("train").sample(self.env.num_tasks, seed, i)
        state, metrics = self.algorithm.iteration(
            state, self.env, tasks, lambda k: rng(seed, Phase.ROLLOUT, i, k)
        )
        seconds += time.perf_counter() - started
        non_finite += int(sum(v for k, v in metrics.items() if k.endswith("/non_finite")))
        self.position = Position(i + 1, state, non_finite, seconds)
        return metrics

    def evaluate(self) -> None:
        """The adaptation curve on held-out tasks; always the same tasks and noise."""
        done, state = self.position.iteration, self.position.state
        agent = Agent(self.parts, state, done, engine=self.config.engine)
        self.evaluation = agent.evaluate(
            split="test",
            tasks=EVAL_TASKS,
            seed=self.config.seed,
            threads=self.threads,
            workers=self.workers,
        )
        self.evaluated_at = done

    def scalars(self, prefix: str) -> Metrics:
        """The latest curve as `<prefix>/return_after_<updates>` or `…/return_episode_<k>`."""
        curve = self.evaluation.curve if self.evaluation else []
        return {f"{prefix}/{point.name}": point.mean for point in curve}

    def show(self, console: Console, title: str) -> None:
        """Print the latest evaluation."""
        if self.evaluation:
            show_evaluation(console, self.evaluation, title)

    def results(self, *, finished: bool) -> dict[str, Any]:
        """What results.json holds."""
        evaluation = self.evaluation and {
            "split": "test",
            "iteration": self.evaluated_at,
            "tasks": EVAL_TASKS,
            **self.method.evaluation,
            **self.evaluation.to_json(),
        }
        return {
            "algo": self.config.algo,
            "env": self.family.name,
            "preset": self.config.preset,
            "seed": self.config.seed,
            "iterations": self.position.iteration,
            "finished": finished,
            "training_seconds": self.position.seconds,
            "non_finite_updates": self.position.non_finite,
            "evaluation": evaluation,
        }


def train(training: Training, run: Run, console: Console) -> int:
    """Train, evaluate and write the results.

    Returns:
        The exit code: 0 finished, 1 the environment failed, 130 interrupted.
    """
    go_on = f"go on with: {resume_command(run.folder)}"
    with Interrupt() as interrupt:
        try:
            _iterate(training, run, console, interrupt)
            finished = training.position.iteration >= training.total
            if finished:
                _conclude(training, run, console)
        except Exception as error:
            training.save(run.folder)
            run.write_results(training.results(finished=False))
            if not isinstance(error, NonFiniteError | envs.EnvironmentFailure):
                raise
            say(Console(stderr=True), f"error: {error}\na checkpoint was saved; {go_on}")
            return 1
        finally:
            training.env.close()
    run.write_results(training.results(finished=finished))
    say(console, f"run: {run.folder}")
    if not finished:
        say(console, f"stopped after {training.position.iteration} iterations; {go_on}")
    return 0 if finished else 130


def _iterate(training: Training, run: Run, console: Console, interrupt: Interrupt) -> None:
    """Iterate to the end or to an interrupt, with evaluations and checkpoints on the way."""
    config, total = training.config, training.total
    with progress_bar(console, training.position.iteration, total) as report:
        while training.position.iteration < total and not interrupt.requested:
            metrics = training.step()
            report(training.position.iteration, metrics)
            done = training.position.iteration
            try:
                if config.eval_every and done % config.eval_every == 0:
                    training.evaluate()
                    metrics |= training.scalars("eval")
                    training.show(console, f"held-out tasks, iteration {done}")
                    run.write_results(training.results(finished=False))
            finally:
                run.log(metrics, done - 1)
            if done % config.checkpoint_every == 0:
                training.save(run.folder)
    training.save(run.folder)


def _conclude(training: Training, run: Run, console: Console) -> None:
    """The final curve, unless it is known already, and TensorBoard's HPARAMS tab."""
    config, done = training.config, training.position.iteration
    if training.evaluated_at != done:
        training.evaluate()
        training.show(console, f"{EVAL_TASKS} held-out tasks, after {done} iterations")
    options = to_json(config.algorithm) | {
        "algo": config.algo,
        "env": training.family.name,
        "horizon": training.family.horizon,
        "preset": config.preset,
        "seed": config.seed,
    }
    run.log_hparams(options, training.scalars("final"), done)

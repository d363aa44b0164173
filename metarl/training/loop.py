"""The loop of a training run: iterations, evaluations, checkpoints, and an end in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from metarl.experiment.memory import OutOfMemory
from metarl.experiment.run import Run
from metarl.training.reporter import Reporter

Metrics = dict[str, float]


class Trainable(Protocol):
    """The loop needs this of a training."""

    config: Any  # has eval_every, 0 is at the end only, eval_tasks, evaluates, checkpoint_every
    evaluated_at: int  # iterations that were complete at the latest evaluation
    failures: tuple[type[Exception], ...]  # what ends a run in order, with its message

    @property
    def iteration(self) -> int:
        """Iterations that are complete."""

    @property
    def total(self) -> int:
        """Iterations that the run is to have in the end."""

    def step(self, stopping: Callable[[], bool]) -> Metrics:
        """At least one iteration; the metrics of the last one, or of their mean.

        More than one end as soon as `stopping()`, and where an evaluation or checkpoint is due.
        """

    def line(self, metrics: Metrics) -> str:
        """Say the metrics in words."""

    def require_learning(self) -> None:
        """Raise one of `failures` where all iterations so far have changed nothing."""

    def evaluate(self) -> None:
        """On held-out tasks."""

    def scalars(self, prefix: str) -> Metrics:
        """The latest evaluation, for the logs."""

    def show(self, reporter: Reporter, title: str) -> None:
        """Report the latest evaluation."""

    def hparams(self) -> dict[str, Any]:
        """Return what TensorBoard's HPARAMS tab shows of the configuration."""

    def results(self, *, finished: bool) -> dict[str, Any]:
        """Return what results.json holds."""

    def save(self, folder: Path) -> None:
        """Write a checkpoint of the iterations that are complete."""

    def close(self) -> None:
        """End what was started for the training."""


class Interrupt:
    """Turns the first Ctrl-C or SIGTERM into a request to end; the second one quits at once.

    Within `may_end` the first one is a `KeyboardInterrupt`, too, which goes no further than that.
    """

    def __init__(self) -> None:
        self.requested = False
        self._ends = False
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

    @contextmanager
    def may_end(self) -> Iterator[None]:
        """Let the first signal end what is done within, which leaves nothing half done."""
        self._ends = True
        try:
            yield
        except KeyboardInterrupt:
            if not self._ends:  # the second one
                raise
        finally:
            self._ends = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self._ends = False
            raise KeyboardInterrupt
        self.requested = True
        # not print: the signal may have come in the middle of one
        what = b"ending this evaluation" if self._ends else b"ending after this iteration"
        os.write(2, b"\n" + what + b"; once more quits at once\n")
        if self._ends:
            raise KeyboardInterrupt


def train(training: Trainable, run: Run, reporter: Reporter, go_on: str) -> int:
    """Train, evaluate and write the results.

    Args:
        training: what is trained.
        run: its folder.
        reporter: who is told.
        go_on: what to say to a user whose run has stopped before its end.

    Returns:
        The exit code: 0 finished, 1 it failed for a reason that the message gives, 2 its options
        ask for more memory than there is, 130 interrupted.
    """
    with Interrupt() as interrupt:
        try:
            _iterate(training, run, reporter, interrupt)
            finished = training.iteration >= training.total
            if finished:
                training.require_learning()
                finished = _conclude(training, run, reporter, interrupt)
            run.write_results(training.results(finished=finished))
        except Exception as error:
            saved = _save_at_last(training, run)
            if not isinstance(error, (*training.failures, OSError)):
                raise
            reporter.error(f"{error}\n{saved}; {go_on}")
            return 2 if isinstance(error, OutOfMemory) else 1
        finally:
            training.close()
    reporter.say(f"run: {run.folder}")
    if not finished:
        reporter.say(f"stopped after {training.iteration} iterations; {go_on}")
        if training.iteration >= training.total and training.config.evaluates:
            reporter.say("only the evaluation is left; with --eval-tasks 0 there is none")
    return 0 if finished else 130


def _iterate(training: Trainable, run: Run, reporter: Reporter, interrupt: Interrupt) -> None:
    """Iterate to the end or to an interrupt, with evaluations and checkpoints on the way."""
    config, total = training.config, training.total
    with reporter.progress(training.iteration, total) as report:
        while training.iteration < total and not interrupt.requested:
            before = training.iteration
            metrics = training.step(lambda: interrupt.requested)
            done = training.iteration
            report(done, training.line(metrics))
            try:
                due = config.evaluates and _passed(config.eval_every, before, done)
                if due and _evaluate(training, interrupt):
                    metrics |= training.scalars("eval")
                    training.show(reporter, f"held-out tasks, iteration {done}")
                    run.write_results(training.results(finished=False))
            finally:
                run.log(metrics, done - 1)
            if _passed(config.checkpoint_every, before, done):
                training.save(run.folder)
    training.save(run.folder)


def _save_at_last(training: Trainable, run: Run) -> str:
    """Save what is left of a run that fails, and say so; the disk may be what has failed."""
    try:
        training.save(run.folder)
        run.write_results(training.results(finished=False))
    except OSError as error:
        return f"{run.folder} cannot be written ({error}), its newest checkpoint stays"
    return "a checkpoint was saved"


def _passed(every: int, before: int, done: int) -> bool:
    """Say whether a multiple of `every` lies in (before, done]; none does where it is 0."""
    return every > 0 and done // every > before // every


def _evaluate(training: Trainable, interrupt: Interrupt) -> bool:
    """Evaluate, unless somebody wants an end; whether it was done."""
    if not interrupt.requested:
        with interrupt.may_end():
            training.evaluate()
    return training.evaluated_at == training.iteration


def _conclude(training: Trainable, run: Run, reporter: Reporter, interrupt: Interrupt) -> bool:
    """The final evaluation, unless it is known already or not wanted, and TensorBoard's HPARAMS
    tab; False where it was interrupted.
    """
    done, config = training.iteration, training.config
    if config.evaluates and training.evaluated_at != done:
        if not _evaluate(training, interrupt):
            return False
        training.show(reporter, f"{config.eval_tasks} held-out tasks, after {done} iterations")
    if training.evaluated_at == done:
        run.log_hparams(training.hparams(), training.scalars("final"), done)
    return True

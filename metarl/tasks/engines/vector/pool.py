"""Worker processes that each step some of the environments."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
import weakref
from collections.abc import Callable, Sequence
from itertools import pairwise
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from metarl.tasks.engines.vector.shared_memory import (
    Layout,
    Metrics,
    SharedArrays,
    shared_arrays,
    size,
)
from metarl.tasks.engines.vector.worker import INTERRUPTS, serve
from metarl.tasks.protocols import Family

START = 120.0
"""Seconds that a worker has at least to import its modules and to make one environment."""
AT_START = (
    "what it said is above; a script that starts workers needs `if __name__ == '__main__':` around "
    "what it does"
)
GRACE = 3.0
"""Seconds that workers have to close their environments."""


class WorkerError(RuntimeError):
    """A worker raised, died or hangs."""

    def __init__(self, worker: int, what: str, details: str = "") -> None:
        """Say what a worker did, and with which traceback.

        Args:
            worker: its number.
            what: what it did, as the end of a sentence whose subject is an environment.
            details: its traceback, where it has one.
        """
        super().__init__(what)
        self.worker = worker
        self.what = what
        self.details = details


class Pool:
    """W spawned processes over shared arrays; whatever happens to one of them ends all."""

    def __init__(self, family: Family, fields: Layout, bounds: Sequence[int]) -> None:
        """Start a worker process for each range of environments.

        Args:
            family: what the environments are made of; its timeout holds for their calls.
            fields: the layout of the shared arrays.
            bounds: `[W + 1]`; worker w has the environments bounds[w] … bounds[w + 1] − 1.

        Raises:
            ValueError: the family cannot be sent to another process.
            WorkerError: a worker failed to make its environments.
        """
        context = multiprocessing.get_context("spawn")
        last = list(fields.values())[-1]
        memory = context.RawArray("b", last.offset + size(last))
        self.arrays: SharedArrays = shared_arrays(memory, fields)
        self._timeout = max(family.timeout, START)
        self._started = False
        self._workers: list[tuple[SpawnProcess, Connection]] = []
        self.close: Callable[[], None] = weakref.finalize(self, _end, self._workers)
        data = sendable(family)
        try:
            for w, (first, stop) in enumerate(pairwise(bounds)):
                ours, theirs = context.Pipe()
                place = (w, first, stop)
                process = context.Process(
                    target=serve, args=(theirs, memory, fields, place), daemon=True
                )
                launch(process)
                theirs.close()
                self._workers.append((process, ours))
                # not an argument: multiprocessing would wait for ever if the process died before
                # it has read more than a pipe holds
                with contextlib.suppress(OSError):
                    ours.send_bytes(data)
            self._collect()
        except BaseException:
            self.close()
            raise
        self._timeout = family.timeout
        self._started = True

    def call(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Metrics]:
        """Send each worker its command and wait for all.

        Raises:
            WorkerError: a worker raised, died or hangs; all of them are ended.
        """
        try:
            for (_, pipe), rest in zip(self._workers, arguments, strict=True):
                with contextlib.suppress(OSError):  # it died; collecting finds out how
                    pipe.send((name, *rest))
            return self._collect()
        except BaseException:
            self.close()
            raise

    def _collect(self) -> list[Metrics]:
        """One reply from every worker."""
        replies: dict[int, Metrics] = {}
        seen = self.arrays.calls.copy()
        while pending := [w for w in range(len(self._workers)) if w not in replies]:
            waiting: list[Any] = [self._workers[w][0].sentinel for w in pending]
            waiting += [self._workers[w][1] for w in pending]
            ready = wait(waiting, self._timeout)
            for w in pending:
                process, pipe = self._workers[w]
                if pipe in ready or process.sentinel in ready:
                    replies[w] = self._receive(w)
                elif not ready and self.arrays.calls[w] == seen[w]:
                    raise WorkerError(w, f"has not returned for {self._timeout:g} s")
            if not ready:
                seen = self.arrays.calls.copy()
        return [replies[w] for w in range(len(self._workers))]

    def _receive(self, w: int) -> Metrics:
        process, pipe = self._workers[w]
        try:
            kind, content = pipe.recv()
        except (EOFError, OSError):
            process.join(GRACE)
            ended = f"ended its worker process ({ending(process)})"
            raise WorkerError(w, ended, "" if self._started else AT_START) from None
        if kind == "failed":
            raise WorkerError(w, "failed", content)
        metrics: Metrics = content
        return metrics


def launch(process: SpawnProcess) -> None:
    """Start a worker; Ctrl-C and SIGTERM do not reach it before it can say that it ignores them."""
    resource_tracker.ensure_running()  # its start would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)  # which the worker inherits
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def sendable(family: Family) -> bytes:
    """The family as worker processes receive it."""
    try:
        return bytes(ForkingPickler.dumps(family))
    except Exception as error:  # whatever the objects of a user's family raise
        raise ValueError(
            f"{family.name} cannot be sent to worker processes: {error}; define its functions and "
            "classes at the top of a module (no lambda), or use 0 workers"
        ) from None


def ending(process: SpawnProcess) -> str:
    """Say how a process came to its end."""
    code = process.exitcode
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"


def _end(workers: Sequence[tuple[SpawnProcess, Connection]]) -> None:
    """End every process, the hard way those that do not within `GRACE`; leaves no zombie."""
    for _, pipe in workers:
        with contextlib.suppress(OSError):
            pipe.send(("close",))
        pipe.close()
    deadline = time.monotonic() + GRACE
    for process, _ in workers:
        process.join(max(0.0, deadline - time.monotonic()))
    for process, _ in workers:
        if process.is_alive():
            process.kill()
        process.join()
        process.close()

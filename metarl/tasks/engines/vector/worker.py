"""Some of the environments, stepped one after the other: in this process or in a worker.

The engine and its workers see the same arrays, one row per environment; in worker processes they
lie in shared memory, so that a step sends no array through a pipe.
"""

from __future__ import annotations

import copy
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import parent_process
from multiprocessing.reduction import ForkingPickler
from typing import Any

import gymnasium
import numpy as np

from metarl.tasks.assumed import assumed_horizon
from metarl.tasks.checking import OutOfRange
from metarl.tasks.engines.infos import told
from metarl.tasks.engines.vector.shared_memory import Layout, Metrics, SharedArrays, shared_arrays
from metarl.tasks.protocols import Family
from metarl.tasks.task import Task

INTERRUPTS = signal.SIGINT, signal.SIGTERM


class WorkerEnvs:
    """Environments `first` … `last` − 1 of an engine."""

    def __init__(
        self, family: Family, shared_arrays: SharedArrays, number: int, first: int, last: int
    ) -> None:
        """Make the environments."""
        self._arrays = shared_arrays
        self._number = number
        self._first = first
        self._envs: list[gymnasium.Env[Any, Any]] = []
        self._foreign = family.definition.engine == "vector"
        for i in range(first, last):
            self._enter(i)
            self._envs.append(family.make())

    def reset(self, tasks: Sequence[Task]) -> Metrics:
        """Start an episode of `tasks[i]`, one per environment, where it is chosen."""
        b = self._arrays
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OutOfRange)  # whoever asks for a split knows it
            for i, (env, task) in enumerate(zip(self._envs, tasks, strict=True), self._first):
                if b.chosen[i]:
                    self._enter(i)
                    options = {"task": copy.deepcopy(task)}  # which the environment may change
                    b.obs[i], _ = env.reset(seed=int(b.seed[i]), options=options)
        return {}

    def step(self) -> Metrics:
        """One step of the chosen environments; what their infos tell, nan where one has none."""
        b = self._arrays
        metrics: Metrics = {}
        for i, env in enumerate(self._envs, self._first):
            if not b.chosen[i]:
                continue
            self._enter(i)
            obs, b.reward[i], b.terminated[i], b.truncated[i], info = env.step(b.action[i].copy())
            b.obs[i] = obs
            for name, value in told(info, foreign=self._foreign).items():
                column = metrics.setdefault(name, np.full(len(self._envs), np.nan))
                column[i - self._first] = value
        return metrics

    def close(self) -> None:
        """Close every environment."""
        for env in self._envs:
            env.close()

    def _enter(self, i: int) -> None:
        """Say which environment is called next."""
        self._arrays.current[self._number] = i
        self._arrays.calls[self._number] += 1


def serve(pipe: Connection, memory: Any, fields: Layout, place: tuple[int, int, int]) -> None:
    """A worker: receive the family, then obey commands until `close`, or until the engine is gone.

    It ends by `close`, by the end of the pipe, or with the engine's process.
    """
    follow_parent()
    envs = None
    try:
        envs = WorkerEnvs(received(pipe), shared_arrays(memory, fields), *place)
        pipe.send(("done", {}))
        while (command := pipe.recv())[0] != "close":
            pipe.send(("done", getattr(envs, command[0])(*command[1:])))
    except (EOFError, BrokenPipeError):
        pass  # the engine is gone
    except BaseException:  # a SystemExit of the environment's, too, is reported
        pipe.send(("failed", traceback.format_exc()))
    finally:
        if envs is not None:
            envs.close()


def received(pipe: Connection) -> Family:
    """The family that a worker is sent; those of the modules that this imports are of no matter."""
    with assumed_horizon(1):
        family: Family = ForkingPickler.loads(pipe.recv_bytes())
    return family


def follow_parent() -> None:
    """End with the parent process only: Ctrl-C and SIGTERM reach the whole group, and are its."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    sys.stderr.flush()
    signal.raise_signal(signal.SIGKILL)

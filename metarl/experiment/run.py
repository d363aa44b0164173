"""A run folder: what was asked (config.json), what happened (progress.csv, TensorBoard events) and
what came out (checkpoints/, results.json).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout
from stable_baselines3.common.logger import HParam, Logger

from metarl.experiment.files import read_json, write_json
from metarl.experiment.writers import CsvWriter, TensorBoardWriter

CONFIG = "config.json"
RESULTS = "results.json"
PROGRESS = "progress.csv"
LOCK = ".lock"
"""Who holds it writes the run; whoever dies lets go of it."""


class Run:
    """A folder that is being written, by one process at a time; `read_config` serves those who
    only read one.

    Use `create` or `resume`. As a context manager it closes its log files.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], *, resume_at: int) -> None:
        """Open the logs so that the next row is iteration `resume_at`."""
        self._lock = _hold(folder)
        write_json(folder / CONFIG, config)
        self.folder = folder
        self.config = read_config(folder)
        writers = [
            CsvWriter(folder / PROGRESS, resume_at=resume_at),
            TensorBoardWriter(folder, resume_at=resume_at),
        ]
        self.logger = Logger(str(folder), list(writers))

    @classmethod
    def create(cls, folder: Path, config: Mapping[str, Any]) -> Run:
        """Start a run.

        Args:
            folder: made if missing (see `default_folder`).
            config: everything needed to repeat the run, as JSON.

        Raises:
            ValueError: the folder is a file or not empty.
        """
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder} is a file: choose another --run-dir")
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(
                f"{folder} is not empty: choose another --run-dir, or --resume {folder}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, config, resume_at=0)

    @classmethod
    def resume(cls, folder: Path, iteration: int, config: Mapping[str, Any] | None = None) -> Run:
        """Go on with a run.

        Args:
            folder: of the run.
            iteration: of the checkpoint that is gone on from, so the next one to be logged. What
                the logs hold from it on is dropped: it will be done again.
            config: what config.json holds from now on, if not what it does.

        Raises:
            ValueError: the folder is not a run, or another process is writing it.
        """
        return cls(folder, config or read_config(folder), resume_at=iteration)

    def log(self, metrics: Mapping[str, float], iteration: int) -> None:
        """Write the metrics of an iteration, once per iteration, counted from zero.

        Raises:
            ValueError: the iteration is not after the last one, or a metric is not a number.
        """
        for name, value in metrics.items():
            self.logger.record(name, value)
        self.logger.dump(iteration)

    def log_hparams(
        self, options: Mapping[str, Any], metrics: Mapping[str, float], iteration: int
    ) -> None:
        """Show the run in TensorBoard's HPARAMS tab.

        Args:
            options: hyper-parameters; what is neither number, string nor bool is shown as text.
            metrics: final metrics, by a name that no `log` uses, such as `final/return_after_1`.
            iteration: iterations that are complete.
        """
        shown = {k: v if isinstance(v, bool | int | float) else str(v) for k, v in options.items()}
        self.logger.record("hparams", HParam(shown, dict(metrics)), exclude="csv")
        self.logger.dump(iteration)

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Replace results.json; a number that is not finite becomes null."""
        write_json(self.folder / RESULTS, results)

    def close(self) -> None:
        """Close the log files, and let other processes write the folder."""
        self.logger.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _hold(folder: Path) -> FileLock:
    """Keep others from writing a run, until what is returned is released or this process ends.

    Raises:
        ValueError: another process is writing it.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"another process is writing the run {folder}: wait for its end, or end it first"
        ) from None
    return lock


def default_folder(
    algo: str, env: str, seed: int, *, root: Path = Path("runs"), now: datetime | None = None
) -> Path:
    """`root/<algo>__<env>__s<seed>__<YYYYmmdd-HHMMSS>`, with `-2`, `-3`, … if that is taken.

    Args:
        algo: name of the algorithm.
        env: name of the family.
        seed: of the run.
        root: folder of runs.
        now: local time of the start, if not now.
    """
    time = (now or datetime.now()).strftime("%Y%m%d-%H%M%S")
    first = root / f"{algo}__{env}__s{seed}__{time}"
    folder, count = first, 1
    while folder.exists():
        count += 1
        folder = first.with_name(f"{first.name}-{count}")
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run, finished or not.

    Raises:
        ValueError: the folder is missing or not a run; says what is wrong.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} is not a run: it has no {CONFIG}")
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise ValueError(f"{folder / CONFIG} must be a JSON object")
    return config


def read_results(folder: Path) -> dict[str, Any]:
    """Read what a run has written to results.json so far; it is empty before its first evaluation.

    Raises:
        ValueError: it is not what a run writes.
    """
    path = folder / RESULTS
    results = read_json(path) if path.exists() else {}
    if not (isinstance(results, dict) and isinstance(results.get("evaluation"), dict | None)):
        raise ValueError(f"{path} is not what a run writes; remove it to go on without it")
    return results

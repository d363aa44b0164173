"""What a run of reinforcement learning consists of: its configuration, and what that describes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from metarl.algorithms.registry import get_method
from metarl.experiment.config import from_json
from metarl.experiment.machine import resolve_device
from metarl.experiment.run import CONFIG, read_config
from metarl.experiment.seeding import sequence
from metarl.protocols import Algorithm, MakeEngine, Method
from metarl.tasks import FamilyNotFoundError, TaskFamily, family_from_json, load_family, make_engine
from metarl.tasks.moved import find_again
from metarl.tasks.protocols import EngineLike

EVAL_TASKS = 40


@dataclass(frozen=True)
class RunConfig:
    """config.json: everything that repeats a run."""

    algo: str
    """Name of the algorithm, one of `METHODS`."""
    preset: str
    """Where the defaults of tasks and hyper-parameters came from."""
    seed: int
    """Root of all randomness."""
    engine: str
    """What steps the environments."""
    device: Literal["cpu", "cuda"]
    """Where the policy lives."""
    compiled: bool
    """Whether Fisher product and line search are compiled, which changes their rounding."""
    eval_every: int
    """Iterations between evaluations; 0 is at the end only."""
    checkpoint_every: int
    """Iterations between checkpoints."""
    family: dict[str, Any]
    """`TaskFamily.to_json()`."""
    algorithm: Any
    """Hyper-parameters: the algorithm's own configuration."""
    eval_tasks: int = EVAL_TASKS
    """Held-out tasks of an evaluation; 0 evaluates never."""
    eval_updates: int | None = None
    """Gradient steps of an evaluation; the algorithm's own number if None."""
    eval_episodes: int | None = None
    """Episodes of an evaluation, per update or of a trial; the algorithm's own number if None, 0
    evaluates never."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        get_method(self.algo)
        sequence(self.seed)
        counts = ("eval_every", "eval_tasks", "eval_updates", "eval_episodes")
        for name, least in (*((name, 0) for name in counts), ("checkpoint_every", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                option = "--" + name.replace("_", "-")
                raise ValueError(f"{option} must be at least {least}, got {value}")

    @property
    def evaluates(self) -> bool:
        """It is true where there is anything to evaluate."""
        return self.eval_tasks > 0 and self.eval_episodes != 0


ORIGIN = ("source", "env", "apply")
"""What a description of a family says of where it comes from."""


class Built(NamedTuple):
    """A run's configuration describes these objects."""

    family: TaskFamily
    algorithm: Algorithm
    method: Method


def read_run_config(folder: Path) -> RunConfig:
    """The configuration of a run folder.

    Raises:
        ValueError: the folder is not such a run, or its config.json has an unknown key (names the
            nearest valid ones), a missing one or an impossible value.
    """
    data = read_config(folder)
    if "data" in data and "family" not in data:
        raise ValueError(
            f"{folder} is a run of few-shot learning: metarl.load_few_shot, "
            "scripts/evaluate_fewshot.py and scripts/train_fewshot.py --resume take it"
        )
    try:
        config = from_json(RunConfig, data)
        options = from_json(get_method(config.algo).config, config.algorithm)
        return replace(config, algorithm=options)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from None


def with_family(config: RunConfig, folder: Path, given: str | None = None) -> tuple[RunConfig, str]:
    """The configuration with the place where its family is now, and that place if it is another.

    Args:
        config: of the run.
        folder: of the run.
        given: where the family is, as `my_module:my_family` or `path/to/file.py:my_family`; looked
            for if None.

    Raises:
        FamilyNotFoundError: it is not found.
        ValueError: it is none.
    """
    described = config.family
    if given is not None:
        family = load_family(given, described["preset"], described["horizon"], tried=False)
        if family.name != described["name"]:
            raise ValueError(
                f"{folder} was trained on {described['name']}, and {given} is another family, "
                f"{family.name}: give the place where that of the run is now"
            )
        found = {k: v for k, v in described.items() if k not in ORIGIN}
        found |= {k: v for k, v in family.to_json().items() if k in ORIGIN}
    elif "source" in described:
        found = {**described, "source": find_again(described["source"], folder)}
    else:
        found = described
    moved = "" if found == described else str(found.get("source") or given)
    return replace(config, family=found), moved


def build(
    config: RunConfig,
    *,
    threads: int,
    device: str,
    workers: int = 0,
    family: TaskFamily | None = None,
) -> Built:
    """The family and the algorithm of a run.

    Args:
        config: of the run.
        threads: worker threads of the update, at least 1; they never change a result.
        device: "cpu" or "cuda".
        workers: where there are to be any, no environment is made in this process.
        family: takes the place of the one that the run describes, which it must equal.

    Raises:
        ValueError: an unknown family or preset, a family that is not what it was when the run
            began, or an impossible value.
    """
    if threads < 1:
        raise ValueError(f"--threads must be at least 1, got {threads}")
    family = _checked(config.family, family, workers)
    method = get_method(config.algo)
    algorithm = method.build(
        config.algorithm,
        family,
        device=resolve_device(device),
        threads=threads,
        compiled=config.compiled,
    )
    return Built(family, algorithm, method)


def _checked(described: dict[str, Any], given: TaskFamily | None, workers: int) -> TaskFamily:
    """The family that a run describes, or the given one, which must be the same.

    Raises:
        ValueError: it cannot be made, or is another one now.
    """
    if missing := {"name", "preset", "horizon"} - set(described):
        raise ValueError(f"{CONFIG}: the family lacks {', '.join(sorted(missing))}")
    if given is None:
        family = family_from_json(described, workers)
    else:
        family = given.with_options(described["preset"], described["horizon"])
    now, then = (
        {k: v for k, v in json.loads(json.dumps(d)).items() if given is None or k not in ORIGIN}
        for d in (family.to_json(), described)
    )
    if now != then:
        raise ValueError(
            f"the family {family.name!r}, preset {family.preset!r}, is now {now}, but the run "
            f"describes {then}"
        )
    return family


__all__ = [
    "EVAL_TASKS",
    "FamilyNotFoundError",
    "Built",
    "RunConfig",
    "TaskFamily",
    "build",
    "read_run_config",
    "with_family",
]


def engine_maker(
    family: TaskFamily, engine: str, threads: int, workers: int = 0, device: str = "cpu"
) -> MakeEngine:
    """Makes T × E environments of a family on a named engine; see `make_engine`."""

    def make(num_tasks: int, num_episodes: int) -> EngineLike:
        return make_engine(
            family,
            num_tasks,
            num_episodes,
            engine=engine,
            threads=threads,
            workers=workers,
            device=device,
        )

    return make

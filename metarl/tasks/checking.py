"""Whether tasks are a family's: refused where physics break, warned of outside the range."""

from __future__ import annotations

import reprlib
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metarl.tasks.custom.setters import get_attribute
from metarl.tasks.distributions import Beta, Choice, Dirichlet

if TYPE_CHECKING:  # families make definitions that check their tasks
    from metarl.tasks.protocols import Family

PROBABILITIES = (Beta, Dirichlet)


class OutOfRange(UserWarning):
    """A task from outside its family's range: out of distribution, and played all the same."""


def check_task(family: Family, task: object) -> None:
    """Check one task, and warn where it is out of distribution.

    Raises:
        ValueError: see `check_tasks`; or the task is no mapping.
    """
    if not isinstance(task, Mapping):
        names = ", ".join(f"{name!r}: …" for name in family.parameters)
        raise ValueError(f"a task of {family.name} is a dictionary {{{names}}}, got {task!r}")
    for name in check_tasks(family, {name: [value] for name, value in task.items()}):
        warnings.warn(
            f"{name} of {family.name} is drawn from {family.parameters[name]}; this task is out of "
            "distribution",
            OutOfRange,
            stacklevel=3,
        )


def check_tasks(family: Family, tasks: Mapping[str, Any]) -> list[str]:
    """The parameters of a batch of tasks, each `[T, …]`, that lie outside the family's range.

    Raises:
        ValueError: other names or shapes than the family's, what is not finite, no probability,
            or not positive where the whole range is; names the parameter.
    """
    if family.parameters and set(tasks) != set(family.parameters):
        raise ValueError(
            f"a task of {family.name} has the parameters {sorted(family.parameters)}, "
            f"got {sorted(tasks)}"
        )
    return [name for name, given in tasks.items() if not _all_inside(family, name, given)]


def sign_advice(family: Family) -> str:
    """Say what is positive in an environment, but not in all its tasks; nothing if there is no
    such.
    """
    env: Any = family.make()
    found = []
    for name, declared in family.parameters.items() if env.way == "attributes" else ():
        own = get_attribute(env.env.unwrapped, name)
        if not isinstance(own, str) and np.all(own > 0) and declared.bounds[0] <= 0:
            found.append(f"{name} is {own} in {family.name}, and {declared} draws values <= 0 too")
    env.close()
    return "; ".join(found)


def _all_inside(family: Family, name: str, given: Any) -> bool:
    values, owner = _as_numbers(given), f"{name} of {family.name}"
    if values is not None:
        _refuse(~np.isfinite(values), values, f"{owner} must be finite")
    if name not in family.parameters:  # of a task that the environment draws itself
        return True
    declared, shape = family.parameters[name], family.shapes[name]
    if isinstance(declared, Choice) and not declared.numeric:
        inside = declared.contains(given)
        if name in family.test_parameters:
            inside = inside | family.test_parameters[name].contains(given)
        return bool(inside.all())
    if values is None:
        raise ValueError(f"{owner} must be a number, got {given[0]!r}")
    if values.shape[1:] != shape:
        raise ValueError(
            f"{owner} has the shape {shape}, got {values.shape[1:]}: {values[0].tolist()}"
        )
    outside = ~declared.contains(values)
    if name in family.test_parameters:
        outside &= ~family.test_parameters[name].contains(values)
    if isinstance(declared, PROBABILITIES):
        _refuse(outside, values, f"{owner} must be probabilities, as {declared} draws them")
    if declared.bounds[0] > 0:  # a length, a mass
        _refuse(values <= 0, values, f"{owner} must be positive, as all of its range {declared} is")
    return not outside.any()


def _as_numbers(given: object) -> np.ndarray | None:
    """`[T, …]` float64; None where they are no numbers, or not all of one shape."""
    try:
        values = np.asarray(given)
        wrong = values.dtype.kind in "USMm" or (values.dtype == object and None in values.flat)
        return None if wrong else values.astype(np.float64)
    except (TypeError, ValueError):
        return None


def _refuse(wrong: np.ndarray, values: np.ndarray, what: str) -> None:
    """Raise the error that shows the first of the tasks `[T, …]` that is wrong."""
    if wrong.any():
        first = wrong.reshape(len(wrong), -1).any(-1).argmax()
        raise ValueError(f"{what}; got {reprlib.repr(values[first].tolist())}")

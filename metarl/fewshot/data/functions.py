"""Regression tasks out of a function of the user's own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metarl.fewshot.data.scaling import Scaling, Standard
from metarl.fewshot.data.storage import digest
from metarl.fewshot.data.task import DrawFailed, Examples, Kind, Part, Split
from metarl.tasks.guard import guarded
from metarl.tasks.modules import file_module, find_modules_here

Function = Callable[[np.random.Generator, int], Any]
"""(random numbers, n) -> n examples of a new task: x `[n]` or `[n, d]`, y `[n]` or `[n, c]`."""
Task = tuple[np.ndarray, np.ndarray]

_TASKS, _EXAMPLES = 64, 32  # that a function is known by


class FunctionSource:
    """Tasks that a function draws; parts differ in nothing but their random numbers. A `Source`.

    Inputs and targets are standardised with mean and deviation of some of its tasks.
    """

    kind: Kind = "regression"

    def __init__(self, spec: str, function: Function) -> None:
        """See `function_source`."""
        self.name = spec.rpartition(":")[2]
        self._spec, self._function = spec, function
        known = [self._task(np.random.default_rng(seed), _EXAMPLES) for seed in range(_TASKS)]
        x, y = (np.stack(rows) for rows in zip(*known, strict=True))
        self._require_random(x, y)
        self.x_shape, self.outputs = x.shape[2:], y.shape[2]
        flat = x.reshape(-1, x.shape[2]), y.reshape(-1, y.shape[2])
        self.units = Scaling(*map(Standard.of, flat))
        self._sha256 = digest(*map(_four_digits, flat))

    def describe(self) -> dict[str, Any]:
        """The protocol, as JSON; the hash is of some tasks."""
        return {
            "data": self.name,
            "tasks": "unlimited: every task is drawn anew",
            "target_scale": self.units.y.deviation[0],
            "data_sha256": self._sha256,
        }

    def require(self, shots: int, queries: int) -> None:
        """Any number of examples can be had."""

    def sample(
        self, tasks: int, shots: int, queries: int, part: Part, generator: torch.Generator
    ) -> Split:
        """Draw tasks; see `Source.sample`. Support sets are random ones of a task's examples.

        Raises:
            DrawFailed: the function fails, or returns something else than before.
        """
        device, number = generator.device, shots + queries
        seeds = torch.randint(2**62, (tasks,), generator=generator, device=device).tolist()
        try:
            drawn = [self._shuffled(np.random.default_rng(seed), number) for seed in seeds]
            wide = self.x_shape[0], self.outputs
            for one in drawn:
                found = tuple(half.shape[1] for half in one)
                if found != wide:
                    raise ValueError(
                        f"{self._spec} gave {_named(wide)} before, now {_named(found)}"
                    )
        except ValueError as error:
            raise DrawFailed(str(error)) from None
        x, y = (torch.from_numpy(np.stack(rows)) for rows in zip(*drawn, strict=True))
        x, y = self.units.x.inwards(x).to(device), self.units.y.inwards(y).to(device)
        support = Examples(x[:, :shots], y[:, :shots])
        return Split(support, Examples(x[:, shots:], y[:, shots:]))

    def _shuffled(self, random: np.random.Generator, number: int) -> Task:
        """A task in random order, for a function may give its examples one after another."""
        x, y = self._task(random, number)
        order = random.permutation(number)
        return x[order], y[order]

    def _task(self, random: np.random.Generator, number: int) -> Task:
        """Return what the function does: x `[n, d]` and y `[n, c]`, float64.

        Raises:
            ValueError: it fails, or returns something else.
        """
        call = f"{self._spec}(numpy.random.Generator, {number})"
        returned = guarded(lambda: self._function(random, number), call)
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            raise ValueError(f"{call} must return x and y, got {type(returned).__name__}")
        x, y = (
            self._half(name, values, number) for name, values in zip("xy", returned, strict=True)
        )
        return x, y

    def _half(self, name: str, values: Any, number: int) -> np.ndarray:
        try:
            found = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{self._spec}: {name} must be numbers, got {values!r:.100}") from None
        found = found[:, None] if found.ndim == 1 else found
        if found.ndim != 2 or len(found) != number or not found.size:
            raise ValueError(
                f"{self._spec}: {name} of {number} examples must be [{number}] or [{number}, "
                f"numbers], got {np.shape(values)}"
            )
        if not np.isfinite(found).all():
            raise ValueError(f"{self._spec}: {name} has values that are not finite")
        return found

    def _require_random(self, x: np.ndarray, y: np.ndarray) -> None:
        """Refuse tasks that do not come from the generator that is given; raises ValueError.

        Args:
            x: of tasks that it has drawn, `[T, n, d]`.
            y: the same of their targets.
        """
        again = self._task(np.random.default_rng(0), _EXAMPLES)
        if not all(map(np.array_equal, again, (x[0], y[0]))):
            raise ValueError(
                f"{self._spec} returns another task for the same random numbers: it must draw all "
                "of them from the generator that it is given first"
            )
        if (x == x[0]).all() and (y == y[0]).all():
            raise ValueError(
                f"{self._spec} returns the same task every time: it must draw what varies from "
                "the generator that it is given first"
            )


def function_source(spec: str) -> FunctionSource:
    """Tasks that `my_module:function` or `path/to/file.py:function` draws; see `Function`.

    Raises:
        ValueError: it cannot be imported, fails, or returns something else than a task.
    """
    where, _, name = spec.rpartition(":")
    if where.endswith(".py"):
        path = Path(where).resolve()
        if not path.is_file():
            raise ValueError(f"--data {spec}: there is no file {path}")
        module = file_module(path)
    else:
        find_modules_here()
        module = guarded(lambda: importlib.import_module(where), f"importing {where}")
    function = getattr(module, name, None)
    if not callable(function):
        known = sorted(
            key
            for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == module.__name__
        )
        raise ValueError(f"{where} has no function {name!r}; it has {', '.join(known) or 'none'}")
    return FunctionSource(spec, function)


def _named(widths: tuple[int, ...]) -> str:
    return f"x of {widths[0]} and y of {widths[1]} numbers"


def _four_digits(values: np.ndarray) -> np.ndarray:
    """Rounded, for the last digits of a function may be others on another processor."""
    return np.array([float(f"{value:.3e}") for value in values.ravel().tolist()])

"""Families of tasks: what varies, how it is drawn, and which environments it makes.

A task is a value, a flat dictionary such as `{"velocity": 1.3}`. A batch of tasks is the same
dictionary with arrays that have a leading axis. An environment never draws its own task.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Literal

import gymnasium
import numpy as np

from metarl.tasks.assumed import _ASSUMED
from metarl.tasks.custom.definition import CustomDefinition, Source
from metarl.tasks.custom.setters import Apply
from metarl.tasks.distributions import Choice, Distribution
from metarl.tasks.guard import guarded
from metarl.tasks.models import Model
from metarl.tasks.protocols import Definition, DrawsTasks
from metarl.tasks.task import Task, Tasks, unknown
from metarl.tasks.values import value_at

SplitName = Literal["train", "test", "ood"]
References = Callable[[Tasks, int], dict[str, np.ndarray]]
"""`(tasks, horizon) -> {name: returns [T]}`: what policies reach that need no training."""
_OF_ENV: Any = None
"""No definition yet: that of a user's family is made of its `env`."""


def _horizon_of(definition: CustomDefinition) -> int:
    """The environment's own, or the assumed one; 0 if there is neither."""
    if isinstance(definition.env, str):
        return definition.time_limit or _ASSUMED.get()
    return _ASSUMED.get() or definition.time_limit or 0  # nothing need be made to know it


@dataclass(frozen=True)
class TaskFamily:
    """A named distribution over the tasks of one environment.

    A built-in family has a `definition`. A user's family has an `env`, any Gymnasium id or what
    makes an environment, and takes its name and its horizon from it if none is given; without
    `parameters` its tasks are those of the environment's own `sample_tasks(n)`.
    """

    name: str = ""
    env_id: str = ""  # the Gymnasium id of the plain environment
    definition: Definition = _OF_ENV
    parameters: Mapping[str, Distribution] = field(default_factory=dict)
    meaning: Mapping[str, str] = field(default_factory=dict)
    horizon: int = 0
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    preset: str = "default"
    references: References | None = None
    env: Source | None = None
    apply: Apply = "auto"  # how a task reaches `env`
    test_parameters: Mapping[str, Distribution] = field(default_factory=dict)
    # ^ what test tasks are drawn from, where that is not `parameters`
    timeout: float = 120.0  # seconds that one call of one environment may take in a worker process
    model: Model | None = None  # what its tasks are, for the players of `metarl.tasks.oracles`
    source: str = ""  # "module:attribute" or "file.py:attribute", where it was loaded from

    def __post_init__(self) -> None:
        """Complete a user's family, and refuse an impossible horizon."""
        if self.env is not None:
            definition = CustomDefinition(self.env, self.apply, self._example())
            env_id = definition.env_id
            completed = {
                "definition": definition,
                "env_id": env_id,
                "name": self.name or env_id.replace("/", "-").replace(":", "-"),
                "horizon": self.horizon or _horizon_of(definition),
            }
            for name, value in completed.items():
                object.__setattr__(self, name, value)
        if self.definition is _OF_ENV:
            raise ValueError('a family needs an environment, for example env="CartPole-v1"')
        if self.env is not None and not self.horizon:
            raise ValueError(
                f"{self.name} has no time limit of its own: give it a horizon, such as "
                "--horizon 200"
            )
        if self.horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {self.horizon}")
        if not self.timeout > 0:
            raise ValueError(f"timeout must be above 0 s, got {self.timeout}")

    def _example(self) -> Task:
        """A task for environments that are made anew for each."""
        rng = np.random.default_rng(0)
        drawn = self.parameters if self.apply == "constructor" else {}
        return {name: value_at(dist.sample(1, rng), 0) for name, dist in drawn.items()}

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        """One environment has this space."""
        return self.definition.observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """One environment has this space."""
        return self.definition.action_space

    def with_options(self, preset: str | None = None, horizon: int | None = None) -> TaskFamily:
        """The family as a source defines it, or with another horizon.

        Raises:
            ValueError: an unknown preset (with the nearest one and the list), or a bad horizon.
        """
        family = self
        if preset is not None and preset != "default":
            if preset not in self.presets:
                raise ValueError(unknown("preset", preset, ["default", *self.presets], self.name))
            family = replace(family, preset=preset, **self.presets[preset])
        if horizon is not None and horizon < 1:
            raise ValueError(f"horizon must be at least 1, got {horizon}")
        return family if horizon is None else replace(family, horizon=horizon)

    def sample(self, n: int, rng: np.random.Generator) -> Tasks:
        """`n` independent tasks, like those of training."""
        if self.parameters:
            return {name: dist.sample(n, rng) for name, dist in self.parameters.items()}
        if not isinstance(self.definition, DrawsTasks):
            raise ValueError(f"{self.name} has no parameters, and its definition draws no tasks")
        own = partial(self.definition.sample_tasks, n, rng)
        return guarded(own, f"drawing {n} task{'s'[: n > 1]} of {self.name}")

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of one value of each parameter."""
        drawn = {k: dist.sample(1, np.random.default_rng(0)) for k, dist in self.parameters.items()}
        return {name: values.shape[1:] for name, values in drawn.items()}

    @property
    def number(self) -> int | None:
        """Count the tasks, where the parameters say that there is an end of them."""
        kinds = self.parameters.values()
        sizes = [len(set(dist.values)) for dist in kinds if isinstance(dist, Choice)]
        return math.prod(sizes) if sizes and len(sizes) == len(kinds) else None

    @property
    def finite(self) -> bool:
        """It is true where train and test draw from the same finitely many tasks."""
        return self.number is not None and not self.test_parameters

    def split(self, name: SplitName) -> TaskSplit:
        """Tasks for training, for testing, or from outside the training range.

        The streams of train and test are disjoint, but the tasks of a finite family are the same,
        unless it has `test_parameters`.

        Raises:
            ValueError: an unknown split.
        """
        if name not in ("train", "test", "ood"):
            raise ValueError(unknown("split", name, ["train", "test", "ood"], self.name))
        return TaskSplit(self, name)

    def reference_returns(self, tasks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute returns `[T]` on `tasks` to compare with, by name; none where none is known."""
        return {} if self.references is None else self.references(dict(tasks), self.horizon)

    def make(self) -> gymnasium.Env[Any, Any]:
        """One environment; `reset(options={"task": {…}})` sets its task, which then stays."""
        if self.definition.engine == "vector":
            return self.definition.make(self)
        from metarl.tasks.single import (
            FamilyEnv,  # it is stepped by an engine, and engines know families
        )

        return FamilyEnv(self)

    def to_json(self) -> dict[str, Any]:
        """Return what a run records of its family."""
        held_out = _described(self.test_parameters)
        return {
            "name": self.name,
            "preset": self.preset,
            "horizon": self.horizon,
            "parameters": _described(self.parameters),
            **({"test_parameters": held_out} if held_out else {}),
            **self._origin(),
        }

    def _origin(self) -> dict[str, Any]:
        """Return what makes a user's family again; nothing for a registered one."""
        if self.source:
            return {"source": self.source}
        if isinstance(self.env, str) and isinstance(self.apply, str):
            return {"env": self.env, "apply": self.apply}
        return {}


@dataclass(frozen=True)
class TaskSplit:
    """One of a family's splits; train and test draws come from disjoint streams of a seed."""

    family: TaskFamily
    name: SplitName

    def sample(self, n: int, seed: int, *path: int) -> Tasks:
        """`n` tasks of the stream that `seed`, the split's name and `path` name.

        Raises:
            ValueError: `n` is below 1, or the family has no tasks out of distribution.
        """
        if n < 1:
            raise ValueError(f"at least one task must be sampled, got {n}")
        stream = ("train", "test", "ood").index(self.name)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, *path)))
        if self.name == "test" and self.family.test_parameters:
            return {k: dist.sample(n, rng) for k, dist in self.family.test_parameters.items()}
        if self.name != "ood":
            return self.family.sample(n, rng)
        if not self.family.parameters:
            raise ValueError(
                f"{self.family.name} declares no parameters, so that no task is known to be out "
                "of distribution"
            )
        drawn, refused = {}, []
        for name, dist in self.family.parameters.items():
            try:
                drawn[name] = dist.sample_ood(n, rng)
            except ValueError as error:  # it has no outside
                drawn[name] = dist.sample(n, rng)
                refused.append(error)
        if len(refused) == len(drawn):
            raise refused[0]
        return drawn


def _described(parameters: Mapping[str, Distribution]) -> dict[str, Any]:
    """The JSON form of distributions by name."""
    return {name: dist.to_json() for name, dist in parameters.items()}

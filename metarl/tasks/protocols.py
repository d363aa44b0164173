"""What a family, its definition and an engine offer each other: types alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np

from metarl.tasks.custom.setters import Apply
from metarl.tasks.distributions import Distribution
from metarl.tasks.task import Task, Tasks


class Definition(Protocol):
    """What a family's pure array functions need to say; `xp` is an array namespace.

    All arrays may have any leading axes; none is made inside, and the functions keep to the array
    API, so that numpy, torch (by `array_api_compat.torch`) and `array_api_strict` all run them. A
    definition that can be drawn has `frames_per_second` too. One that knows the expectation of
    every reward has `score`, the name of the metric that tells it: RL²'s evaluation sums that
    instead of the reward.
    """

    observation_space: gymnasium.spaces.Box
    action_space: gymnasium.Space[Any]
    default_task: Task
    """What a plain `reset()` takes."""
    ends_early: bool
    """Whether an episode may end before the horizon."""
    engine: str
    """Which engine steps it: "threads" (MuJoCo), "arrays", or "vector" for a definition that has
    no array functions, but `make(family)`, which makes one Gymnasium environment."""


References = Callable[[Tasks, int], dict[str, np.ndarray]]
"""`(tasks, horizon) -> {name: returns [T]}`: what policies reach that need no training."""


class GymDefinition(Protocol):
    """A definition that has no array functions, but an environment that somebody else wrote."""

    def way(self, env: gymnasium.Env[Any, Any], names: Iterable[str]) -> Apply:
        """How an environment that `build` made is told the values of `names`."""

    def build(self, **keywords: Any) -> gymnasium.Env[Any, Any]:
        """The environment as its author made it, without a time limit of Gymnasium's."""


class Family(Protocol):
    """A family as engines, environments and the checks of tasks see it; `TaskFamily` is one."""

    @property
    def name(self) -> str:
        """What the family is called in commands and messages."""

    @property
    def definition(self) -> Any:
        """Its pure array functions, or what makes its environments."""

    @property
    def parameters(self) -> Mapping[str, Distribution]:
        """What varies between its tasks, by name."""

    @property
    def test_parameters(self) -> Mapping[str, Distribution]:
        """What test tasks are drawn from, where that is not `parameters`."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of one value of each parameter."""

    @property
    def horizon(self) -> int:
        """Steps of an episode at most."""

    @property
    def timeout(self) -> float:
        """Seconds that one call of one environment may take in a worker process."""

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        """Of one environment, flat."""

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """Of one environment."""

    def make(self) -> gymnasium.Env[Any, Any]:
        """One environment; `reset(options={"task": {…}})` sets its task."""


class Catalogue(Protocol):
    """The families of an installed package; making a catalogue imports none of them."""

    @property
    def unlisted(self) -> str:
        """Families that `names` does not list, for people; empty where there are none."""

    def names(self) -> Sequence[str]:
        """The names that `make` knows, but for those that are a pattern."""

    def env_ids(self) -> Mapping[str, str]:
        """Gymnasium id of a plain environment → name of its family."""

    def hints(self, name: str) -> Mapping[str, Any] | None:
        """Hyper-parameters that a family suggests to every algorithm whose presets do not name it;
        None where the catalogue has no family of that name.
        """

    def make(self, name: str) -> Family | None:
        """The `TaskFamily` of that name; None where the catalogue has none."""

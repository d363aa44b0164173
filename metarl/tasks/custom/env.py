"""One environment of a custom family, with flat observations and the family's horizon."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from metarl.tasks.checking import check_task
from metarl.tasks.custom.compiled import Compiled
from metarl.tasks.custom.setters import (
    METHODS,
    require_place,
    set_attribute,
)
from metarl.tasks.custom.spaces import flat_observations, plain_actions, plain_reward
from metarl.tasks.protocols import BuiltByOthers, Family
from metarl.tasks.task import Task
from metarl.tasks.values import LONE, as_drawn, equal


class CustomEnv(gymnasium.Env[np.ndarray, Any]):
    """One environment of a custom family, with flat observations and the family's horizon.

    `reset(options={"task": {…}})` sets the task, which stays until another one is set; before
    that the environment is as its author made it. The task is given before every reset; where it
    changes a MuJoCo model, what MuJoCo computed from that model is computed again.
    """

    def __init__(self, family: Family, definition: BuiltByOthers) -> None:
        """Make the environment, and find out how it is told a task.

        Args:
            family: whose task is stepped.
            definition: that of the family.

        Raises:
            ValueError: the environment cannot be made, its spaces are not supported, or it has
                no place for the family's parameters.
        """
        self.family = family
        self._definition = definition
        self.env = definition.build()
        self.observation_space, self._flatten = flat_observations(self.env.observation_space)
        self.action_space, self._act = plain_actions(self.env.action_space)
        self.task: Task = {}
        self._known: Task = {}  # a copy of the one that was given last
        self._compiled = Compiled()
        self._steps = 0
        self.way = definition.way(self.env, family.parameters)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode of the current task, or of `options["task"]`.

        Raises:
            ValueError: a task that is not one of the family's.
        """
        rest = dict(options or {})
        given, task = "task" in rest, rest.pop("task", self.task)
        if given or (task and not equal(task, self._known)):
            check_task(self.family, task)
        if task:
            self._compiled.look(self.env.unwrapped)
            rest |= self._give(task)
            self._compiled.follow(self.env.unwrapped)
        # environments without options need not take any
        result = self.env.reset(seed=seed, options=rest) if rest else self.env.reset(seed=seed)
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError("reset must return (obs, info); only an observation is the old gym API")
        if task:  # by a reset, too
            self._compiled.follow(self.env.unwrapped)
        self._steps = 0
        return self._flatten(result[0]), result[1]

    def _give(self, task: Task) -> dict[str, Any]:
        """Apply a task; returns what `reset` still has to be told."""
        changed = not equal(task, self._known)
        self._known, self.task = copy.deepcopy(dict(task)), copy.deepcopy(dict(task))
        named, plain = self._told(task)
        if callable(self.way):
            self.way(self.env, named)
        elif self.way == "options":
            return {"task": plain}
        elif self.way == "constructor":
            if changed:
                self._build(named)
        elif self.way == "attributes":
            if not self.family.parameters:
                require_place(self.env, plain)
            for name, value in named.items():
                set_attribute(self.env.unwrapped, name, value)
        else:
            self.env.get_wrapper_attr(self.way)(plain)
        return {}

    def _build(self, named: dict[str, Any]) -> None:
        """A new environment, with a task as its keywords.

        Raises:
            ValueError: it has other spaces, which one agent cannot have.
        """
        before, self.env = self.env, self._definition.build(**named)
        before.close()
        for what in ("observation_space", "action_space"):
            one, other = getattr(before, what), getattr(self.env, what)
            if one != other:
                raise ValueError(
                    f"the task {named} of {self.family.name} has another {what.replace('_', ' ')} "
                    f"({other}) than the environment without it ({one}): all tasks need the same"
                )

    def _told(self, task: Task) -> tuple[dict[str, Any], Any]:
        """A task as the environment is told it: by names, and alone where it has none."""
        named = copy.deepcopy(dict(task))
        if not self.family.parameters:
            plain = as_drawn(named, self._definition.pattern)
            return dict(plain) if isinstance(plain, Mapping) else {LONE: plain}, plain
        if self.way in METHODS:  # those who draw arrays are given arrays
            named = {k: np.asarray(v) if isinstance(v, list) else v for k, v in named.items()}
        return named, named[LONE] if set(named) == {LONE} else named

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step; truncated at the family's horizon at the latest."""
        result: Any = self.env.step(self._act(action))
        if not (isinstance(result, tuple) and len(result) == 5):
            raise TypeError(
                "step must return (obs, reward, terminated, truncated, info); four values are "
                "the old gym API"
            )
        obs, value, terminated, truncated, info = result
        if not isinstance(info, dict):
            raise TypeError(f"step must return info as a dictionary, got {info!r}")
        self._steps += 1
        reward, late = plain_reward(value), self._steps >= self.family.horizon
        return self._flatten(obs), reward, bool(terminated), bool(truncated) or late, info

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

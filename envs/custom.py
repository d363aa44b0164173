"""A family made of any Gymnasium environment and the names of what varies in it.

    TaskFamily(env="Pendulum-v1", parameters={"g": Uniform(6, 14)})

docs/custom_environments.md shows all of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import numpy as np

from envs.checking import check_task
from envs.compiled import Compiled
from envs.dialects import (
    METHODS,
    WAYS,
    Way,
    constructor_arguments,
    find_way,
    own_limit,
    registered,
    require_place,
    set_attribute,
)
from envs.own_tasks import draw, own_tasks
from envs.spaces import flat_observations, plain_actions, plain_reward
from envs.values import LONE, as_drawn, equal

if TYPE_CHECKING:  # families make these definitions
    from envs.protocols import Family
    from envs.task import Task, Tasks

Env = gymnasium.Env[Any, Any]
Source = str | Callable[..., Env]
"""A Gymnasium id, or what makes an environment."""
Apply = Way | Callable[[Env, "Task"], None]
"""How a task reaches the environment: one of `WAYS`, or a function that sets it."""


@dataclass(frozen=True)
class CustomDefinition:
    """Somebody's environment; it knows no array functions, so the vector engine steps it."""

    env: Source
    apply: Apply = "auto"
    example: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """A task, where tasks are arguments of the constructor."""

    engine: ClassVar[str] = "vector"

    def __post_init__(self) -> None:
        """Refuse a way of applying tasks that there is not."""
        if not callable(self.apply) and self.apply not in WAYS:
            raise ValueError(
                f"apply must be a function of (env, task) or one of {', '.join(WAYS)}, "
                f"got {self.apply!r}"
            )

    @property
    def env_id(self) -> str:
        """The environment's id, or the name of what makes it; `custom` where it has none."""
        name = self.env if isinstance(self.env, str) else getattr(self.env, "__name__", "custom")
        return "custom" if name == "<lambda>" else name

    @cached_property
    def time_limit(self) -> int | None:
        """The steps of an episode that the environment has by itself; None where it has no limit.

        What a function makes is made once and asked.

        Raises:
            ValueError: there is no such environment, or it cannot be made.
        """
        if not isinstance(self.env, str):
            env = self.build()
            try:
                return own_limit(env)
            finally:
                env.close()
        return registered(self.env).max_episode_steps

    @cached_property
    def spaces(self) -> tuple[gymnasium.spaces.Box, gymnasium.Space[Any]]:
        """Of observations and of actions, as agents meet them."""
        env = self.build()
        try:
            return flat_observations(env.observation_space)[0], plain_actions(env.action_space)[0]
        finally:
            env.close()

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        """Flat."""
        return self.spaces[0]

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """A flat `Box`, a `Discrete` or a `MultiDiscrete` from 0."""
        return self.spaces[1]

    def build(self, **keywords: Any) -> Env:
        """The environment as its author made it, without Gymnasium's time limit.

        Raises:
            ValueError: there is no such id, a package is missing, or it is no Gymnasium
                environment.
        """
        keywords = {**self.example, **keywords}
        known = self._arguments if keywords else None
        if known is not None and (gone := sorted(set(keywords) - set(known))):
            raise ValueError(
                f"the constructor of {self.env_id} has no argument {gone[0]!r}; its arguments are: "
                f"{', '.join(known) or 'none'}"
            )
        if isinstance(self.env, str):
            try:
                return gymnasium.make(
                    self.env, max_episode_steps=-1, disable_env_checker=True, **keywords
                )
            except (gymnasium.error.Error, ImportError) as error:
                raise ValueError(f"gymnasium.make({self.env!r}): {error}") from None
        env = self.env(**keywords)
        if not isinstance(env, gymnasium.Env):
            raise ValueError(
                f"{self.env_id} made {type(env).__name__}, which is no gymnasium.Env; an "
                "environment of the old gym package can be wrapped by shimmy's GymV21Compatibility"
            )
        return env

    def way(self, env: Env, names: Iterable[str]) -> Apply:
        """How an environment is told the values of `names`.

        Raises:
            ValueError: it has no place for one of them; says which ways there are.
        """
        if callable(self.apply):
            return self.apply
        return find_way(env, list(names), self.apply, self._arguments)

    @cached_property
    def _arguments(self) -> list[str] | None:
        """Of the constructor; None where it takes any."""
        if not isinstance(self.env, str):
            return constructor_arguments(self.env)
        return constructor_arguments(registered(self.env).entry_point)

    def make(self, family: Family) -> CustomEnv:
        """One environment of a family of this definition."""
        return CustomEnv(family)

    def sample_tasks(self, n: int, rng: np.random.Generator) -> Tasks:
        """Tasks of the environment's own `sample_tasks(n)`, seeded by `rng`.

        Raises:
            ValueError: it has none, it cannot be seeded, or its tasks are not of one kind.
        """
        env, seed = self.build(), int(rng.integers(2**31))
        try:
            columns, first = draw(env, n, seed, self.env_id)
        finally:
            env.close()
        vars(self).setdefault("pattern", first)
        return columns

    @cached_property
    def pattern(self) -> Any:
        """One task as the environment draws it; None where it draws none."""
        env = self.build()
        try:
            own = env.has_wrapper_attr("sample_tasks")
            return own_tasks(env, 1, 0)[0] if own else None
        finally:
            env.close()


class CustomEnv(gymnasium.Env[np.ndarray, Any]):
    """One environment of a custom family, with flat observations and the family's horizon.

    `reset(options={"task": {…}})` sets the task, which stays until another one is set; before
    that the environment is as its author made it. The task is given before every reset; where it
    changes a MuJoCo model, what MuJoCo computed from that model is computed again.
    """

    def __init__(self, family: Family) -> None:
        """Args: family: whose task is stepped.

        Raises:
            ValueError: the environment cannot be made, its spaces are not supported, or it has
                no place for the family's parameters.
        """
        definition: CustomDefinition = family.definition
        self.family = family
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
        before, self.env = self.env, self.family.definition.build(**named)
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
            plain = as_drawn(named, self.family.definition.pattern)
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

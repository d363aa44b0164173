"""A family made of any Gymnasium environment and the names of what varies in it.

    TaskFamily(env="Pendulum-v1", parameters={"g": Uniform(6, 14)})

docs/custom_environments.md shows all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import gymnasium
import numpy as np

from metarl.tasks.custom.env import CustomEnv
from metarl.tasks.custom.own_tasks import draw, own_tasks
from metarl.tasks.custom.setters import (
    WAYS,
    Apply,
    Env,
    constructor_arguments,
    find_way,
    own_limit,
    registered,
)
from metarl.tasks.custom.spaces import flat_observations, plain_actions

if TYPE_CHECKING:  # families make these definitions
    from metarl.tasks.protocols import Family
    from metarl.tasks.task import Tasks

Source = str | Callable[..., Env]
"""A Gymnasium id, or what makes an environment."""


@dataclass(frozen=True)
class CustomDefinition:
    """Somebody's environment; it knows no array functions, so the vector engine steps it."""

    env: Source
    apply: Apply = "auto"
    example: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """A task, where tasks are arguments of the constructor."""

    engine: ClassVar[Literal["vector"]] = "vector"

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
        """Return those of observations and of actions, as agents meet them."""
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
                missing = getattr(error, "name", None) in ("imageio", "glfw", "OpenGL")
                extra = '; pip install "metarl[render]" has what it needs' if missing else ""
                raise ValueError(f"gymnasium.make({self.env!r}): {error}{extra}") from None
        env = self.env(**keywords)
        if not isinstance(env, gymnasium.Env):
            raise ValueError(
                f"{self.env_id} made {type(env).__name__}, which is no gymnasium.Env; an "
                "environment of the old gym package can be wrapped by shimmy's GymV21Compatibility"
            )
        return env

    def way(self, env: Env, names: Iterable[str]) -> Apply:
        """Say how an environment is told the values of `names`.

        Raises:
            ValueError: it has no place for one of them; says which ways there are.
        """
        if callable(self.apply):
            return self.apply
        return find_way(env, list(names), self.apply, self._arguments)

    @cached_property
    def _arguments(self) -> list[str] | None:
        """List the constructor's arguments; None where it takes any."""
        if not isinstance(self.env, str):
            return constructor_arguments(self.env)
        return constructor_arguments(registered(self.env).entry_point)

    def make(self, family: Family) -> CustomEnv:
        """One environment of a family of this definition."""
        return CustomEnv(family, self)

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

"""Agents on environments as their authors made them, whose spaces a family shows as plain ones."""

from __future__ import annotations

import contextlib
from typing import Any

import gymnasium
import numpy as np

from metarl.protocols import Predictor
from metarl.tasks import TaskFamily
from metarl.tasks.custom.spaces import PlainEnv

Env = gymnasium.Env[Any, Any]


class OnPlain:
    """An agent has learnt the task of a plain environment here: predict on `adapted.env(env)`."""

    def __init__(self, adapted: Predictor) -> None:
        """Take what has learnt the task of the environment behind `PlainEnv`.

        Args:
            adapted: on the plain environment.
        """
        self._adapted = adapted

    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Predict as the agent does that adapted to the plain environment."""
        try:
            return self._adapted.predict(observation, state, episode_start, deterministic)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{error}; predict on observations of adapted.env(env)") from None

    def env(self, env: Env) -> Env:
        """The plain environment, with the observations that `predict` needs."""
        return self._adapted.env(PlainEnv(env))


def fitting(env: Any, family: TaskFamily) -> Env:
    """The environment, its spaces made plain where only that makes them the family's.

    Raises:
        TypeError: not a Gymnasium environment.
        ValueError: other spaces than the family's (names both).
    """
    if not isinstance(env, gymnasium.Env):
        raise TypeError(
            f"adapt needs one Gymnasium environment, got {type(env).__name__}; adapt on one, "
            "then `predict` serves vectorised environments too"
        )
    if not (wrong := _others(env, family)):
        return env
    with contextlib.suppress(ValueError):  # no family has such spaces
        if not _others(plain := PlainEnv(env), family):
            return plain
    name = wrong[0]
    raise ValueError(
        f"the agent was trained on {family.name} with the {name} {getattr(family, name)}, but this "
        f"environment has {getattr(env, name)}; agent.family.make() makes one that fits"
    )


def _others(env: Env, family: TaskFamily) -> list[str]:
    """Name the spaces that are not the family's."""
    names = ("observation_space", "action_space")
    return [name for name in names if getattr(env, name) != getattr(family, name)]

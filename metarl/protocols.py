"""What the commands and `Agent` need of an algorithm, beside the algorithm itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
import torch
from torch import Tensor

from metarl.metaworld import MetaWorldAgent
from metarl.rl.data import BatchedEnv, Tasks
from metarl.rl.evaluate import Outcome, Point
from metarl.rl.rollout import ActionScaling
from metarl.tasks import TaskFamily
from metarl.tasks.protocols import EngineLike


class State(Protocol):
    """Everything that meta-training changes."""

    def tensors(self) -> dict[str, Tensor]:
        """A flat dictionary for a checkpoint."""


class Algorithm(Protocol):
    """Meta-trains; what training changes lives in the state passed in and out."""

    @property
    def config(self) -> Any:
        """Hyper-parameters."""

    @property
    def device(self) -> torch.device:
        """The tensors live on this device."""

    @property
    def scaling(self) -> ActionScaling:
        """The policy's units to the environment's."""

    def init(self, seed: int) -> Any:
        """A fresh state; the same seed gives the same bits."""

    def iteration(
        self,
        state: Any,
        env: BatchedEnv,
        tasks: Tasks,
        rng_for: Callable[[int], np.random.Generator],
    ) -> tuple[Any, dict[str, float]]:
        """One meta-iteration: the next state and the metrics."""


class EvalOptions(NamedTuple):
    """These options say how an agent is evaluated; None takes the algorithm's own default."""

    tasks: Tasks
    num_tasks: int
    updates: int | None
    episodes: int | None
    seed: int


class Predictor(Protocol):
    """Speaks Stable-Baselines3's `predict` protocol."""

    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Actions, and the memory after them."""

    def env(self, env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
        """The environment with the observations that `predict` needs."""


MakeEngine = Callable[[int, int], EngineLike]
"""T tasks × E episodes of the family's environments."""


class Method(Protocol):
    """One algorithm: its options, and how it meets families, environments and users."""

    @property
    def config(self) -> type[Any]:
        """The dataclass of its hyper-parameters."""

    @property
    def presets(self) -> Mapping[str, Mapping[str, dict[str, Any]]]:
        """Preset → environment → what differs from the configuration's defaults."""

    @property
    def compiles(self) -> bool:
        """It is true where there is something to compile."""

    def build(
        self, config: Any, family: TaskFamily, *, device: str, threads: int, compiled: bool
    ) -> Algorithm:
        """The algorithm for a family."""

    def make_env(self, config: Any, make: MakeEngine) -> BatchedEnv:
        """Make the environments that `iteration` trains on."""

    def restore(self, tensors: dict[str, Tensor]) -> State:
        """The state that a checkpoint holds."""

    def adapt(
        self,
        algorithm: Any,
        state: Any,
        family: TaskFamily,
        env: gymnasium.Env[Any, Any],
        *,
        episodes: int | None,
        updates: int | None,
        seed: int,
    ) -> Predictor:
        """Return an agent that has learnt the task of `env`."""

    def metaworld(
        self,
        algorithm: Any,
        state: Any,
        family: TaskFamily,
        *,
        seed: int,
        deterministic: bool,
    ) -> MetaWorldAgent:
        """Return an agent that speaks the protocol of `metaworld.evaluation`."""

    def measures(
        self, config: Any, family: TaskFamily, *, updates: int | None, episodes: int | None
    ) -> dict[str, int]:
        """Return what results.json records of how `outcome` measures, beside the number of tasks.

        Raises:
            ValueError: it cannot measure so.
        """

    def outcome(
        self, algorithm: Any, state: Any, make: MakeEngine, options: EvalOptions
    ) -> Outcome:
        """Measure returns and success on every task as it is learnt, `[points, T]` each."""

    def points(self, values: np.ndarray) -> list[Point]:
        """Mean and interval of every row of returns or of success."""

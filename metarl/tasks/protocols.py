"""Types of what a family, its definition and an engine offer each other.

A definition is of one of three kinds, told apart by `engine`: array functions on MuJoCo's states,
array functions alone, or what makes environments that somebody else wrote. Array functions are
pure. The arrays that they take may have any leading axes, those of engines are `[T, E, …]` (T
tasks, E episodes); they make none but by `xp`, and all randomness comes in as noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import gymnasium
import numpy as np

from metarl.tasks.custom.setters import Apply
from metarl.tasks.distributions import Distribution
from metarl.tasks.physics import Physics
from metarl.tasks.task import Task, Tasks
from metarl.tasks.xp import Array, Metrics, Shape, TaskArrays, Xp

if TYPE_CHECKING:  # only the engines of MuJoCo need it
    import mujoco

Stepped = tuple[Array, Array, Array, Metrics]
"""The next state `[…, S]`, reward `[…]`, terminated `[…]` bool, and metrics `[…]` each."""


class NoiseSource(Protocol):
    """Noise of steps is drawn from it: numpy's generator, or one of tensors on a device."""

    def random(self, shape: Shape, /) -> Array:
        """U[0, 1)."""

    def standard_normal(self, shape: Shape, /) -> Array:
        """N(0, 1)."""


class Spaces(Protocol):
    """It says what an agent sees and does in one environment."""

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        """Flat: `[O]`."""

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """A flat `Box`, a `Discrete` or a `MultiDiscrete` from 0."""


class ArrayFunctions(Spaces, Protocol):
    """Both kinds of definition by array functions share this.

    One that can be drawn has `frames_per_second` too. One that knows the expectation of every
    reward has `score`, the name of the metric that tells it: RL²'s evaluation sums that instead of
    the reward.
    """

    @property
    def default_task(self) -> Task:
        """The task of a plain `reset()`."""

    @property
    def ends_early(self) -> bool:
        """True where an episode may end before the horizon."""

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """Draw what the start of an episode needs, `[*shape, N]`."""


class ArraysDefinition(ArrayFunctions, Protocol):
    """An environment as array functions alone, of a state `[…, S]`."""

    @property
    def engine(self) -> Literal["arrays"]:
        """The kind, and which engine steps it."""

    def draw_step_noise(self, xp: Xp, rng: NoiseSource, shape: Shape) -> Array:
        """Draw what each step needs, `[*shape, M]`; `shape` is (H, T, E)."""

    def start(self, xp: Xp, task: TaskArrays, noise: Array) -> Array:
        """Return the first state `[…, S]` by `noise` `[…, N]`, or what broadcasts to it."""

    def observe(self, xp: Xp, state: Array) -> Array:
        """Return the observation `[…, O]` of a state `[…, S]`."""

    def step(self, xp: Xp, state: Array, action: Array, task: TaskArrays, noise: Array) -> Stepped:
        """Take one step from `state` `[…, S]` with `noise` `[…, M]`.

        `action` is `[…, A]` within a `Box`, `[…]` or `[…, K]` indices of discrete ones.
        """


@runtime_checkable
class Drawable(Protocol):
    """A definition by array functions that knows what an environment looks like."""

    @property
    def frames_per_second(self) -> int:
        """Steps per second of a film of it."""

    def picture(self, state: np.ndarray, task: Task) -> np.ndarray:
        """Draw one state `[S]`, `[height, width, 3]` uint8."""


class MujocoDefinition(ArrayFunctions, Protocol):
    """A body in MuJoCo, and what it is to do; the noise of a reset offsets qpos and qvel."""

    @property
    def engine(self) -> Literal["threads"]:
        """The kind, and which engine steps it."""

    @property
    def model(self) -> mujoco.MjModel:
        """The compiled model; of the default task where tasks change it."""

    @property
    def frame_skip(self) -> int:
        """Physics steps of one control step."""

    @property
    def derived(self) -> Sequence[str]:
        """The fields of MjData that the functions below read, by name."""

    @property
    def camera(self) -> str:
        """The camera of the model that draws it."""

    @property
    def changes_model(self) -> bool:
        """True where every task has a model of its own, by `apply`."""

    def apply(self, model: mujoco.MjModel, task: Task) -> None:
        """Change a copy of the model into that of a task, in place."""

    def observe(self, xp: Xp, after: Physics) -> Array:
        """Return the observation `[…, O]` of what a control step led to."""

    def reward(
        self, xp: Xp, before: Physics, action: Array, after: Physics, task: TaskArrays
    ) -> tuple[Array, Metrics]:
        """Return reward `[…]` and metrics of a control step; `action` `[…, A]` is clipped."""

    def terminated(self, xp: Xp, after: Physics) -> Array:
        """Say where the episode has ended for good, `[…]` bool."""


class GymDefinition(Spaces, Protocol):
    """It makes environments that are no array functions, each stepped by its own `step`."""

    @property
    def engine(self) -> Literal["vector"]:
        """The kind, and which engine steps it."""

    def make(self, family: Family) -> gymnasium.Env[Any, Any]:
        """Make one environment; `reset(options={"task": {…}})` sets its task, which then stays."""


class BuiltByOthers(GymDefinition, Protocol):
    """A definition of environments that know nothing of tasks by themselves."""

    @property
    def pattern(self) -> Any:
        """One task as the environment draws it; None where it draws none."""

    def build(self, **keywords: Any) -> gymnasium.Env[Any, Any]:
        """The environment as its author made it, without a time limit of Gymnasium's."""

    def way(self, env: gymnasium.Env[Any, Any], names: Iterable[str]) -> Apply:
        """Say how an environment that `build` made is told the values of `names`."""


@runtime_checkable
class DrawsTasks(Protocol):
    """A definition that draws tasks, for a family that declares no parameters."""

    def sample_tasks(self, n: int, rng: np.random.Generator) -> Tasks:
        """Draw `n` tasks, `[n, …]` of each name."""


Definition = MujocoDefinition | ArraysDefinition | GymDefinition
"""A family is made of one of these."""


class Family(Protocol):
    """A family as engines, environments and the checks of tasks see it; `TaskFamily` is one."""

    @property
    def name(self) -> str:
        """The name in commands and messages."""

    @property
    def definition(self) -> Definition:
        """It holds the pure array functions, or makes environments."""

    @property
    def parameters(self) -> Mapping[str, Distribution]:
        """The distributions of what varies between its tasks, by name."""

    @property
    def test_parameters(self) -> Mapping[str, Distribution]:
        """The distributions of test tasks, where these are not `parameters`."""

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
        """One environment has this space, a flat one."""

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """One environment has this space."""

    def make(self) -> gymnasium.Env[Any, Any]:
        """One environment; `reset(options={"task": {…}})` sets its task."""


class EngineNoise(Protocol):
    """All the randomness of one episode of every environment."""

    @property
    def reset(self) -> Array:
        """`[T, E, …]`."""

    @property
    def step(self) -> Array:
        """`[H, T, E, …]`."""


class EngineLike(Protocol):
    """T tasks × E episodes of one family, stepped together; `Engine` is one."""

    @property
    def xp(self) -> Xp:
        """The namespace of the arrays that it takes and returns."""

    @property
    def device(self) -> object:
        """The place of those arrays: "cpu", or a device of torch's."""

    @property
    def num_tasks(self) -> int:
        """T."""

    @property
    def num_episodes(self) -> int:
        """E."""

    @property
    def horizon(self) -> int:
        """H, steps of an episode at most."""

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """One environment has this space."""

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """One environment has this space."""

    @property
    def parts(self) -> Sequence[EngineLike]:
        """Engines for some of the tasks each, that threads may step at once."""

    @property
    def ends_early(self) -> bool:
        """True where an episode may end before the horizon."""

    @property
    def score(self) -> str:
        """The metric that is each reward's expectation; empty where none is told."""

    def draw_noise(self, rng: np.random.Generator) -> EngineNoise:
        """Draw all the randomness of one episode, in a fixed order."""

    def reset(self, tasks: TaskArrays, noise: Array, mask: Array | None = None) -> Array:
        """Start episodes where `mask` `[T, E]` holds; observations `[T, E, O]`."""

    def step(self, action: Array, noise: Array) -> tuple[Array, Array, Array, Array, Metrics]:
        """Return observations, reward, terminated, truncated and metrics, `[T, E, …]` each."""

    def require_intact(self) -> None:
        """Refuse what a simulator has lost for want of room since the last reset."""

    def close(self) -> None:
        """Free what the engine holds."""

"""Meta-World's ML1, ML10 and ML45 as families (arXiv 1910.10897; the package `metaworld`).

A task is one of an environment's goals, by number: `{"goal": 17}` of `metaworld-ml1-reach-v3`,
`{"environment": 3, "goal": 17}` of `metaworld-ml10`. The goals are those of
`metaworld.ML1(environment, seed=0)`: 0 … 49 of its training, 50 … 99 of its test tasks. The goal is
hidden in the observation, and `info["success"]` says whether a step has solved the task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

import gymnasium
import mujoco
import numpy as np

from metarl.tasks.checking import check_task
from metarl.tasks.distributions import Choice, Distribution
from metarl.tasks.family import TaskFamily
from metarl.tasks.protocols import Family
from metarl.tasks.task import Task, unknown

PREFIX = "metaworld-"
INSTALL = (
    'install the extra metaworld, pip install -e ".[metaworld]" -c constraints-metaworld.txt, in a '
    "virtual environment of its own: it pins mujoco==3.3.0, which excludes the extra gpu (MuJoCo "
    "Warp)"
)
HORIZON = 500
"""Steps after which Meta-World's environments must be reset."""
GOALS = 50
"""Goals of an environment in each split."""


def metaworld_family(name: str) -> TaskFamily:
    """The family `metaworld-ml1-<environment>`, `metaworld-ml10` or `metaworld-ml45`.

    Raises:
        ValueError: Meta-World is not installed, or it has no such benchmark or environment.
    """
    known = package(name).env_dict
    splits = {"ml10": known.ML10_V3, "ml45": known.ML45_V3}
    splits |= {f"ml1-{env}": {"train": [env], "test": [env]} for env in known.ALL_V3_ENVIRONMENTS}
    benchmark = name.removeprefix(PREFIX)
    if benchmark not in splits:
        raise ValueError(unknown("env", name, [PREFIX + each for each in splits]))
    train, test = (tuple(splits[benchmark][split]) for split in ("train", "test"))
    alone = train == test
    environments = train if alone else train + test
    count = len(environments)
    return TaskFamily(
        name=name,
        definition=MetaWorld(train[0] if alone else benchmark.upper(), environments, len(test)),
        parameters=_tasks(range(len(train)), range(GOALS)),
        test_parameters=_tasks(range(count - len(test), count), range(GOALS, 2 * GOALS)),
        meaning=_MEANING,
        horizon=HORIZON,
    )


def _tasks(environments: range, goals: range) -> dict[str, Distribution]:
    """Any goal of any environment; the environment is not named where there is but one."""
    goal: dict[str, Distribution] = {"goal": Choice(tuple(goals))}
    return {"environment": Choice(tuple(environments)), **goal} if len(environments) > 1 else goal


_MEANING = {
    "environment": "number of the environment: those of training, then those of testing",
    "goal": "number of the goal",
}


@dataclass(frozen=True)
class MetaWorld:
    """One of the benchmarks; it has no array functions, so the vector engine steps it."""

    official: str
    """Meta-World's name of the benchmark, such as ML10; for ML1 that of its environment."""
    environments: tuple[str, ...]
    """Meta-World's names, such as reach-v3: those of training, then those of testing."""
    tests: int
    """How many environments are for testing."""

    engine: ClassVar[Literal["vector"]] = "vector"
    observation_space: ClassVar[gymnasium.spaces.Box] = gymnasium.spaces.Box(
        -np.inf, np.inf, (39,), np.float32
    )
    """Hand, gripper and objects, now and one step ago; the goal's three numbers are zero."""
    action_space: ClassVar[gymnasium.spaces.Box] = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
    """How the hand moves, and the gripper's effort."""

    @property
    def default_task(self) -> Task:
        """The first goal of the first environment."""
        first: Task = {"environment": 0} if len(self.environments) > 1 else {}
        return first | {"goal": 0}

    def make(self, family: Family) -> MetaWorldEnv:
        """One environment of a family of this definition."""
        return MetaWorldEnv(family, self)

    def official_envs(
        self, family: TaskFamily, goals: int, parallel: int, *, seed: int, shows_history: bool
    ) -> tuple[gymnasium.vector.VectorEnv[Any, Any, Any], int]:
        """The environments of Meta-World's own evaluation, and its number of rounds.

        Args:
            family: of this definition; episodes have its horizon.
            goals: of every test environment.
            parallel: of these at once; every round takes the next ones.
            seed: of the goals.
            shows_history: whether observations are followed by the previous action, reward and
                done.

        Raises:
            ValueError: an impossible number of goals.
        """
        if not 1 <= goals <= GOALS:
            raise ValueError(f"Meta-World has 1 to {GOALS} goals per environment, got {goals}")
        if parallel < 1 or goals % parallel:
            raise ValueError(f"{goals} goals cannot be taken {parallel} at once")
        history = {"recurrent_info_in_obs": True, "normalize_reward_in_recurrent_info": False}
        envs = package(family.name).make_ml_envs_test(
            self.official,
            seed=seed,
            meta_batch_size=parallel * self.tests,
            total_tasks_per_cls=goals,
            max_episode_steps=family.horizon,
            **(history if shows_history else {}),
        )
        return envs, goals // parallel


class MetaWorldEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One environment of a benchmark, which is another simulation for every `environment`.

    `reset(options={"task": {…}})` sets the task, which stays until another one is set.
    """

    def __init__(self, family: Family, definition: MetaWorld) -> None:
        """Make no simulation yet: which one it is, the task says.

        Args:
            family: whose task is stepped.
            definition: that of the family.

        Raises:
            ValueError: its horizon is longer than Meta-World allows.
        """
        if family.horizon > HORIZON:
            raise ValueError(
                f"episodes of {family.name} have at most {HORIZON} steps, got the horizon "
                f"{family.horizon}"
            )
        self.family = family
        self._environments = definition.environments
        self.observation_space = family.observation_space
        self.action_space = family.action_space
        self.task: Task = definition.default_task
        self._name = ""
        self._env: Any = None
        self._places: Places
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode of the current task, or of `options["task"]`; it draws nothing.

        Raises:
            ValueError: a task that is not one of the family's.
        """
        super().reset(seed=seed)
        task = (options or {}).get("task", self.task)
        check_task(self.family, task)
        names = self._environments
        name = names[_number("environment", task.get("environment", 0), len(names))]
        goal = _goals(name)[_number("goal", task["goal"], 2 * GOALS)]
        if name != self._name:
            self.close()
            self._name, self._env = name, _make(name)
        self.task = dict(task)
        self._steps = 0
        self._env.set_task(goal)
        self._places = _model(self._env.fullpath).places
        obs, info = self._simulate(self._env.reset)
        return obs.astype(np.float32), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step; truncated at the family's horizon, and never terminated."""
        obs, reward, terminated, truncated, info = self._simulate(self._env.step, action)
        self._steps += 1
        late = self._steps >= self.family.horizon
        return obs.astype(np.float32), float(reward), bool(terminated), truncated or late, info

    def _simulate(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call the simulation with the things where this environment has put them."""
        model = self._env.model
        model.body_pos[:], model.site_pos[:] = self._places
        result = call(*arguments)
        self._places = _places(model)
        return result

    def close(self) -> None:
        """Free the simulation."""
        if self._env is not None:
            self._env.close()


def _number(name: str, value: float, count: int) -> int:
    """Return the number of an environment or a goal."""
    if not (float(value).is_integer() and 0 <= value < count):
        raise ValueError(f"{name} must be an integer from 0 to {count - 1}, got {value}")
    return int(value)


def package(name: str) -> Any:
    """Meta-World, which is heavy and optional.

    Raises:
        ValueError: the family `name` needs it, and it is not installed; says what to do.
    """
    try:
        import metaworld
        import metaworld.evaluation
    except ImportError as error:
        raise ValueError(f"{name} needs Meta-World ({error}): {INSTALL}") from None
    return metaworld


@cache
def _goals(name: str) -> list[Any]:
    """The tasks of an environment: 50 of training, then 50 of testing; takes some seconds."""
    benchmark = package(name).ML1(name, seed=0)
    return [*benchmark.train_tasks, *benchmark.test_tasks]


Places = tuple[np.ndarray, np.ndarray]
"""Of bodies and of sites, `[n, 3]` each: what Meta-World changes of a model, in every reset."""


class _SharedModel(NamedTuple):
    """A compiled model of 20 MB, which all simulations of this process share."""

    compiled: mujoco.MjModel
    places: Places  # as its file says


def _places(model: mujoco.MjModel) -> Places:
    return model.body_pos.copy(), model.site_pos.copy()


@cache
def _model(path: str) -> _SharedModel:
    compiled = mujoco.MjModel.from_xml_path(path)
    return _SharedModel(compiled, _places(compiled))


class _Sharing:
    """Takes the shared model instead of compiling its file once more."""

    fullpath: str

    def _initialize_simulation(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model, (bodies, sites) = _model(self.fullpath)
        model.body_pos[:], model.site_pos[:] = bodies, sites
        return model, mujoco.MjData(model)


def _make(name: str) -> Any:
    """One of Meta-World's environments, without its task."""
    made = package(name).env_dict.ALL_V3_ENVIRONMENTS[name]
    return type(made.__name__, (_Sharing, made), {})()

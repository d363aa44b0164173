"""What is kept of arrays that others may change in place is a copy."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from metarl.tasks import Choice, TaskFamily, Uniform, make_engine, make_family
from metarl.tasks.engines.base import Engine
from metarl.tasks.engines.device import TorchArraysEngine
from metarl.tasks.engines.vector.engine import VectorEngine
from metarl.tasks.trial import TrialEngine, TrialEnv
from tests.tasks import gallery, habits

NAV = make_family("point-nav", horizon=4)
CHEETAH = make_family("half-cheetah-vel", horizon=4)
ENGINES = {
    "arrays": lambda: make_engine(NAV, 2, 2),
    "torch": lambda: TorchArraysEngine(NAV, 2, 2, "cpu"),
    "threads": lambda: make_engine(CHEETAH, 2, 2, threads=1),
    "vector": lambda: VectorEngine(NAV, 2, 2),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Any:
    made = ENGINES[request.param]()
    yield made
    made.close()


def drawn(engine: Engine, seed: int) -> dict[str, np.ndarray]:
    return engine.family.sample(2, np.random.default_rng(seed))


def rewards(engine: Engine, tasks: Any, spoil: Any = lambda step: None, mask: Any = None) -> Any:
    """Of an episode of three steps, before each of which something is spoilt."""
    noise = engine.draw_noise(np.random.default_rng(0))
    engine.reset(tasks, noise.reset, mask)
    found = []
    for t in range(3):
        spoil(t)
        action = np.full((2, 2, *engine.action_space.shape), 0.3)
        found.append(np.asarray(engine.step(action, noise.step[t]).reward).copy())
    return np.stack(found)


def test_tasks_that_are_changed_in_place_change_no_episode_that_goes_on(engine: Engine) -> None:
    """They are those of the reset; the next one takes what they have become."""
    one, other = drawn(engine, 0), drawn(engine, 1)
    before, after = rewards(engine, one), rewards(engine, other)
    assert (before != after).any()
    name = next(iter(one))
    shared = {name: one[name].copy()}

    def spoil(step: int) -> None:
        shared[name][:] = other[name]

    np.testing.assert_array_equal(rewards(engine, shared, spoil), before)
    np.testing.assert_array_equal(rewards(engine, shared), after)


def test_tasks_that_are_changed_in_place_are_checked_again(engine: Engine) -> None:
    """At the next reset."""
    tasks = drawn(engine, 0)
    rewards(engine, tasks)
    next(iter(tasks.values()))[0] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        rewards(engine, tasks)


def test_a_task_may_not_change_under_episodes_that_go_on(engine: Engine) -> None:
    """A partial reset may change the tasks whose episodes all start again, and no other."""
    one, other = drawn(engine, 0), drawn(engine, 1)
    rewards(engine, one)
    mask = np.array([[True, True], [True, False]])
    with pytest.raises(ValueError, match="task 1 of .* may not change while episodes of it go on"):
        rewards(engine, other, mask=mask)
    name = next(iter(one))
    mixed = {name: np.concatenate([other[name][:1], one[name][1:]])}
    rewards(engine, mixed, mask=mask)


def test_a_trial_has_one_task_whatever_becomes_of_the_callers_array() -> None:
    """Its later episodes have that of its start."""

    def lived(spoil: bool) -> np.ndarray:
        trial = TrialEngine(make_engine(NAV, 2, 1), 2)
        tasks, noise = drawn(trial._env, 0), trial.draw_noise(np.random.default_rng(0))
        trial.reset(tasks, noise.reset)
        found = []
        for t in range(trial.horizon):
            if spoil:
                tasks["goal"][:] = 0.5
            found.append(trial.step(np.full((2, 1, 2), 0.1), noise.step[t])[1])
        return np.stack(found)

    np.testing.assert_array_equal(lived(True), lived(False))


@pytest.mark.parametrize("way", ["attributes", "options", "constructor"])
def test_a_custom_environment_keeps_a_copy_of_its_task(way: str) -> None:
    """What it was given does not change, and what is given again is seen to have changed."""
    made = []

    class Wind(gallery.Walk):
        wind = np.zeros(2)

        def __init__(self, wind=wind):
            super().__init__()
            self.wind = np.asarray(wind)
            made.append(self)

        def reset(self, *, seed=None, options=None):
            if options:
                self.wind = np.asarray(options["task"]["wind"])
            return super().reset(seed=seed)

    family = TaskFamily(env=Wind, parameters={"wind": Uniform(-1, 1, size=2)}, apply=way, horizon=3)
    env, wind = family.make(), [0.1, 0.2]
    env.reset(seed=0, options={"task": {"wind": wind}})
    wind[0] = 0.7
    env.reset(seed=0)
    assert made[-1].wind.tolist() == [0.1, 0.2]
    made[-1].wind[1] = -1.0  # as its own
    env.reset(seed=0)
    assert env.task == {"wind": [0.1, 0.2]}
    env.reset(seed=0, options={"task": {"wind": wind}})
    assert made[-1].wind.tolist() == [0.7, 0.2]


def test_an_environment_that_changes_its_task_changes_no_other() -> None:
    """Each of a task's episodes is given a task of its own."""

    class Greedy(habits.Told):
        def reset(self, *, seed=None, options=None):
            self.target = options["task"].pop("target")
            return super().reset(seed=seed)

        def tell(self, solved):
            return {}

    class Definition:
        engine, observation_space = "vector", habits.Told.observation_space
        action_space = habits.Told.action_space
        make = staticmethod(lambda family: Greedy())

    family = TaskFamily(
        name="greedy", definition=Definition(), parameters={"target": Choice((0.5,))}, horizon=3
    )
    engine = VectorEngine(family, 1, 2)
    engine.reset({"target": np.array([0.5])}, np.zeros((1, 2)))
    assert engine.step(np.zeros((1, 2, 1)), None).reward.tolist() == [[-0.5, -0.5]]


def test_a_trial_shows_the_action_that_the_environment_was_given() -> None:
    """Though the environment changes it, and the observation is its own array."""
    env = TrialEnv(habits.InPlace(), 2)
    view, _ = env.reset(seed=0)
    first = view.copy()
    after, *_ = env.step(np.array([0.25, -0.5], np.float32))
    np.testing.assert_array_equal(view, first)
    np.testing.assert_allclose(after[:2], first[:2] + np.array([0.25, -0.5]), rtol=1e-6)
    np.testing.assert_array_equal(after[2:4], np.array([0.25, -0.5], np.float32))


def test_a_family_shows_copies_of_observations() -> None:
    """`check_family` compares what it was shown before with what it is shown now."""
    env: gymnasium.Env[Any, Any] = habits.in_place.make()
    first, _ = env.reset(seed=0, options={"task": {"target": 0.0}})
    before = first.copy()
    env.step(np.ones(2, np.float32))
    np.testing.assert_array_equal(first, before)

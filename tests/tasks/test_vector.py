"""The vector engine against single environments, and what it does when one of them fails."""

import multiprocessing
import os
import signal
from dataclasses import replace
from multiprocessing.context import SpawnProcess

import gymnasium
import numpy as np
import pytest

from metarl.tasks import EnvironmentFailure, family_names, make_engine, make_family, task_at
from metarl.tasks.engines.base import Engine, StepOutput
from metarl.tasks.engines.vector import pool as crew
from metarl.tasks.engines.vector.engine import VectorEngine
from metarl.tasks.family import TaskFamily
from tests.tasks import trouble

FAMILIES = [*(make_family(name) for name in family_names()), trouble.FAMILY]
TASKS = {"length": np.array([3.0, 2.0, 9.0]), "trouble": np.zeros(3)}


def actions(
    family: TaskFamily, shape: tuple[int, int], rng: np.random.Generator, stretch: float = 1.0
) -> np.ndarray:
    """`[T, E, …]`, beyond the bounds of a box where `stretch` is above 1."""
    space = family.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return rng.integers(space.n, size=shape)
    low, high = stretch * space.low, stretch * space.high
    return rng.uniform(low, high, (*shape, *low.shape)).astype(np.float32)


def run(engine: Engine, steps: int, seed: int = 0) -> list[StepOutput]:
    rng = np.random.default_rng(seed)
    tasks, noise = engine.family.sample(engine.num_tasks, rng), engine.draw_noise(rng)
    outs = [StepOutput(engine.reset(tasks, noise.reset), *[np.zeros(1)] * 3, {})]
    for t in range(steps):
        outs.append(engine.step(actions(engine.family, engine.shape, rng), noise.step[t]))
    engine.close()
    return outs


def assert_equal(one: list[StepOutput], other: list[StepOutput]) -> None:
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a[:4], b[:4], strict=True):
            np.testing.assert_array_equal(x, y)
        np.testing.assert_equal(a.metrics, b.metrics)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_it_steps_what_single_environments_step(family: TaskFamily) -> None:
    """Environment (t, e) is `family.make()`, reset with the seed noise[t, e] and its task."""
    outs = run(VectorEngine(family, 3, 2), 3)
    rng = np.random.default_rng(0)
    tasks, seeds = family.sample(3, rng), rng.integers(2**31, size=(3, 2))
    singles = [[family.make() for _ in range(2)] for _ in range(3)]
    for (t, e), seed in np.ndenumerate(seeds):
        options = {"task": task_at(tasks, t)}
        obs, _ = singles[t][e].reset(seed=int(seed), options=options)
        np.testing.assert_array_equal(obs, outs[0].obs[t, e])
    for out in outs[1:]:
        action = actions(family, (3, 2), rng)
        for t, e in np.ndindex(3, 2):
            obs, reward, terminated, _, _ = singles[t][e].step(action[t, e])
            np.testing.assert_array_equal(obs, out.obs[t, e])
            assert (reward, terminated) == (out.reward[t, e], out.terminated[t, e])


@pytest.mark.parametrize("name", family_names())
def test_it_agrees_with_the_engine_of_arrays_or_threads(name: str) -> None:
    """Bit for bit, once that engine is given the noise which the seeds stand for."""
    family = make_family(name, horizon=4)
    vector, own = VectorEngine(family, 3, 2), make_engine(family, 3, 2, threads=1)
    rng = np.random.default_rng(0)
    tasks, noise = family.sample(3, rng), vector.draw_noise(rng)
    one = make_engine(family, 1, 1, threads=1)
    drawn = [
        one.draw_noise(gymnasium.utils.seeding.np_random(int(seed))[0]) for seed in noise.reset.flat
    ]
    reset = np.stack([d.reset[0, 0] for d in drawn]).reshape(3, 2, -1)
    step = np.stack([d.step[:, 0, 0] for d in drawn], 1).reshape(4, 3, 2, -1)
    np.testing.assert_array_equal(vector.reset(tasks, noise.reset), own.reset(tasks, reset))
    for t in range(4):
        action = actions(family, (3, 2), rng, stretch=1.5)
        assert_equal([vector.step(action, noise.step[t])], [own.step(action, step[t])])


def test_worker_processes_change_nothing() -> None:
    """Two workers with shares of unequal size equal this process bit for bit, metrics included."""
    assert_equal(
        run(VectorEngine(trouble.FAMILY, 3, 3), 4), run(VectorEngine(trouble.FAMILY, 3, 3, 2), 4)
    )


def test_finished_environments_wait_for_their_reset() -> None:
    """Their observation stays, they earn nothing, and a masked reset starts only the chosen."""
    engine = VectorEngine(trouble.FAMILY, 3, 1)
    noise = engine.draw_noise(np.random.default_rng(0))
    engine.reset(TASKS, noise.reset)
    outs = [engine.step(np.ones((3, 1, 1)), None) for _ in range(5)]
    flags = [(out.terminated[:, 0].tolist(), out.truncated[:, 0].tolist()) for out in outs]
    assert flags[1] == ([False, True, False], [False, False, False])
    assert flags[2] == ([True, True, False], [False, False, False])
    assert flags[3] == flags[4] == ([True, True, False], [False, False, True])
    assert [out.reward[1, 0] for out in outs] == [1.0, 2.0, 0.0, 0.0, 0.0]
    assert [out.obs[1, 0, 1] for out in outs] == [1.0, 2.0, 2.0, 2.0, 2.0]
    assert np.isnan(outs[2].metrics["info/total"][1, 0])
    assert np.isnan(outs[0].metrics.get("info/even", np.nan)).all()
    assert outs[1].metrics["info/even"].tolist() == [[1.0], [1.0], [1.0]]
    again = engine.reset(TASKS, noise.reset, np.array([[False], [True], [False]]))
    np.testing.assert_array_equal(again[[0, 2]], outs[-1].obs[[0, 2]])
    out = engine.step(np.ones((3, 1, 1)), None)
    assert out.reward[:, 0].tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("what", "workers", "message"),
    [
        (trouble.RAISE, 0, "failed in step"),
        (trouble.RAISE, 2, r"\(worker 1\) failed in step"),
        (trouble.EXIT, 0, "failed in step"),
        (trouble.DIE, 2, r"ended its worker process \(exit code 7\) in step"),
        (trouble.HANG, 2, r"has not returned for 1 s in step"),
    ],
)
def test_an_environment_that_fails_ends_all_in_order(
    what: float, workers: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names it, its task, episode, step and traceback; no process is left."""
    before = set(multiprocessing.active_children())
    timeout = 1.0 if what == trouble.HANG else 120.0
    engine = VectorEngine(replace(trouble.FAMILY, timeout=timeout), 2, 2, workers)
    monkeypatch.setattr(crew, "GRACE", 0.3)
    noise = engine.draw_noise(np.random.default_rng(0))
    engine.reset({"length": np.full(2, 9.0), "trouble": np.array([0.0, what])}, noise.reset)
    actions = np.zeros((2, 2, 1))
    engine.step(actions, None)
    engine.step(actions, None)
    with pytest.raises(EnvironmentFailure, match=message) as failure:
        engine.step(actions, None)
    said = str(failure.value)
    where = f"task 1 {{'length': 9.0, 'trouble': {what}}}, episode 0, step 2"
    assert "environment 2 of countdown" in said
    assert where in said
    assert ("the cart has left the track" in said) == (what == trouble.RAISE)
    assert set(multiprocessing.active_children()) == before
    engine.close()


def test_a_worker_that_dies_before_it_has_read_the_family_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even one larger than a pipe holds."""
    monkeypatch.setattr(crew, "serve", trouble.leave)
    large = replace(trouble.FAMILY, meaning={"length": "long" * 10**6})
    with pytest.raises(EnvironmentFailure, match=r"\(exit code 5\) while it was made") as e:
        VectorEngine(large, 2, 1, 2)
    assert "if __name__ == '__main__':" in str(e.value)


def test_an_interrupt_leaves_workers_alone_from_their_first_moment_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A terminal sends Ctrl-C to every process of a command; what to do is the first one's."""
    start = SpawnProcess.start

    def interrupted(self: SpawnProcess) -> None:
        start(self)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(self.pid or 0, number)

    monkeypatch.setattr(SpawnProcess, "start", interrupted)
    assert len(run(VectorEngine(trouble.FAMILY, 2, 1, 2), 1)) == 2


def test_impossible_workers_are_refused() -> None:
    """A negative number, an engine without workers, and functions that have no module."""
    with pytest.raises(ValueError, match="workers must be at least 0"):
        VectorEngine(trouble.FAMILY, 1, 1, -1)
    with pytest.raises(ValueError, match="only the vector engine has workers"):
        make_engine(make_family("point-nav"), 1, 1, workers=2)

    class Local(trouble.Definition):
        pass

    family = TaskFamily("local", "", Local(), trouble.FAMILY.parameters, {}, 4)
    with pytest.raises(ValueError, match=r"cannot be sent to worker processes.*top of a module"):
        VectorEngine(family, 1, 1, 1)

"""Episodes that threads collect in parts are those of all tasks at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.maml_trpo.learner import Adapting, MamlLearner
from metarl.algorithms.maml_trpo.state import MetaState
from metarl.core.mapping import Workers
from metarl.core.params import map_params
from metarl.experiment.seeding import rng
from metarl.rl.data import Episodes, StepInput
from metarl.rl.rollout import Action, ActionScaling, NonFiniteError, rollout
from metarl.tasks import make_engine, make_family
from metarl.tasks.engines.mujoco import ThreadsEngine

TASKS = 3  # the parts have one and two


@pytest.fixture(params=["half-cheetah-vel", "hopper-params", "ant-dir"])
def engine(request: pytest.FixtureRequest) -> Iterator[ThreadsEngine]:
    """Of a body that never falls, of one that does and has other physics, and of one that feels."""
    made = make_engine(make_family(request.param, horizon=30), TASKS, 2, threads=2)
    assert isinstance(made, ThreadsEngine)
    yield made
    made.close()


class Disturbed(MamlLearner):
    """A learner to which something happens."""

    def __init__(
        self, algorithm: MamlTrpo, state: MetaState, at_step_5: Callable[[], None] | None
    ) -> None:
        """`at_step_5` is called once, for the part of two tasks."""
        super().__init__(algorithm, state)
        self.at_step_5 = at_step_5
        self._happened = threading.Event()
        self._steps = 0

    def act(self, state: Adapting, inputs: StepInput, noise: Tensor) -> tuple[Action, Adapting]:
        """As always, but for step 5, before which the other part waits; after it all is slow."""
        if self.at_step_5 is not None:
            if self._happened.is_set() or len(noise) == 1:
                assert self._happened.wait(60)
                time.sleep(0.05)
            elif self._steps == 5:
                self._happened.set()
                self.at_step_5()
            self._steps += 1
        return super().act(state, inputs, noise)


def episodes(
    engine: ThreadsEngine,
    workers: Workers | None,
    nan: int | None = None,
    at_step_5: Callable[[], None] | None = None,
) -> Episodes:
    """What policies of their own do in every task.

    Args:
        engine: for `TASKS` tasks.
        workers: of the rollout.
        nan: the task whose policy is not a number.
        at_step_5: see `Disturbed`.
    """
    config = MamlTrpoConfig(hidden=(8,))
    algorithm = MamlTrpo(config, engine.observation_space, engine.action_space)
    learner = Disturbed(algorithm, algorithm.init(0), at_step_5)
    theta = learner.start(TASKS).phi
    phi = map_params(
        lambda p: p * torch.linspace(0.5, 2, TASKS).view(-1, *[1] * (p.dim() - 1)), theta
    )
    if nan is not None:
        phi["0.bias"][nan] = torch.nan
    tasks = engine.family.split("train").sample(TASKS, 0)
    lived, after = rollout(
        learner,
        Adapting(phi, 1),
        engine,
        tasks,
        rng(0),
        scaling=algorithm.scaling,
        device=algorithm.device,
        workers=workers,
    )
    assert after.updates == 1
    assert all(torch.equal(after.phi[name], p) for name, p in phi.items())
    return lived


def test_parts_of_the_tasks_live_the_same_episodes(engine: ThreadsEngine) -> None:
    """Up to rounding, which contacts magnify after some steps."""
    whole, parts = episodes(engine, None), episodes(engine, Workers(2))
    assert [part.num_tasks for part in engine.parts] == [1, 2]
    assert torch.equal(parts.mask, whole.mask)
    early = whole.mask & (torch.arange(30) < 10)
    for name in ("obs", "action", "reward"):
        one, other = getattr(whole, name)[early], getattr(parts, name)[early]
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)
    assert parts.metrics.keys() == whole.metrics.keys()


def test_the_number_of_threads_does_not_change_a_bit_of_an_episode(engine: ThreadsEngine) -> None:
    """The parts are the same, whether they take turns or not."""
    alone = ThreadsEngine(engine.family, TASKS, 2, 1)
    one, two = episodes(alone, Workers(1)), episodes(engine, Workers(2))
    alone.close()
    for name in ("obs", "action", "reward", "mask", "terminated", "truncated", "final_obs"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name


def test_a_part_is_told_apart_by_the_number_of_its_task_among_all(engine: ThreadsEngine) -> None:
    """An action that is not finite is reported with its task."""
    with pytest.raises(NonFiniteError, match=r"task 2 .* episode 0, step 0"):
        episodes(engine, Workers(2), nan=2)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """SIGINT raises, also where a shell's background job ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def failure() -> None:
    raise OSError("lost")


def ctrl_c() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize("disturbance", [failure, ctrl_c])
def test_after_an_error_or_ctrl_c_no_part_goes_on(
    engine: ThreadsEngine, disturbance: Callable[[], None]
) -> None:
    """The engine can be used again at once, and nothing is left of what was broken off."""
    workers = Workers(2)
    expected = episodes(engine, workers)
    with pytest.raises((OSError, KeyboardInterrupt)):
        episodes(engine, workers, at_step_5=disturbance)
    assert all((part._elapsed < 30).all() for part in engine.parts)
    again = episodes(engine, workers)
    workers.close()
    assert torch.equal(again.obs, expected.obs)
    assert torch.equal(again.reward, expected.reward)


def test_as_many_tasks_as_the_engine_has_are_needed(engine: ThreadsEngine) -> None:
    """No task is left out, and the message has the number of all."""
    algorithm = MamlTrpo(MamlTrpoConfig(), engine.observation_space, engine.action_space)
    learner = algorithm.learner(algorithm.init(0))
    tasks = engine.family.split("train").sample(TASKS + 1, 0)
    with pytest.raises(ValueError, match=r"3 tasks have as many values of '\w+', got 4"):
        rollout(
            learner,
            learner.start(TASKS),
            engine,
            tasks,
            rng(0),
            scaling=algorithm.scaling,
            device=algorithm.device,
            workers=Workers(2),
        )


def test_one_task_has_no_parts() -> None:
    """It is stepped by one thread of Python."""
    engine = make_engine(make_family("half-cheetah-vel", horizon=3), 1, 2, threads=2)
    assert np.size(engine.parts) == 0
    engine.close()


def test_a_unit_action_is_a_part_of_half_the_range_which_is_one_without_bounds() -> None:
    """Of every dimension on its own, bounded or not."""
    low = np.array([0.0, -np.inf, 5.0], np.float32)
    high = np.array([4.0, np.inf, np.inf], np.float32)
    scaling = ActionScaling.of(gymnasium.spaces.Box(low, high), 0.5)
    zero, one = scaling(torch.tensor([[0.0] * 3, [1.0] * 3]))
    np.testing.assert_allclose(zero, [2.0, 0.0, 6.0])
    np.testing.assert_allclose(one, [3.0, 0.5, 6.5])

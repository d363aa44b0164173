"""What the training of a reinforcement learner asks for, iteration by iteration."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from metarl.agent import Agent
from metarl.algorithms.registry import METHODS
from metarl.protocols import EvalOptions
from metarl.rl.data import BatchedEnv, Tasks
from metarl.runs import RunConfig
from metarl.tasks import load_family, make_family
from metarl.training.reinforcement import Training


class Recorder:
    """An algorithm that learns nothing, and keeps what it is given."""

    def __init__(self, algorithm: Any) -> None:
        self._algorithm = algorithm
        self.tasks: list[np.ndarray] = []
        self.noise: list[list[float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)

    def iteration(
        self,
        state: Any,
        env: BatchedEnv,
        tasks: Tasks,
        rng_for: Callable[[int], np.random.Generator],
    ) -> tuple[Any, dict[str, float]]:
        self.tasks.append(tasks["goal"])
        self.noise.append([rng_for(k).random() for k in range(3)])
        return state, {}


def config_of(algo: str, seed: int = 0) -> RunConfig:
    return RunConfig(
        algo=algo,
        preset="default",
        seed=seed,
        engine="auto",
        device="cpu",
        compiled=False,
        eval_every=0,
        checkpoint_every=1,
        family=make_family("point-nav", horizon=5).to_json(),
        algorithm=METHODS[algo].config(tasks=4, episodes=2),
    )


def training(algo: str, seed: int = 0) -> tuple[Training, Recorder]:
    made = Training(config_of(algo, seed), threads=1)
    made.algorithm = recorder = Recorder(made.algorithm)
    return made, recorder


@pytest.mark.parametrize("algo", METHODS)
def test_every_iteration_has_tasks_and_noise_of_its_own(algo: str) -> None:
    """And every sampling phase of it; another seed has others, the same one the same."""
    made, seen = training(algo)
    for _ in range(3):
        made.step(lambda: False)
    assert len({row.tobytes() for tasks in seen.tasks for row in tasks}) == 3 * 4
    assert len({x for row in seen.noise for x in row}) == 3 * 3
    for seed, same in ((0, True), (1, False)):
        again, also = training(algo, seed)
        again.step(lambda: False)
        assert np.array_equal(also.tasks[0], seen.tasks[0]) == same
        assert (also.noise[0] == seen.noise[0]) == same


@pytest.mark.parametrize("algo", METHODS)
def test_a_run_is_evaluated_on_tasks_that_it_is_not_trained_on(
    algo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Always the same ones, with the same noise, whatever the iteration."""
    made, seen = training(algo)
    asked: list[EvalOptions] = []
    monkeypatch.setattr(Agent, "outcome", lambda agent, options, **rest: asked.append(options))
    monkeypatch.setattr(Agent, "summary", lambda agent, outcome, tasks: None)
    for _ in range(2):
        made.step(lambda: False)
        made.evaluate()
    first, second = (options.tasks["goal"] for options in asked)
    np.testing.assert_array_equal(first, second)
    assert asked[0].seed == asked[1].seed
    trained = {row.tobytes() for tasks in seen.tasks for row in tasks}
    assert not trained & {row.tobytes() for row in first}
    test = made.family.split("test").sample(len(first), 0)["goal"]
    np.testing.assert_array_equal(first, test)


def test_held_out_tasks_are_compared_with_those_of_many_iterations() -> None:
    """Where its tasks are from a list, of which one iteration is a small part."""
    family = load_family("tests.tasks.gallery:long_list")
    algorithm = METHODS["maml-trpo"].config(iterations=400, tasks=4, episodes=2)
    config = replace(
        config_of("maml-trpo"), family=family.to_json(), algorithm=algorithm, eval_tasks=5
    )
    made = Training(config, threads=1)
    met = {
        tuple(goal)
        for i in range(50)
        for goal in family.split("train").sample(4, config.seed, i)["goal"]
    }
    held_out = family.split("test").sample(5, config.seed)["goal"]
    found = made.measures["different_tasks"], made.measures["tasks_of_training"]
    assert found == (len({*map(tuple, held_out)}), sum(tuple(goal) in met for goal in held_out))
    assert found == (5, 3)
    assert "3 of them are among the 200 of the first 50 iterations" in made.advice
    made.close()

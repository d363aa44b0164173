"""Short trainings on a device, beside the same on a CPU with numpy's engine.

The noise of a GPU is other than a CPU's, so only the returns can be compared, on the same held-out
tasks. Without a GPU its way of computing is taken on the CPU: tensors as states, trials that ask
nothing, and MAML-TRPO's update of all tasks in one call.
"""

import math
from typing import Any

import pytest

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.rl2.algorithm import Rl2
from metarl.algorithms.rl2.config import Rl2Config
from metarl.experiment.seeding import rng
from metarl.rl.evaluate import adaptation_curve, trial_outcome
from metarl.rl.intervals import interval
from metarl.rl.rollout import rollout
from metarl.tasks import TaskFamily, make_family
from metarl.tasks.engines.arrays import ArraysEngine
from metarl.tasks.engines.device import TorchArraysEngine
from metarl.tasks.trial import TrialEngine
from tests.tasks.test_device import DEVICES, available

Interval = tuple[float, float]  # mean and half-width of the 95 % interval over held-out tasks
HELD_OUT = 200
TRAINING, HELD_OUT_NOISE = 0, 1  # addresses of random numbers


def engine(family: TaskFamily, tasks: int, episodes: int, device: str | None) -> Any:
    """Numpy arrays where there is no device to be on, else tensors there."""
    if device is None:
        return ArraysEngine(family, tasks, episodes)
    return TorchArraysEngine(family, tasks, episodes, device)


def train(algorithm: Any, env: Any, family: TaskFamily, iterations: int) -> Any:
    """The state after some iterations, each with tasks of its own."""
    state = algorithm.init(0)
    for i in range(iterations):
        tasks = family.split("train").sample(env.num_tasks, i)
        state, _ = algorithm.iteration(state, env, tasks, lambda k, i=i: rng(0, TRAINING, i, k))
    return state


def maml(name: str, device: str | None) -> tuple[Interval, Interval]:
    """Returns of a trained policy before and after one update."""
    options, horizon, iterations = MAML[name]
    family, config = make_family(name, horizon=horizon), MamlTrpoConfig(**options)
    env = engine(family, config.tasks, config.episodes, device)
    algorithm = MamlTrpo(config, env.observation_space, env.action_space, device=device or "cpu")
    if device is not None:
        algorithm.stacked = True
        algorithm._setting = algorithm._setting._replace(stacked=True)
    state = train(algorithm, env, family, iterations)
    curve = adaptation_curve(
        algorithm.learner(state),
        engine(family, HELD_OUT, config.episodes, device),
        family.split("test").sample(HELD_OUT, 0),
        updates=1,
        rng_for=lambda k: rng(0, HELD_OUT_NOISE, k),
        scaling=algorithm.scaling,
        device=algorithm.device,
    )
    before, after = map(interval, curve.returns)
    return before, after


MAML: dict[str, tuple[dict[str, Any], int, int]] = {  # configuration, horizon, iterations
    "bandit-k5": ({"hidden": (32, 32), "inner_lr": 0.5}, 10, 20),
    "point-nav": (
        {
            "tasks": 20,
            "episodes": 10,
            "hidden": (32, 32),
            "activation": "relu",
            "inner_lr": 0.5,
            "max_kl": 0.02,
        },
        20,
        30,
    ),
}


def rl2(name: str, device: str | None) -> tuple[Interval, Interval]:
    """Returns of the first episode before and after training."""
    family, config = make_family(name), Rl2Config(**RL2)

    def trials(tasks: int) -> TrialEngine:
        env = TrialEngine(engine(family, tasks, 1, device), config.episodes)
        env._host = device is None
        return env

    env = trials(config.tasks)
    algorithm = Rl2(config, env.observation_space, env.action_space, device=device or "cpu")
    found = []
    for state in (algorithm.init(0), train(algorithm, env, family, config.iterations)):
        learner, tasks = algorithm.learner(state), family.split("test").sample(HELD_OUT, 0)
        lived, _ = rollout(
            learner,
            learner.start(HELD_OUT),
            trials(HELD_OUT),
            tasks,
            rng(0, HELD_OUT_NOISE),
            scaling=algorithm.scaling,
            device=algorithm.device,
        )
        found.append(interval(trial_outcome(lived, config.episodes, env.score).returns[0]))
    return found[0], found[1]


RL2: dict[str, Any] = {
    "iterations": 40,
    "tasks": 512,
    "episodes": 1,
    "hidden": 32,
    "minibatches": 8,
    "lr": 3e-3,
    "lr_schedule": "linear",
    "discount": 1.0,
    "value_per_step": True,
    "prediction_weight": 0.5,
    "entropy_weight": 0.003,
    "normalize_rewards": False,
}


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("learn", "name"), [(maml, "bandit-k5"), (maml, "point-nav"), (rl2, "bandit-k5")]
)
def test_a_training_on_a_device_reaches_what_one_on_a_cpu_reaches(
    learn: Any, name: str, device: str
) -> None:
    """Both learn beyond doubt, and what they come to differs by no more than chance (95 %)."""
    there, here = learn(name, available(device)), learn(name, None)
    print(name, *(f"{mean:.2f} ± {width:.2f}" for mean, width in (*there, *here)))
    for before, after in (there, here):
        assert after[0] - after[1] > before[0] + before[1]
    assert abs(there[1][0] - here[1][0]) <= math.hypot(there[1][1], here[1][1])

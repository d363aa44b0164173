"""What episodes on MuJoCo Warp are worth, beside those on MuJoCo."""

import math

import pytest

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.experiment.seeding import rng
from metarl.rl.evaluate import episode_returns
from metarl.rl.rollout import rollout
from metarl.tasks import TaskFamily
from metarl.tasks.engines.mujoco import ThreadsEngine
from metarl.tasks.engines.warp import WarpEngine
from tests.tasks.test_device import DEVICES, ON_THREADS, available


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", ON_THREADS, ids=lambda f: f.name)
def test_returns_on_warp_are_distributed_as_on_mujoco(family: TaskFamily, device: str) -> None:
    """Of a fixed policy in 200 whole episodes: the means differ by no more than chance (95 %).

    Tasks, starts and noise of actions are the same, but contacts soon make the episodes differ.
    Intervals are those of the variance within each of four tasks. The humanoid's solvers differ.
    """
    config = MamlTrpoConfig(tasks=4, episodes=50)
    algorithm = MamlTrpo(config, family.observation_space, family.action_space)
    learner = algorithm.learner(algorithm.init(0))
    tasks = family.split("train").sample(4, 0)
    returns = []
    for env in (ThreadsEngine(family, 4, 50), WarpEngine(family, 4, 50, available(device))):
        episodes, _ = rollout(
            learner,
            learner.start(4),
            env,
            tasks,
            rng(0),
            scaling=algorithm.scaling,
            device=algorithm.device,
        )
        returns.append(episode_returns(episodes).double())
        env.close()
    means = [float(values.mean()) for values in returns]
    widths = [1.96 * float(values.var(1).mean() / values.numel()) ** 0.5 for values in returns]
    print(family.name, *(f"{m:.2f} ± {w:.2f}" for m, w in zip(means, widths, strict=True)))
    assert abs(means[0] - means[1]) <= math.hypot(*widths)

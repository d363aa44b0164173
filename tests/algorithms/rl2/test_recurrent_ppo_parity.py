"""RL² learns what sb3-contrib's RecurrentPPO learns on trials with the same settings."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.vec_env import DummyVecEnv

from metarl.algorithms.rl2.algorithm import Rl2
from metarl.algorithms.rl2.config import Rl2Config
from metarl.experiment.seeding import rng
from metarl.rl.intervals import interval
from metarl.rl.policy import sample
from metarl.tasks import FamilyEnv, make_engine, make_family, task_at
from metarl.tasks.trial import TrialEngine, TrialEnv

FAMILY = make_family("bandit-k5", horizon=10)
INSTANCES = 1000
# All that both have, and without what only ours has
CONFIG = Rl2Config(
    iterations=800,
    tasks=128,
    episodes=1,
    cell="lstm",
    hidden=64,
    separate_critic=True,
    lr=3e-3,
    lr_schedule="linear",
    epochs=4,
    minibatches=4,
    clip=0.2,
    discount=0.99,
    gae_lambda=0.95,
    entropy_weight=0.01,
    value_loss="squared",
    value_weight=1.0,  # of half the squared error
    max_grad_norm=0.5,
    normalize_rewards=False,
)
Act = Callable[[np.ndarray, Any, bool], tuple[np.ndarray, Any]]


def ours(seed: int) -> Act:
    """One trial of every task in an iteration."""
    c = CONFIG
    trial = TrialEngine(make_engine(FAMILY, c.tasks, 1, threads=1), 1)
    algorithm = Rl2(c, trial.observation_space, trial.action_space)
    state = algorithm.init(seed)
    for i in range(c.iterations):
        tasks = FAMILY.split("train").sample(c.tasks, seed, i)
        state, _ = algorithm.iteration(state, trial, tasks, lambda k, i=i: rng(seed, i, k))
    learner, generator = algorithm.learner(state), np.random.default_rng(seed)

    def act(views: np.ndarray, memory: Any, first: bool) -> tuple[np.ndarray, Any]:
        memory = learner.fresh(len(views)) if first else memory
        with torch.no_grad():
            output = learner.output(memory, torch.from_numpy(views))
        noise = learner.noise(generator, (len(views),))
        return sample(output.dist, noise).numpy(), output.memory

    return act


def theirs(seed: int) -> Act:
    """Two trials of every environment in an iteration, each of a new task."""
    c = CONFIG
    count = c.tasks // 2

    def draw(generator: np.random.Generator) -> dict[str, Any]:
        return task_at(FAMILY.sample(1, generator), 0)

    make = [lambda: TrialEnv(FamilyEnv(FAMILY), 1, draw_task=draw)] * count
    agent = RecurrentPPO(
        "MlpLstmPolicy",
        DummyVecEnv(make),
        n_steps=2 * FAMILY.horizon,
        batch_size=c.tasks * FAMILY.horizon // c.minibatches,
        n_epochs=c.epochs,
        learning_rate=lambda left: c.lr * left,
        clip_range=c.clip,
        gamma=c.discount,
        gae_lambda=c.gae_lambda,
        ent_coef=c.entropy_weight,
        vf_coef=c.value_weight / 2,  # of the squared error
        max_grad_norm=c.max_grad_norm,
        policy_kwargs={
            "lstm_hidden_size": c.hidden,
            "net_arch": [],
            "optimizer_kwargs": {"eps": 1e-8},
        },
        device="cpu",
        seed=seed,
    )
    agent.learn(c.iterations * c.tasks * FAMILY.horizon)

    def act(views: np.ndarray, memory: Any, first: bool) -> tuple[np.ndarray, Any]:
        return agent.predict(views, memory, np.full(len(views), first))

    return act


def play(act: Act) -> np.ndarray:
    """Total rewards of trials of the same held-out instances, as the means of the pulled arms."""
    trial = TrialEngine(make_engine(FAMILY, INSTANCES, 1, threads=1), 1)
    noise = trial.draw_noise(rng(7))
    views = trial.reset(FAMILY.split("test").sample(INSTANCES, 7), noise.reset)
    total, memory = np.zeros(INSTANCES), None
    for t in range(trial.horizon):
        action, memory = act(views[:, 0], memory, t == 0)
        views, _, _, _, metrics = trial.step(action[:, None], noise.step[t])
        total += metrics["mean"][:, 0]
    return total


@pytest.mark.slow  # a quarter of an hour
def test_both_reach_the_same_on_the_same_instances() -> None:
    """After as many steps, within the 95 % interval of a difference of such means; both learnt."""
    returns = []
    for train in (ours, theirs):
        start = time.perf_counter()
        act = train(0)
        seconds = time.perf_counter() - start
        returns.append(play(act))
        print("{}: {:.3f} ± {:.3f}".format(train.__name__, *interval(returns[-1])), end="")
        print(f", trained in {seconds:.0f} s")
    print(
        "ours − theirs, instance by instance: {:.3f} ± {:.3f}".format(
            *interval(returns[0] - returns[1])
        )
    )
    (mine, error), (other, their_error) = (interval(row) for row in returns)
    assert min(mine, other) > 6.3  # random play earns 5, greedy 6.5, Bayes-optimal 6.66
    assert abs(mine - other) < np.hypot(error, their_error)

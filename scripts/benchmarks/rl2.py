"""RL² on bandits beside torch's GRU alone, and on the half-cheetah beside the machine's limit."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import torch
from benchmarks.measure import CORES, Clock, Row, Size
from benchmarks.sampling import raw_limit

from metarl.algorithms.rl2.algorithm import Rl2
from metarl.algorithms.rl2.config import Rl2Config
from metarl.algorithms.rl2.presets import rl2_preset
from metarl.experiment.seeding import rng
from metarl.rl.trials import Trials, collect_trials
from metarl.tasks import FamilyEnv, make_engine, make_family, task_at
from metarl.tasks.task import Task
from metarl.tasks.trial import TrialEngine, TrialEnv


def bandit_rows(size: Size) -> list[Row]:
    """Whole iterations on bandit-k5 with 100 pulls and a GRU of 64, beside a bare GRU.

    The bare one is torch's own module, forward and backward over inputs of the same size, in the
    same epochs and minibatches on the same threads, with nothing else around it.
    """
    trials, pulls = (8, 5) if size.tiny else (2048, 100)
    config = replace(
        rl2_preset("default", "bandit-k5"),
        tasks=trials,
        cell="gru",
        hidden=64,
        minibatches=4,
        epochs=4,
    )
    algorithm, env, tasks = _make(config, "bandit-k5", pulls, CORES)
    steps = trials * pulls
    return [
        ("nn.GRU, forward and backward", _bare(config, algorithm, pulls), steps),
        (f"rl2, whole iteration of {steps:,} steps", _iteration(algorithm, env, tasks), steps),
        ("rl2, sampling alone", _sampling(algorithm, env, tasks), steps),
        *_recurrent_ppo(config, pulls, size),
    ]


def _recurrent_ppo(config: Rl2Config, pulls: int, size: Size) -> list[Row]:
    """sb3-contrib's RecurrentPPO on the trial wrapper, if it is installed.

    The same width of memory and epochs on 8 environments, its updates of as many trials each as
    are in a minibatch of ours; its memory is an LSTM, for actor and critic apart.
    """
    if importlib.util.find_spec("sb3_contrib") is None:
        return []
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    family = make_family("bandit-k5", horizon=pulls)

    def draw(generator: np.random.Generator) -> Task:
        return task_at(family.sample(1, generator), 0)

    count = 2 if size.tiny else 8

    def make() -> gymnasium.Env[Any, Any]:
        return TrialEnv(FamilyEnv(family), 1, draw_task=draw)

    agent = RecurrentPPO(
        "MlpLstmPolicy",
        DummyVecEnv([make] * count),
        n_steps=pulls,
        batch_size=count * pulls,
        n_epochs=config.epochs,
        device="cpu",
        seed=0,
        policy_kwargs={"lstm_hidden_size": config.hidden, "net_arch": []},
    )
    steps = 2 * count * pulls

    def run() -> None:
        agent.learn(steps)

    return [(f"sb3-contrib's RecurrentPPO, {count} environments", run, steps)]


def cheetah_rows(size: Size) -> list[Row]:
    """Sampling and whole iterations on half-cheetah-vel, beside its physics alone."""
    config = replace(rl2_preset("varibad2020", "half-cheetah-vel"), tasks=4 if size.tiny else 400)
    algorithm, env, tasks = _make(config, "half-cheetah-vel", 5 if size.tiny else 200, CORES)
    steps = config.tasks * env.horizon
    sample = _sampling(algorithm, env, tasks)
    controls = algorithm.scaling(sample().action.transpose(0, 1)).clip(-1, 1).astype(np.float64)
    cheetah = make_family("half-cheetah-vel").definition
    assert cheetah.engine == "threads"
    return [
        raw_limit([cheetah.model] * config.tasks, cheetah.frame_skip, controls),
        (f"rl2, sampling of {config.tasks} trials", sample, steps),
        (f"rl2, whole iteration of {steps:,} steps", _iteration(algorithm, env, tasks), steps),
    ]


def _make(
    config: Rl2Config, env: str, horizon: int, threads: int
) -> tuple[Rl2, TrialEngine, dict[str, np.ndarray]]:
    family = make_family(env, horizon=horizon)
    trials = TrialEngine(make_engine(family, config.tasks, 1, threads=threads), config.episodes)
    spaces = trials.observation_space, trials.action_space
    tasks = family.split("train").sample(config.tasks, 0)
    return Rl2(config, *spaces, threads=threads), trials, tasks


def _iteration(
    algorithm: Rl2, env: TrialEngine, tasks: dict[str, np.ndarray]
) -> Callable[[], Clock]:
    """A whole iteration, and how much of it is sampling and how much the update."""
    state = algorithm.init(0)

    def run() -> Clock:
        _, metrics = algorithm.iteration(state, env, tasks, lambda k: rng(0, k))
        return Clock({part: metrics[f"time/{part}"] for part in ("sampling", "update")})

    return run


def _sampling(
    algorithm: Rl2, env: TrialEngine, tasks: dict[str, np.ndarray]
) -> Callable[[], Trials]:
    learner = algorithm.learner(algorithm.init(0))
    scaling, device = algorithm.scaling, algorithm.device
    return lambda: collect_trials(learner, env, tasks, rng(0, 0), scaling=scaling, device=device)


def _bare(config: Rl2Config, algorithm: Rl2, steps: int) -> Callable[[], None]:
    """Epochs of minibatches, each divided among the threads, of torch's GRU alone."""
    view = sum(algorithm.policy.view.parts)
    gru = torch.nn.GRU(view, config.hidden)
    x = torch.randn(steps, config.tasks, view, generator=torch.Generator().manual_seed(0))
    weights = list(gru.parameters())

    def differentiate(part: torch.Tensor) -> None:
        torch.autograd.grad(gru(part)[0].sum(), weights)

    def run() -> None:
        for _ in range(config.epochs):
            for minibatch in x.tensor_split(config.minibatches, 1):
                shards = torch.split(minibatch, algorithm.ppo.shard, 1)
                algorithm.ppo.workers.map(differentiate, [s.contiguous() for s in shards])

    return run

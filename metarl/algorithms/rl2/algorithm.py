"""RL²: a recurrent agent that learns a task inside its hidden state.

Duan et al. 2016 (arXiv 1611.02779), trained with PPO (arXiv 1707.06347) over whole trials.
docs/rl2.md maps every equation to its line and explains every metric. Tensors are time-major,
`[step of the trial, trial, …]` = S, N.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from metarl.algorithms.rl2.config import Rl2Config
from metarl.algorithms.rl2.learner import Rl2Learner
from metarl.algorithms.rl2.state import Rl2State
from metarl.core.mapping import Workers
from metarl.core.one_thread import one_thread
from metarl.core.params import map_params
from metarl.core.precision import products
from metarl.rl import normalizer
from metarl.rl.baseline import explained_variance
from metarl.rl.cells import Cell, make_cell
from metarl.rl.data import BatchedEnv, Tasks
from metarl.rl.evaluate import SUCCESS
from metarl.rl.policy import choices_of, log_prob
from metarl.rl.ppo import PpoBatch, without_padding
from metarl.rl.ppo_update import TrialPpo
from metarl.rl.recurrent import Embeddings, RecurrentPolicy, View
from metarl.rl.returns import normalize_advantages
from metarl.rl.rollout import ActionScaling
from metarl.rl.transformer import Transformer
from metarl.rl.trials import (
    Trials,
    collect_trials,
    forward_returns,
    returns_by_episode,
    steps_left,
    success_by_episode,
    trial_advantages,
)

_REWARD_CLIP = 10.0  # standard deviations


class Rl2:
    """Meta-trains a recurrent policy; what training changes lives in the `Rl2State`."""

    def __init__(
        self,
        config: Rl2Config,
        observation_space: gymnasium.spaces.Space[Any],
        action_space: gymnasium.spaces.Space[Any],
        *,
        device: str | torch.device = "cpu",
        threads: int = 1,
    ) -> None:
        """Make the algorithm for trials of these spaces.

        Args:
            config: hyper-parameters.
            observation_space: of a trial: `[observation | action | reward | done]`.
            action_space: of one environment, a flat `Box`, a `Discrete` or a `MultiDiscrete`
                from 0.
            device: where the tensors live.
            threads: worker threads of the update on a CPU; they never change a result.

        Raises:
            ValueError: a space that does not fit.
        """
        discrete = not isinstance(action_space, gymnasium.spaces.Box)
        if config.prediction_weight and not discrete:
            raise ValueError(
                f"--prediction-weight needs discrete actions, got {action_space}; leave it at 0"
            )
        self.config = config
        self.device = torch.device(device)
        self.policy = RecurrentPolicy(
            View.of(observation_space, action_space),
            discrete,
            _cell(config),
            Embeddings(*config.embeddings),
            config.head,
            config.activation,
            config.separate_critic,
            config.initial_std,
            config.min_std,
            config.transitions,
            config.prediction_weight > 0,
            choices_of(action_space),
        )
        self.scaling = ActionScaling.of(action_space, config.action_scale)
        self.ppo = TrialPpo(config, self.policy, self.device, Workers(threads))

    @one_thread()
    def init(self, seed: int) -> Rl2State:
        """Fresh parameters; the same seed gives the same bits."""
        c = self.config
        params = self.policy.init(torch.Generator().manual_seed(seed))
        state = Rl2State(
            params,
            map_params(torch.zeros_like, params),
            map_params(torch.zeros_like, params),
            {"adam": torch.zeros(()), "iterations": torch.zeros((), dtype=torch.float64)},
            normalizer.fresh(1) if c.normalize_rewards else {},
            normalizer.fresh(self.policy.view.obs) if c.normalize_observations else {},
        )
        return Rl2State.from_tensors({k: p.to(self.device) for k, p in state.tensors().items()})

    def learner(self, state: Rl2State) -> Rl2Learner:
        """The agent of a state, for sampling, evaluation and use."""
        return Rl2Learner(self, state)

    @one_thread()
    def iteration(
        self,
        state: Rl2State,
        env: BatchedEnv,
        tasks: Tasks,
        rng_for: Callable[[int], np.random.Generator],
    ) -> tuple[Rl2State, dict[str, float]]:
        """One meta-iteration: a trial of every task, then PPO over whole trials.

        Args:
            state: before it.
            env: trials of T tasks × E.
            tasks: the iteration's tasks, each parameter `[T, …]`.
            rng_for: the generator of the rollouts (0) and of the minibatches (1).

        Returns:
            The next state and the metrics.

        Raises:
            NonFiniteError: the environment returned a value that is not finite.
        """
        started = time.perf_counter()
        trials = collect_trials(
            self.learner(state),
            env,
            tasks,
            rng_for(0),
            scaling=self.scaling,
            device=self.device,
            bootstrap=self.config.bootstrap_at_end,
        )
        sampled = time.perf_counter()
        batch, state, explained = self.batch(trials, state, env.horizon)
        with products(self.config.precision):
            state, ppo = self.ppo.update(state, batch, rng_for(1))
        elapsed = time.perf_counter() - started
        steps = float(trials.mask.sum())
        returns = returns_by_episode(
            trials.reward, trials.mask, trials.episode, self.config.episodes
        )
        metrics = {
            **{f"return/episode_{k + 1}": float(row.mean()) for k, row in enumerate(returns)},
            **ppo,
            "ppo/explained_variance": explained,
            "time/sampling": sampled - started,
            "time/update": elapsed - (sampled - started),
            "time/env_steps_per_second": steps / elapsed,
        }
        if SUCCESS in trials.metrics:
            for k, row in enumerate(success_by_episode(trials, self.config.episodes)):
                metrics[f"success/episode_{k + 1}"] = float(row.float().mean())
        if "log_std" in state.params:
            metrics["policy/std"] = float(state.params["log_std"].exp().mean())
        return state, metrics

    @one_thread()
    def batch(
        self, trials: Trials, state: Rl2State, horizon: int
    ) -> tuple[PpoBatch, Rl2State, float]:
        """Advantages and targets, the new statistics, and the critic's explained variance.

        Args:
            trials: of `horizon` steps at most, with the critic's outputs as values.
            state: whose statistics go on.
            horizon: K · H.
        """
        c, mask = self.config, trials.mask
        unit = self._value_unit(horizon)[: len(mask)]
        trials = trials._replace(
            value=trials.value * unit, final_value=trials.final_value * unit[-1]
        )
        reward, rewards, observed = trials.reward, state.rewards, state.normalizer
        if rewards:
            returns = forward_returns(reward, mask, c.discount)
            rewards = normalizer.updated(rewards, returns.unsqueeze(-1), mask)
            scale = (rewards["var"] + 1e-8).rsqrt().to(reward.dtype)
            reward = (reward * scale).clamp(-_REWARD_CLIP, _REWARD_CLIP)
        advantage = trial_advantages(trials, reward, discount=c.discount, lam=c.gae_lambda)
        target = torch.where(mask, advantage + trials.value, 0.0)
        explained = explained_variance(trials.value.T, target.T, mask.T.unsqueeze(0)).mean()
        batch = PpoBatch(
            views=self.shown(state, trials.views),
            action=trials.action,
            log_prob=log_prob(trials.dist, trials.action),
            advantage=_standardized(advantage, mask),
            target=target / unit,
            reward=_standardized(trials.reward, mask),
            mask=mask,
        )
        if observed:
            observed = normalizer.updated(observed, trials.views[..., : self.policy.view.obs], mask)
        state = state._replace(rewards=rewards, normalizer=observed)
        return without_padding(batch), state, float(explained)

    def _value_unit(self, horizon: int) -> Tensor:
        """Return what the critic's outputs are multiples of at each step, `[horizon, 1]`."""
        c = self.config
        if not c.value_per_step:
            return torch.ones(horizon, 1, device=self.device)
        left = steps_left(horizon, c.discount, endless=c.bootstrap_at_end)
        return left.to(self.device).unsqueeze(-1)

    def shown(self, state: Rl2State, views: Tensor) -> Tensor:
        """Views `[…, D]` as the policy sees them: with normalised observations, or as they are."""
        if not state.normalizer:
            return views
        obs = self.policy.view.obs
        seen = normalizer.normalized(views[..., :obs], state.normalizer)
        return torch.cat([seen, views[..., obs:]], -1)


def _cell(config: Rl2Config) -> Cell:
    """Make the cell that remembers."""
    if config.policy == "transformer":
        return Transformer(config.hidden, config.layers, config.heads, config.context)
    return make_cell(config.cell, config.hidden, layer_norm=config.layer_norm)


def _standardized(x: Tensor, mask: Tensor) -> Tensor:
    """(x − mean) / std over all real steps."""
    return normalize_advantages(x.unsqueeze(0), mask.unsqueeze(0)).squeeze(0)

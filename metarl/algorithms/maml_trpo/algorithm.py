"""MAML-TRPO: learn initial weights from which a few policy-gradient steps solve a new task.

Finn, Abbeel and Levine 2017 (arXiv 1703.03400), algorithm 3, with the trust-region outer step of
TRPO (arXiv 1502.05477). docs/maml_trpo.md maps every equation to its line and explains every
metric. Axes are `[task, episode, step, …]` = T, E, H throughout.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.maml_trpo.learner import Adapting, MamlLearner
from metarl.algorithms.maml_trpo.multi_step import MultiStepObjective
from metarl.algorithms.maml_trpo.objective import Losses, MetaObjective, Setting
from metarl.algorithms.maml_trpo.state import MetaState
from metarl.core.adapt import inner_rates, step_shares
from metarl.core.mapping import Workers
from metarl.core.one_thread import one_thread
from metarl.core.params import map_params
from metarl.core.precision import products
from metarl.core.trust_region import Candidate, conjugate_gradient, line_search
from metarl.rl import normalizer
from metarl.rl.advantages import policy_batch
from metarl.rl.data import BatchedEnv, Episodes, PolicyBatch, Tasks
from metarl.rl.evaluate import episode_returns, episode_success, tells_success
from metarl.rl.losses import INNER_LOSSES, mean_kl, surrogate
from metarl.rl.policy import Policy, make_policy
from metarl.rl.returns import normalize_advantages
from metarl.rl.rollout import ActionScaling, rollout

Objective = MetaObjective | MultiStepObjective


class MamlTrpo:
    """Meta-trains a policy; what training changes lives in the `MetaState` passed in and out."""

    def __init__(
        self,
        config: MamlTrpoConfig,
        observation_space: gymnasium.spaces.Space[Any],
        action_space: gymnasium.spaces.Space[Any],
        *,
        device: str | torch.device = "cpu",
        threads: int = 1,
        compiled: bool = False,
    ) -> None:
        """Make the algorithm for environments of these spaces.

        Args:
            config: hyper-parameters.
            observation_space: of one environment, a flat `Box`.
            action_space: of one environment, a `Box`, a `Discrete` or a `MultiDiscrete`.
            device: where the tensors live.
            threads: worker threads of rollouts and of the update on a CPU.
            compiled: compile Fisher product and line search (faster after some seconds, once).
        """
        self.config = config
        self.device = torch.device(device)
        self._policy = make_policy(
            observation_space,
            action_space,
            hidden=config.hidden,
            activation=config.activation,
            initial_std=config.initial_std,
            min_std=config.min_std,
            output_gain=config.output_gain,
        )
        self._obs_dim = int(np.prod(observation_space.shape or (0,)))
        self.scaling = ActionScaling.of(action_space, config.action_scale)
        self.workers = Workers(threads)
        self.stacked = self.device.type == "cuda"
        self.losses = Losses(
            inner=INNER_LOSSES[config.inner_loss](self._policy),
            outputs=lambda params, batch: self._policy.distribution(params, batch.obs),
            surrogate=surrogate,
            kl=mean_kl,
        )
        setting = Setting(
            self.losses,
            first_order=config.first_order,
            learn_rates=config.learn_inner_lr,
            stacked=self.stacked,
        )
        self._setting = setting.traced(compiled=True) if compiled else setting

    @one_thread()
    def init(self, seed: int) -> MetaState:
        """Fresh meta-parameters; the same seed gives the same bits."""
        generator = torch.Generator().manual_seed(seed)
        theta = map_params(lambda p: p.to(self.device), self._policy.init(generator))
        rates = inner_rates(theta, self.config.inner_lr)
        if self.config.learn_inner_lr:
            rates = map_params(lambda a, p: a.expand_as(p).clone(), rates, theta)
        statistics = normalizer.fresh(self._obs_dim) if self.config.normalize_observations else {}
        statistics = map_params(lambda p: p.to(self.device), statistics)
        counted = self.config.counts
        counters = {"iterations": torch.zeros((), dtype=torch.float64)} if counted else {}
        return MetaState.from_tensors(MetaState(theta, rates, statistics, counters).tensors())

    def policy(self, state: MetaState) -> Policy:
        """The policy as a function of φ, with the observation statistics of `state`."""
        if not state.normalizer:
            return self._policy
        return normalizer.NormalizedPolicy(self._policy, state.normalizer)

    @one_thread()
    def batch(self, state: MetaState, episodes: Episodes) -> tuple[PolicyBatch, Tensor]:
        """Return what the losses learn from, with the observations that the policy sees.

        Returns:
            The batch `[T, E, H, …]`, and the baseline's explained variance `[T]`.
        """
        batch, explained = policy_batch(episodes, self.config.returns)
        obs = normalizer.normalized(batch.obs, state.normalizer)
        return batch._replace(obs=obs), explained

    def objective(self, state: MetaState, num_tasks: int) -> Objective:
        """The outer problem at `state`, still without data."""
        problem = state, num_tasks, self._setting, self.workers
        if self.config.multi_step_loss:
            c = self.config
            shares = step_shares(c.inner_steps, state.iterations, c.multi_step_iterations)
            return MultiStepObjective(*problem, shares)
        return MetaObjective(*problem)

    def inner(self, batch: PolicyBatch, step: int) -> PolicyBatch:
        """Return what the inner loss learns from in a step, counted from 0.

        Where few steps have large advantages, as those that reach a goal, standardising makes all
        others small: a clip gives those back their weight.

        The losses are linear in the advantages: a step of α f on one is a step of α on f times it.
        """
        advantage, clip = batch.advantage, self.config.inner_advantage_clip
        if clip:
            advantage = normalize_advantages(advantage.clamp(-clip, clip), batch.mask)
        return batch._replace(advantage=self.config.step_factor(step) * advantage)

    @one_thread()
    def iteration(
        self,
        state: MetaState,
        env: BatchedEnv,
        tasks: Tasks,
        rng_for: Callable[[int], np.random.Generator],
    ) -> tuple[MetaState, dict[str, float]]:
        """One meta-iteration: sample, adapt, sample again, and step θ within the trust region.

        Args:
            state: θ and α.
            env: T tasks × E episodes.
            tasks: the iteration's tasks, each parameter `[T, …]`.
            rng_for: the generator of the k-th sampling phase.

        Returns:
            The next state (with the same θ and α where no step was accepted) and the metrics.

        Raises:
            NonFiniteError: the environment returned a value that is not finite.
        """
        started = time.perf_counter()
        objective = self.objective(state, env.num_tasks)
        learner = self.learner(state)
        adapted = learner.start(env.num_tasks)
        sampling = 0.0
        told: dict[str, list[Tensor]] = {
            name: [] for name in ("return", "success", "explained", "steps", "norm")
        }
        tells = False
        statistics = state.normalizer
        for k in range(self.config.inner_steps + 1):
            phase = time.perf_counter()
            episodes, _ = rollout(
                learner,
                adapted,
                env,
                tasks,
                rng_for(k),
                scaling=self.scaling,
                device=self.device,
                workers=self.workers,
            )
            sampling += time.perf_counter() - phase
            batch, explained_variance = self.batch(state, episodes)
            told["return"].append(episode_returns(episodes).mean())
            told["success"].append(episode_success(episodes).float().mean())
            tells = tells or tells_success(episodes)
            told["explained"].append(explained_variance.mean())
            told["steps"].append(episodes.mask.sum())
            if statistics:
                statistics = normalizer.updated(statistics, episodes.obs, episodes.mask)
            objective.set_outer(batch)
            if k < self.config.inner_steps:
                with products(self.config.precision):
                    adapted = Adapting(objective.inner_step(self.inner(batch, k)), k + 1)
                # the batch has the step's factor on α
                told["norm"].append(objective.inner_gradient_norm() / self.config.step_factor(k))
        with products(self.config.precision):
            state, outer = self.outer_step(state, objective)
        if statistics:
            state = state._replace(normalizer=statistics)
        if state.counters:
            state = state._replace(counters=map_params(lambda n: n + 1, state.counters))
        returns, success, explained, steps, norms = read(told)
        elapsed = time.perf_counter() - started
        metrics = {
            "return/before": returns[0],
            "return/after": returns[-1],
            "return/gain": returns[-1] - returns[0],
            **outer,
            "inner/grad_norm": float(np.mean(norms)) if norms else 0.0,
            "baseline/explained_variance": float(np.mean(explained)),
            "time/sampling": sampling,
            "time/update": elapsed - sampling,
            "time/env_steps_per_second": sum(steps) / elapsed,
        }
        if tells:
            metrics |= {"success/before": success[0], "success/after": success[-1]}
        if "log_std" in state.theta:
            metrics["policy/std"] = float(state.theta["log_std"].exp().mean())
        return state, metrics

    @one_thread()
    def outer_step(
        self, state: MetaState, objective: Objective
    ) -> tuple[MetaState, dict[str, float]]:
        """TRPO on θ ↦ surrogate(adapt(θ)): natural gradient, then a backtracking line search."""
        c, max_kl = self.config, self.config.kl_bound(state.iterations)
        theta = objective.vector()
        loss, gradient = objective.start()
        solution = conjugate_gradient(
            lambda v: objective.fisher(v) + c.cg_damping * v,
            -gradient,
            iterations=c.cg_iterations,
            stops=self.device.type == "cpu",
        )
        # sᵀFs = 2 max_kl: the longest step s ∝ F⁻¹(−g) on the boundary of the trust region
        curvature = torch.dot(solution.x, solution.product)
        step = torch.sqrt(2 * max_kl / curvature) * solution.x
        finite = bool(torch.isfinite(step).all()) and bool(curvature > 0)
        zero = not bool(gradient.any())  # it has no direction, which is not finite either
        search = line_search(
            theta,
            step,
            objective.evaluate,
            Candidate(loss, 0.0),
            max_kl=max_kl,
            steps=c.line_search_steps if finite else 0,
            decay=c.line_search_decay,
        )
        metrics = {
            "outer/kl": search.found.kl,
            "outer/surrogate_gain": loss - search.found.surrogate,
            "outer/backtracks": float(search.backtracks),
            "outer/accepted": float(search.accepted),
            "outer/cg_residual": float(solution.residual),
            "outer/zero_gradient": float(zero),
            "outer/non_finite": float(not finite and not zero),
        }
        return (objective.state(search.vector) if search.accepted else state), metrics

    def learner(self, state: MetaState) -> MamlLearner:
        """The agent that adapts from `state`, for sampling, evaluation and use."""
        return MamlLearner(self, state)


def read(columns: dict[str, list[Tensor]]) -> list[list[float]]:
    """The values of scalars by column; a GPU is waited for once."""
    scalars = [x.double() for column in columns.values() for x in column]
    values = iter(torch.stack(scalars).tolist())
    return [[next(values) for _ in column] for column in columns.values()]

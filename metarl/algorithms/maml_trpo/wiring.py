"""MAML-TRPO for families, environments and users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from torch import Tensor

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.maml_trpo.presets import MAML_TRPO
from metarl.algorithms.maml_trpo.state import MetaState
from metarl.algorithms.presets import Overrides
from metarl.experiment.seeding import Phase, rng
from metarl.metaworld import MetaWorldAgent
from metarl.protocols import EvalOptions, MakeEngine
from metarl.rl.data import BatchedEnv
from metarl.rl.evaluate import Outcome, Point, adaptation_curve, summarize
from metarl.rl.one_env import OneEnv, join
from metarl.rl.predict import AdaptedPolicy
from metarl.rl.rollout import rollout
from metarl.tasks import TaskFamily

EPISODES, EVAL_UPDATES = 20, 3


class MamlTrpoMethod:
    """Adapts by gradient steps, each on some episodes."""

    config = MamlTrpoConfig
    presets: Mapping[str, Mapping[str, Overrides]] = MAML_TRPO
    compiles = True

    def build(
        self,
        config: MamlTrpoConfig,
        family: TaskFamily,
        *,
        device: str,
        threads: int,
        compiled: bool,
    ) -> MamlTrpo:
        """The algorithm for a family."""
        spaces = family.observation_space, family.action_space
        return MamlTrpo(config, *spaces, device=device, threads=threads, compiled=compiled)

    def make_env(self, config: MamlTrpoConfig, make: MakeEngine) -> BatchedEnv:
        """T tasks × E episodes."""
        return make(config.tasks, config.episodes)

    def restore(self, tensors: dict[str, Tensor]) -> MetaState:
        """The state that a checkpoint holds."""
        return MetaState.from_tensors(tensors)

    def adapt(
        self,
        algorithm: MamlTrpo,
        state: MetaState,
        family: TaskFamily,
        env: gymnasium.Env[Any, Any],
        *,
        episodes: int | None,
        updates: int | None,
        seed: int,
    ) -> AdaptedPolicy:
        """One update (by default) on 20 episodes each (by default)."""
        episodes = EPISODES if episodes is None else episodes
        updates = 1 if updates is None else updates
        if episodes < 1 or updates < 0:
            raise ValueError(
                f"adapt needs episodes >= 1 and updates >= 0, got {episodes} and {updates}"
            )
        learner = algorithm.learner(state)
        one = OneEnv(env, family.horizon)
        adapted = learner.start(1)
        scaling, device = algorithm.scaling, algorithm.device
        for k in range(updates):
            collected = [
                rollout(learner, adapted, one, {}, noise, scaling=scaling, device=device)[0]
                for noise in (rng(seed, Phase.ADAPT, k, e) for e in range(episodes))
            ]
            adapted = learner.adapt(adapted, join(collected))
        return AdaptedPolicy(
            algorithm.policy(state),
            adapted.phi,
            rng(seed, Phase.ACT),
            observation_space=family.observation_space,
            action_space=family.action_space,
            scaling=scaling,
        )

    def metaworld(
        self,
        algorithm: MamlTrpo,
        state: MetaState,
        family: TaskFamily,
        *,
        seed: int,
        deterministic: bool,
    ) -> MetaWorldAgent:
        """Adapts by gradient steps."""
        if algorithm.config.bootstrap_at_horizon:
            raise ValueError(
                "Meta-World's evaluation does not show the observation at the horizon, which "
                "--bootstrap-at-horizon needs"
            )
        return MetaWorldAgent(
            algorithm.learner(state),
            family,
            rng(seed, Phase.ACT),
            scaling=algorithm.scaling,
            device=algorithm.device,
            remembers=False,
            deterministic=deterministic,
        )

    def measures(
        self,
        config: MamlTrpoConfig,
        family: TaskFamily,
        *,
        updates: int | None,
        episodes: int | None,
    ) -> dict[str, int]:
        """Episodes per update, 20 by default."""
        if updates is not None and updates < 0:
            raise ValueError(f"updates must be at least 0, got {updates}")
        return {"episodes_per_update": EPISODES if episodes is None else episodes}

    def outcome(
        self, algorithm: MamlTrpo, state: MetaState, make: MakeEngine, options: EvalOptions
    ) -> Outcome:
        """Return and success after 0 … 3 updates (by default) of 20 episodes each (by default)."""
        updates = EVAL_UPDATES if options.updates is None else options.updates
        episodes = EPISODES if options.episodes is None else options.episodes
        if updates < 0:
            raise ValueError(f"updates must be at least 0, got {updates}")
        env = make(options.num_tasks, episodes)
        try:
            return adaptation_curve(
                algorithm.learner(state),
                env,
                options.tasks,
                updates=updates,
                rng_for=lambda k: rng(options.seed, Phase.EVAL_ROLLOUT, k),
                scaling=algorithm.scaling,
                device=algorithm.device,
                workers=algorithm.workers,
            )
        finally:
            env.close()

    def points(self, values: np.ndarray) -> list[Point]:
        """Mean and interval after every update."""
        return [*summarize(values)]

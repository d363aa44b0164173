"""RL² for families, environments and users: episodes become trials here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from torch import Tensor

from metarl.algorithms.presets import Overrides
from metarl.algorithms.rl2.algorithm import Rl2
from metarl.algorithms.rl2.config import Rl2Config
from metarl.algorithms.rl2.presets import RL2
from metarl.algorithms.rl2.state import Rl2State
from metarl.experiment.seeding import Phase, rng
from metarl.metaworld import MetaWorldAgent
from metarl.protocols import EvalOptions, MakeEngine
from metarl.rl.data import BatchedEnv
from metarl.rl.evaluate import Outcome, Point, summarize_episodes, trial_outcome
from metarl.rl.one_env import OneEnv
from metarl.rl.predict_memory import AdaptedMemory
from metarl.rl.rollout import rollout
from metarl.rl.transformer import require_context
from metarl.tasks import TaskFamily
from metarl.tasks.protocols import EngineLike
from metarl.tasks.trial import TrialEngine, TrialEnv
from metarl.tasks.views import History, action_size, trial_space

_CHUNK = 4096  # tasks that are evaluated together


class Rl2Method:
    """Learns a task in its memory, episode by episode."""

    config = Rl2Config
    presets: Mapping[str, Mapping[str, Overrides]] = RL2
    compiles = False

    def build(
        self, config: Rl2Config, family: TaskFamily, *, device: str, threads: int, compiled: bool
    ) -> Rl2:
        """The algorithm for a family."""
        if compiled:
            raise ValueError("rl2 has nothing to compile; use --compile auto or off")
        spaces = _views(family), family.action_space
        return Rl2(config, *spaces, device=device, threads=threads)

    def make_env(self, config: Rl2Config, make: MakeEngine) -> BatchedEnv:
        """One trial of K episodes for each of T tasks."""
        env = make(config.tasks, 1)
        return _trials(config, env, config.episodes, endless=config.bootstrap_at_end)

    def restore(self, tensors: dict[str, Tensor]) -> Rl2State:
        """The state that a checkpoint holds."""
        return Rl2State.from_tensors(tensors)

    def adapt(
        self,
        algorithm: Rl2,
        state: Rl2State,
        family: TaskFamily,
        env: gymnasium.Env[Any, Any],
        *,
        episodes: int | None,
        updates: int | None,
        seed: int,
    ) -> AdaptedMemory:
        """The memory after `episodes`; by default all but the last one of a trial of training."""
        _refuse_updates(updates)
        episodes = algorithm.config.episodes - 1 if episodes is None else episodes
        if episodes < 0:
            raise ValueError(f"adapt needs episodes >= 0 with rl2, got {episodes}")
        learner = algorithm.learner(state)
        memory = learner.start(1)
        size = action_size(family.action_space)
        before = History(np.zeros(size, np.float32), np.zeros(()), np.zeros(()))
        if episodes:
            lived, memory = rollout(
                learner,
                memory,
                _trials(algorithm.config, OneEnv(env, family.horizon), episodes),
                {},
                rng(seed, Phase.ADAPT),
                scaling=algorithm.scaling,
                device=algorithm.device,
            )
            last = lived.final_obs[0, 0, -size - 2 :].cpu().numpy()
            before = History(last[:size], last[size], last[size + 1])
        return AdaptedMemory(
            learner,
            memory,
            rng(seed, Phase.ACT),
            observation_space=_views(family),
            action_space=family.action_space,
            scaling=algorithm.scaling,
            wrap=lambda one: TrialEnv(one, 1, before=before),
        )

    def metaworld(
        self,
        algorithm: Rl2,
        state: Rl2State,
        family: TaskFamily,
        *,
        seed: int,
        deterministic: bool,
    ) -> MetaWorldAgent:
        """Adapts in its memory."""
        return MetaWorldAgent(
            algorithm.learner(state),
            family,
            rng(seed, Phase.ACT),
            scaling=algorithm.scaling,
            device=algorithm.device,
            remembers=True,
            deterministic=deterministic,
        )

    def measures(
        self, config: Rl2Config, family: TaskFamily, *, updates: int | None, episodes: int | None
    ) -> dict[str, int]:
        """Nothing: the curve has a point for every episode of a trial."""
        _refuse_updates(updates)
        if config.policy == "transformer" and episodes is not None:
            require_context(config.context, episodes * family.horizon)
        return {}

    def outcome(
        self, algorithm: Rl2, state: Rl2State, make: MakeEngine, options: EvalOptions
    ) -> Outcome:
        """Return and success in every episode of trials of K, by default as many as in training."""
        _refuse_updates(options.updates)
        episodes = algorithm.config.episodes if options.episodes is None else options.episodes
        learner = algorithm.learner(state)
        parts = []
        for i in range(0, options.num_tasks, _CHUNK):
            tasks = {name: values[i : i + _CHUNK] for name, values in options.tasks.items()}
            count = min(_CHUNK, options.num_tasks - i)
            env = _trials(algorithm.config, make(count, 1), episodes)
            try:
                trials, _ = rollout(
                    learner,
                    learner.start(count),
                    env,
                    tasks,
                    rng(options.seed, Phase.EVAL_ROLLOUT, i // _CHUNK),
                    scaling=algorithm.scaling,
                    device=algorithm.device,
                )
            finally:
                env.close()
            parts.append(trial_outcome(trials, episodes, env.score))
        return Outcome.join(parts)

    def points(self, values: np.ndarray) -> list[Point]:
        """Mean and interval of every episode."""
        return [*summarize_episodes(values)]


def _views(family: TaskFamily) -> gymnasium.spaces.Box:
    return trial_space(family.observation_space, family.action_space)


def _trials(
    config: Rl2Config, env: EngineLike, episodes: int, *, endless: bool = False
) -> TrialEngine:
    """Trials that the policy can remember."""
    trials = TrialEngine(env, episodes, endless=endless)
    if config.policy == "transformer":
        # the value after a trial's end is that of one more step
        require_context(config.context, trials.horizon + int(config.bootstrap_at_end))
    return trials


def _refuse_updates(updates: int | None) -> None:
    if updates is not None:
        raise ValueError(
            f"rl2 learns in its memory and has no updates, got {updates}; "
            "give the number of episodes instead"
        )

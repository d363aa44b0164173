"""A trained agent: from a run folder to actions on a new task. The composition root."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch

import envs
from envs.engines.base import Noise, StepOutput
from envs.family import TaskFamily
from metarl.algorithms.maml_trpo import MamlTrpo
from metarl.algorithms.maml_trpo_config import MamlTrpoConfig
from metarl.algorithms.meta_objective import MetaState
from metarl.core.params import Params
from metarl.experiment import checkpoint
from metarl.experiment.config import from_json
from metarl.experiment.run import read_config
from metarl.experiment.seeding import Phase, rng
from metarl.rl.data import Episodes, Tasks
from metarl.rl.evaluate import CurvePoint, adaptation_curve, summarize
from metarl.rl.policy import mode, sample
from metarl.rl.rollout import rollout


class Parts(NamedTuple):
    """What a run's configuration describes."""

    family: TaskFamily
    algorithm: MamlTrpo


def build(config: dict[str, Any], *, threads: int, device: str) -> Parts:
    """The family and the algorithm of a resolved run configuration.

    Raises:
        ValueError: an unknown family, preset or option; an impossible value.
    """
    described = config["family"]
    family = envs.make_family(described["name"], described["preset"], described["horizon"])
    options = from_json(MamlTrpoConfig, config["algorithm"])
    algorithm = MamlTrpo(
        options, family.observation_space, family.action_space, device=device, threads=threads
    )
    return Parts(family, algorithm)


def load_agent(run_dir: str | Path, *, threads: int = 1, device: str = "cpu") -> Agent:
    """The agent of a run's newest checkpoint that verifies.

    Args:
        run_dir: a run folder, finished or running.
        threads: worker threads of adaptation.
        device: "cpu" or "cuda".

    Raises:
        ValueError: the folder is not a run.
        CheckpointError: it has no valid checkpoint; says what was found.
    """
    folder = Path(run_dir)
    parts = build(read_config(folder), threads=threads, device=device)
    saved = checkpoint.load_latest(folder)
    state = MetaState.from_tensors({k: t.to(device) for k, t in saved.tensors.items()})
    return Agent(parts.family, parts.algorithm, state, saved.iteration)


class Agent:
    """Meta-trained parameters that adapt to a task."""

    def __init__(
        self, family: TaskFamily, algorithm: MamlTrpo, state: MetaState, iteration: int
    ) -> None:
        """See `load_agent`."""
        self.family = family
        self.algorithm = algorithm
        self.state = state
        self.iteration = iteration

    def adapt(
        self,
        env: gymnasium.Env[Any, Any],
        episodes: int = 20,
        *,
        updates: int = 1,
        seed: int = 0,
    ) -> Adapted:
        """Learn the task of `env` from a few episodes.

        Args:
            env: a plain Gymnasium environment of the family; the task that it holds is kept.
            episodes: episodes per update.
            updates: gradient steps, each on fresh episodes; 0 is the unadapted policy.
            seed: of the exploration and of the environment's resets.

        Raises:
            ValueError: the environment's spaces are not the agent's, or a count is impossible.
        """
        self._check(env)
        if episodes < 1 or updates < 0:
            raise ValueError(f"needs episodes >= 1 and updates >= 0, got {episodes}, {updates}")
        learner = self.algorithm.learner(self.state)
        batch = _OneEnvironment(env, self.family.horizon)
        phi = learner.start(1)
        for update in range(updates):
            collected = []
            for episode in range(episodes):
                one, _ = rollout(
                    learner,
                    phi,
                    batch,
                    {},
                    rng(seed, Phase.ADAPT, update, episode),
                    scaling=self.algorithm.scaling,
                    device=self.algorithm.device,
                )
                collected.append(one)
            phi = learner.adapt(phi, _concatenate(collected))
        return Adapted(self, phi, seed)

    def evaluate(
        self,
        *,
        split: str = "test",
        tasks: int = 40,
        updates: int = 3,
        episodes: int = 20,
        seed: int = 0,
        engine: str = "auto",
        threads: int | None = None,
    ) -> list[CurvePoint]:
        """Mean return and 95 % interval over `tasks` tasks of a split after 0 … `updates` updates.

        Raises:
            ValueError: an unknown split or engine, or an impossible count.
        """
        if updates < 0:
            raise ValueError(f"updates must be at least 0, got {updates}")
        drawn = self.family.split(split).sample(tasks, seed)  # type: ignore[arg-type]
        env = envs.make_engine(self.family, tasks, episodes, engine=engine, threads=threads)
        try:
            curve = adaptation_curve(
                self.algorithm.learner(self.state),
                env,
                drawn,
                updates=updates,
                rng_for=lambda k: rng(seed, Phase.EVAL_ROLLOUT, k),
                scaling=self.algorithm.scaling,
                device=self.algorithm.device,
            )
        finally:
            env.close()
        return summarize(curve)

    def _check(self, env: gymnasium.Env[Any, Any]) -> None:
        family = self.family
        for name in ("observation_space", "action_space"):
            mine, theirs = getattr(family, name), getattr(env, name)
            if mine != theirs:
                raise ValueError(
                    f"the agent was trained on {family.name} with the {name} {mine}, "
                    f"but this environment has {theirs}"
                )


class Adapted:
    """A policy that has learnt a task; speaks Stable-Baselines3's `predict` protocol."""

    def __init__(self, agent: Agent, phi: Params, seed: int) -> None:
        """See `Agent.adapt`."""
        self._agent = agent
        self._phi = phi
        self._rng = rng(seed, Phase.ACT)

    def predict(
        self,
        observation: np.ndarray,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """The action for an observation `[O]`, or for a batch of them `[n, O]`.

        Args:
            observation: of the family's environment.
            state: passed through; this policy has no memory.
            episode_start: ignored, for the same reason.
            deterministic: the mode instead of a sample.

        Returns:
            The action `[A]` or `[n, A]` within the action space, and `state`.
        """
        algorithm = self._agent.algorithm
        policy = algorithm.policy(self._agent.state)
        obs = torch.as_tensor(np.asarray(observation), dtype=torch.float32)
        rows = obs.reshape(1, -1, obs.shape[-1]).to(algorithm.device)  # [T = 1, n, O]
        with torch.no_grad():
            dist = policy.distribution(self._phi, rows)
            if deterministic:
                action = mode(dist)
            else:
                noise = policy.noise(self._rng, tuple(rows.shape[:2]))
                action = sample(dist, noise.to(algorithm.device))
        space = self._agent.family.action_space
        scaled = algorithm.scaling(action[0])
        if isinstance(space, gymnasium.spaces.Box):
            scaled = np.clip(scaled, space.low, space.high).astype(space.dtype)
        return (scaled if obs.dim() > 1 else scaled[0]), state


class _OneEnvironment:
    """A Gymnasium environment as a batch of one task and one episode."""

    num_tasks = 1
    num_episodes = 1

    def __init__(self, env: gymnasium.Env[Any, Any], horizon: int) -> None:
        self._env = env
        self.horizon = horizon
        self.observation_space = env.observation_space
        self.action_space = env.action_space

    def draw_noise(self, generator: np.random.Generator) -> Noise:
        """A seed for the reset; the environment draws the rest itself."""
        return Noise(generator.integers(2**31, size=(1, 1)), np.zeros((self.horizon, 1, 1, 0)))

    def reset(self, tasks: Tasks, noise: Any, mask: Any = None) -> Any:
        """Start an episode with the task that the environment holds."""
        obs, _ = self._env.reset(seed=int(noise[0, 0]))
        self._step = 0
        return np.asarray(obs)[None, None]

    def step(self, action: Any, noise: Any) -> StepOutput:
        """One step, clipped to the action space."""
        space, chosen = self.action_space, action[0, 0]
        if isinstance(space, gymnasium.spaces.Box):
            chosen = np.clip(chosen, space.low, space.high).astype(space.dtype)
        obs, reward, terminated, truncated, _ = self._env.step(chosen)
        self._step += 1
        return StepOutput(
            np.asarray(obs)[None, None],
            np.full((1, 1), float(reward)),
            np.full((1, 1), bool(terminated)),
            np.full((1, 1), bool(truncated) or self._step >= self.horizon),
            {},
        )

    def close(self) -> None:
        """The environment is the user's."""


def _concatenate(parts: list[Episodes]) -> Episodes:
    """Episodes collected one after the other, along the episode axis."""

    def joined(field: str) -> Any:
        values = [getattr(part, field) for part in parts]
        if isinstance(values[0], dict):
            return {key: torch.cat([v[key] for v in values], 1) for key in values[0]}
        return torch.cat(values, 1)

    return Episodes(*(joined(field) for field in Episodes._fields))


__all__ = ["Adapted", "Agent", "build", "load_agent"]

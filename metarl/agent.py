"""A trained agent: from a run folder to actions on a new task. The composition root."""

from __future__ import annotations

import json
import shutil
import sysconfig
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import gymnasium
import torch

import envs
from metarl.algorithms.maml_trpo import MamlTrpo
from metarl.algorithms.maml_trpo_config import MamlTrpoConfig
from metarl.algorithms.meta_objective import MetaState
from metarl.experiment import checkpoint
from metarl.experiment.config import from_json
from metarl.experiment.run import CONFIG, read_config
from metarl.experiment.seeding import Phase, rng, sequence
from metarl.rl.adapted import Adapted
from metarl.rl.evaluate import Evaluation, adaptation_curve, summarize
from metarl.rl.one_env import OneEnv, join
from metarl.rl.rollout import rollout

try:
    from envs import TaskFamily, family_from_json, make_engine
except ImportError as error:
    where = envs.__file__ or list(envs.__path__)
    raise ImportError(
        f"metarl needs its own package 'envs', but another one is found before it: {where}; "
        "remove or rename that one, or take its folder from PYTHONPATH"
    ) from error


@dataclass(frozen=True)
class RunConfig:
    """config.json: everything that repeats a run."""

    algo: Literal["maml-trpo"]
    """Name of the algorithm."""
    preset: str
    """Where the defaults of tasks and hyper-parameters came from."""
    seed: int
    """Root of all randomness."""
    engine: str
    """What steps the environments."""
    device: Literal["cpu", "cuda"]
    """Where the policy lives."""
    compiled: bool
    """Whether the Fisher product is compiled, which changes its rounding."""
    eval_every: int
    """Iterations between evaluations; 0 is at the end only."""
    checkpoint_every: int
    """Iterations between checkpoints."""
    family: dict[str, Any]
    """`TaskFamily.to_json()`."""
    algorithm: MamlTrpoConfig
    """Hyper-parameters."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ValueError: names the option, its value and what is allowed.
        """
        sequence(self.seed)
        for name, least in (("eval_every", 0), ("checkpoint_every", 1)):
            if getattr(self, name) < least:
                option = "--" + name.replace("_", "-")
                raise ValueError(f"{option} must be at least {least}, got {getattr(self, name)}")


WORTH_COMPILING = 20
"""Iterations from which on compiling saves more time than it takes."""


class Parts(NamedTuple):
    """What a run's configuration describes."""

    family: TaskFamily
    algorithm: MamlTrpo


def read_run_config(folder: Path) -> RunConfig:
    """The configuration of a run folder.

    Raises:
        ValueError: the folder is not a run, or its config.json has an unknown key (names the
            nearest valid ones), a missing one or an impossible value.
    """
    data = read_config(folder)
    try:
        return from_json(RunConfig, data)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from None


def build(config: RunConfig, *, threads: int, device: str) -> Parts:
    """The family and the algorithm of a run.

    Args:
        config: of the run.
        threads: worker threads of the update, at least 1; they never change a result.
        device: "cpu" or "cuda".

    Raises:
        ValueError: an unknown family or preset, a family that is not what it was when the run
            began, or an impossible value.
    """
    if threads < 1:
        raise ValueError(f"--threads must be at least 1, got {threads}")
    described = config.family
    if missing := {"name", "preset", "horizon"} - set(described):
        raise ValueError(f"{CONFIG}: the family lacks {', '.join(sorted(missing))}")
    family = family_from_json(described)
    if json.loads(json.dumps(family.to_json())) != json.loads(json.dumps(described)):
        raise ValueError(
            f"the family {family.name!r}, preset {family.preset!r}, is now {family.to_json()}, "
            f"but the run describes {described}"
        )
    algorithm = MamlTrpo(
        config.algorithm,
        family.observation_space,
        family.action_space,
        device=resolve_device(device),
        threads=threads,
        compiled=config.compiled,
    )
    return Parts(family, algorithm)


def resolve_device(device: str) -> Literal["cpu", "cuda"]:
    """The device that `auto`, `cpu` or `cuda` means on this machine.

    Raises:
        ValueError: `cuda` where there is none, or an unknown name.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"the device must be auto, cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("the device cuda was asked for, but torch finds no CUDA device; use cpu")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def resolve_compile(mode: str, device: str, iterations: int) -> bool:
    """Whether `auto`, `on` or `off` means to compile: a run that is long enough to gain by it.

    Compiling takes some seconds once and makes the Fisher product 1.7 times as fast.

    Raises:
        ValueError: `on` where compiling is not possible.
    """
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    possible = device == "cpu" and shutil.which("g++") is not None and headers.exists()
    if mode == "on" and not possible:
        raise ValueError(
            "--compile on needs the device cpu, g++ and Python's headers (Debian: g++ and "
            "python3-dev); use --compile off"
        )
    return mode == "on" or (mode == "auto" and possible and iterations >= WORTH_COMPILING)


def load_agent(run_dir: str | Path, *, threads: int = 1, device: str = "cpu") -> Agent:
    """The agent of a run's newest checkpoint that verifies.

    Args:
        run_dir: a run folder, finished or running.
        threads: worker threads of adaptation.
        device: "cpu", "cuda" or "auto"; need not be the one it was trained on.

    Raises:
        ValueError: the folder is not a run.
        CheckpointError: it has no valid checkpoint; says what was found.
    """
    folder = Path(run_dir)
    config = read_run_config(folder)
    parts = build(replace(config, compiled=False), threads=threads, device=device)
    saved = checkpoint.load_latest(folder)
    tensors = {name: t.to(parts.algorithm.device) for name, t in saved.tensors.items()}
    state = MetaState.from_tensors(tensors)
    return Agent(parts, state, saved.iteration, engine=config.engine)


class Agent:
    """Meta-trained parameters that adapt to a task."""

    def __init__(
        self, parts: Parts, state: MetaState, iteration: int, *, engine: str = "auto"
    ) -> None:
        """See `load_agent`.

        Args:
            parts: family and algorithm.
            state: θ and α.
            iteration: meta-iterations that made the state.
            engine: what steps the environments of `evaluate`.
        """
        self.family, self.algorithm = parts
        self.state = state
        self.iteration = iteration
        self.engine = engine

    def adapt(
        self,
        env: gymnasium.Env[Any, Any],
        episodes: int = 20,
        updates: int = 1,
        seed: int = 0,
    ) -> Adapted:
        """Learn the task of `env` from a few episodes.

        Args:
            env: a plain Gymnasium environment of the family; the task that it holds is kept.
            episodes: episodes per update, each on fresh experience with stochastic actions.
            updates: gradient steps; 0 is the policy before adaptation.
            seed: of the exploration and of the environment's resets.

        Returns:
            The adapted policy.

        Raises:
            TypeError: not a Gymnasium environment.
            ValueError: the environment's spaces are not the agent's (names both), or a count is
                impossible.
            NonFiniteError: the environment returned a value that is not finite.
        """
        self._check(env)
        if episodes < 1 or updates < 0:
            raise ValueError(
                f"adapt needs episodes >= 1 and updates >= 0, got {episodes} and {updates}"
            )
        learner = self.algorithm.learner(self.state)
        one = OneEnv(env, self.family.horizon)
        phi = learner.start(1)
        for k in range(updates):
            collected = [
                rollout(
                    learner,
                    phi,
                    one,
                    {},
                    rng(seed, Phase.ADAPT, k, e),
                    scaling=self.algorithm.scaling,
                    device=self.algorithm.device,
                )[0]
                for e in range(episodes)
            ]
            phi = learner.adapt(phi, join(collected))
        return Adapted(
            self.algorithm.policy(self.state),
            phi,
            rng(seed, Phase.ACT),
            observation_space=self.family.observation_space,
            action_space=self.family.action_space,
            scaling=self.algorithm.scaling,
        )

    def evaluate(
        self,
        *,
        split: Literal["train", "test", "ood"] = "test",
        tasks: int = 40,
        updates: int = 3,
        episodes: int = 20,
        seed: int = 0,
        threads: int = 1,
        workers: int = 0,
    ) -> Evaluation:
        """The adaptation curve with stochastic actions: mean return after 0 … `updates` updates.

        Args:
            split: tasks like those of training, held out, or from outside the training range.
            tasks: how many.
            updates: gradient steps at most.
            episodes: episodes per task and update.
            seed: of tasks, environments and actions.
            threads: worker threads of the simulation.
            workers: worker processes of the vector engine.

        Raises:
            ValueError: an unknown split or an impossible count.
            NonFiniteError: the environment returned a value that is not finite.
            EnvironmentFailure: an environment of the vector engine raised, died or hangs.
        """
        if updates < 0:
            raise ValueError(f"updates must be at least 0, got {updates}")
        sequence(seed)  # refuses an impossible one
        drawn = self.family.split(split).sample(tasks, seed)
        env = make_engine(
            self.family, tasks, episodes, engine=self.engine, threads=threads, workers=workers
        )
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
        return summarize(curve, self.family.reference_returns(drawn))

    def _check(self, env: gymnasium.Env[Any, Any]) -> None:
        """Refuse what is not one environment of the family."""
        if not isinstance(env, gymnasium.Env):
            raise TypeError(
                f"adapt needs one Gymnasium environment, got {type(env).__name__}; adapt on one, "
                "then `predict` serves vectorised environments too"
            )
        for name in ("observation_space", "action_space"):
            mine, theirs = getattr(self.family, name), getattr(env, name)
            if mine != theirs:
                raise ValueError(
                    f"the agent was trained on {self.family.name} with the {name} {mine}, "
                    f"but this environment has {theirs}"
                )


__all__ = ["Adapted", "Agent", "Parts", "RunConfig", "build", "load_agent", "read_run_config"]

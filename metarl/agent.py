"""A trained agent: from a run folder to actions on a new task. The composition root."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import gymnasium

from metarl.algorithms.batches import in_batches
from metarl.experiment import checkpoint
from metarl.experiment.memory import enough_memory
from metarl.experiment.seeding import sequence
from metarl.metaworld import MetaWorldAgent
from metarl.plain import OnPlain, fitting
from metarl.protocols import EvalOptions, MakeEngine, Predictor, State
from metarl.rl.data import Tasks
from metarl.rl.evaluate import Evaluation, Outcome, references
from metarl.runs import (
    Built,
    FamilyNotFoundError,
    TaskFamily,
    build,
    engine_maker,
    read_run_config,
    with_family,
)


def load_agent(
    run_dir: str | Path,
    *,
    threads: int = 1,
    device: str = "cpu",
    workers: int = 0,
    family: str | TaskFamily | None = None,
) -> Agent:
    """The agent of a run's newest checkpoint that verifies.

    Args:
        run_dir: a run folder, finished or running.
        threads: worker threads of adaptation.
        device: "cpu", "cuda" or "auto"; need not be the one it was trained on.
        workers: above 0, the family's environment is tried in a worker process.
        family: takes the place of the run's own family, which has moved or was made in Python: the
            family itself, `my_module:my_family` or `path/to/file.py:my_family`.

    Raises:
        ValueError: the folder is not a run, or the family is not the run's.
        FamilyNotFoundError: the family is not where it was, and is found nowhere near.
        CheckpointError: it has no valid checkpoint; says what was found.
    """
    folder = Path(run_dir)
    config, own = replace(read_run_config(folder), compiled=False), None
    if isinstance(family, TaskFamily):
        own = family
    else:
        try:
            config, moved = with_family(config, folder, family)
        except FamilyNotFoundError as error:
            way_out = f'load_agent("{folder}", family="path/to/file.py:my_family") takes another'
            raise FamilyNotFoundError(f"{error}; {way_out}") from None
        if moved and family is None:
            warnings.warn(f"the family of {folder} is taken from {moved} now", stacklevel=2)
    parts = build(config, threads=threads, device=device, workers=workers, family=own)
    saved = checkpoint.load_latest(folder)
    tensors = {name: t.to(parts.algorithm.device) for name, t in saved.tensors.items()}
    state = parts.method.restore(tensors)
    return Agent(parts, state, saved.iteration, engine=config.engine)


class Agent:
    """A meta-trained agent that adapts to a task."""

    def __init__(self, parts: Built, state: State, iteration: int, *, engine: str = "auto") -> None:
        """See `load_agent`.

        Args:
            parts: family, algorithm and how the two meet.
            state: what meta-training made.
            iteration: meta-iterations that made the state.
            engine: what steps the environments of `evaluate`.
        """
        self.family, self.algorithm, self.method = parts
        self.state = state
        self.iteration = iteration
        self.engine = engine

    def adapt(
        self,
        env: gymnasium.Env[Any, Any],
        episodes: int | None = None,
        updates: int | None = None,
        seed: int = 0,
    ) -> Predictor:
        """Learn the task of `env` from a few episodes with stochastic actions.

        Args:
            env: a Gymnasium environment of the family, or as its author made it; the task that it
                holds is kept.
            episodes: MAML-TRPO: per update, each on fresh experience (20). RL²: in all (all but
                the last one of a trial of training).
            updates: MAML-TRPO: gradient steps (1); 0 is the policy before adaptation. RL² has none.
            seed: of the exploration and of the environment's resets.

        Returns:
            The adapted agent: `predict` on observations of `adapted.env(env)`.

        Raises:
            TypeError: not a Gymnasium environment.
            ValueError: the environment's spaces are not the agent's (names both), or a count is
                impossible.
            NonFiniteError: the environment returned a value that is not finite.
        """
        given = fitting(env, self.family)
        adapted = self.method.adapt(
            self.algorithm,
            self.state,
            self.family,
            given,
            episodes=episodes,
            updates=updates,
            seed=seed,
        )
        return adapted if given is env else OnPlain(adapted)

    def evaluate(
        self,
        *,
        split: Literal["train", "test", "ood"] = "test",
        tasks: int = 40,
        updates: int | None = None,
        episodes: int | None = None,
        seed: int = 0,
        threads: int = 1,
        workers: int = 0,
    ) -> Evaluation:
        """The mean return, and the rate of success where the environment tells it, with
        stochastic actions, as the agent learns each task.

        Args:
            split: tasks like those of training, held out, or from outside the training range.
            tasks: how many.
            updates: MAML-TRPO: a point after each of 0 … `updates` gradient steps (3).
            episodes: MAML-TRPO: per task and update (20). RL²: a point for each of 1 … `episodes`
                of a trial (as many as in training).
            seed: of tasks, environments and actions.
            threads: worker threads of the simulation.
            workers: worker processes of the vector engine.

        Raises:
            ValueError: an unknown split, an impossible count, or too little memory.
            NonFiniteError: the environment returned a value that is not finite.
            EnvironmentFailure: an environment of the vector engine raised, died or hangs.
        """
        sequence(seed)  # refuses an impossible one
        options = EvalOptions(
            self.family.split(split).sample(tasks, seed), tasks, updates, episodes, seed
        )
        return self.summary(self.outcome(options, threads=threads, workers=workers), options.tasks)

    def outcome(self, options: EvalOptions, *, threads: int = 1, workers: int = 0) -> Outcome:
        """Return what `evaluate` averages: returns and success per task, `[points, T]` each."""
        episodes = f"{options.episodes} episodes × " if options.episodes else ""
        each = f"{episodes}{self.family.horizon} steps of {self.family.name}"
        with enough_memory(options.num_tasks, each, "Evaluate fewer tasks or episodes at a time"):
            return self._outcome(options, threads, workers)

    def _outcome(self, options: EvalOptions, threads: int, workers: int) -> Outcome:
        make = engine_maker(self.family, self.engine, threads, workers, self.algorithm.device.type)

        def batch(algorithm: Any, make: MakeEngine, part: EvalOptions) -> Outcome:
            return self.method.outcome(algorithm, self.state, make, part)

        if "vector" not in (self.engine, self.family.definition.engine):
            return batch(self.algorithm, make, options)
        # somebody's environments may be large: no more of their tasks at once than in training
        size = min(self.algorithm.config.tasks, options.num_tasks)
        parts = in_batches(batch, self.algorithm, make, options, size)
        joined = Outcome.join(parts)
        return Outcome(*(values[:, : options.num_tasks] for values in joined))

    def summary(self, outcome: Outcome, tasks: Tasks) -> Evaluation:
        """Means and intervals over the tasks of an outcome, beside what is known of them."""
        compared = references(self.family.reference_returns(tasks))
        returns, success = map(self.method.points, (outcome.returns, outcome.rates()))
        return Evaluation(returns, compared, success)

    def metaworld(self, *, seed: int = 0, deterministic: bool = False) -> MetaWorldAgent:
        """The agent as `metaworld.evaluation.metalearning_evaluation` wants it.

        Args:
            seed: of stochastic actions.
            deterministic: evaluate with the distribution's mode instead of samples; adaptation
                samples always.

        Raises:
            ValueError: it was trained with --bootstrap-at-horizon, which needs observations that
                the protocol does not show.
        """
        return self.method.metaworld(
            self.algorithm, self.state, self.family, seed=seed, deterministic=deterministic
        )

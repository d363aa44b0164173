"""The training of a reinforcement learner: family, algorithm, environments, and where it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from metarl.agent import Agent
from metarl.experiment import checkpoint
from metarl.experiment.config import to_json
from metarl.experiment.memory import OutOfMemory, enough_memory
from metarl.experiment.seeding import Phase, rng, torch_seed
from metarl.protocols import State
from metarl.rl.evaluate import Evaluation
from metarl.rl.rollout import NonFiniteError
from metarl.runs import RunConfig, build, engine_maker
from metarl.tasks import (
    EnvironmentFailure,
    Tasks,
    UnfitTasks,
    compared,
    guarded,
    repeats,
    repeats_advice,
)
from metarl.training.loop import Metrics
from metarl.training.reporter import Reporter


class Position(NamedTuple):
    """A position says where a run is; no error ever sees half an iteration."""

    iteration: int  # iterations that are complete
    state: State  # after them
    non_finite: int  # updates that were not finite and were left out
    seconds: float  # spent on training, all resumes included
    idle: int = 0  # iterations that changed nothing: no update was finite, or it was zero
    rates: tuple[str, ...] = ()  # of success, by name, once the environment has told of any


class NothingLearned(RuntimeError):
    """All iterations of a run changed nothing."""


class Training:
    """Meta-trains an agent on a family of tasks (a `Trainable`)."""

    failures: tuple[type[Exception], ...] = (
        NonFiniteError,
        EnvironmentFailure,
        OutOfMemory,
        NothingLearned,
    )

    def __init__(self, config: RunConfig, threads: int, workers: int = 0) -> None:
        """Build what `config` describes; nothing is written.

        Raises:
            ValueError: something of it is impossible, or too large for the device's memory.
            EnvironmentFailure: an environment cannot be made.
        """
        torch.set_num_threads(1)  # the workers are the parallelism; more would stall on barriers
        self.config = config
        self.threads = threads
        self.workers = workers
        self.parts = build(config, threads=threads, device=config.device, workers=workers)
        self.family, self.algorithm, self.method = self.parts
        self.measures, self.advice = self._ask()  # before anything is written
        make = engine_maker(self.family, config.engine, threads, workers, config.device)
        with self._enough_memory():
            self.env = self.method.make_env(config.algorithm, make)
            state = self.algorithm.init(torch_seed(config.seed, Phase.INIT))
        self.position = Position(0, state, 0, 0.0)
        self.evaluation: Evaluation | None = None  # the latest one
        self.evaluated_at = -1  # the iterations that were complete then

    def _ask(self) -> tuple[dict[str, int], str]:
        """Draw tasks once as the run will need them: what results.json records of an evaluation's
        size, and what is to be known of its tasks.

        Raises:
            ValueError: there are not so many tasks, or no such evaluation.
        """
        c, family = self.config, self.family
        n = c.algorithm.tasks
        trained = [self._draw(n, 0)]
        if not c.evaluates:
            return {}, ""
        held_out = self._draw(c.eval_tasks)
        many = compared(family, c.algorithm.iterations)
        trained += [self._draw(n, i) for i in range(1, many)]
        size = self.method.measures(
            c.algorithm, family, updates=c.eval_updates, episodes=c.eval_episodes
        )
        advice = repeats_advice(family, held_out, trained)
        found = repeats(held_out, trained)
        repeated = {"different_tasks": found.different, "tasks_of_training": found.trained}
        return {"tasks": c.eval_tasks, **size, **(repeated if advice else {})}, advice

    def _draw(self, n: int, *iteration: int) -> Tasks:
        """The tasks of an iteration, as training draws them, or those held out."""
        option = "--tasks" if iteration else "--eval-tasks"
        sample = self.family.split("train" if iteration else "test").sample

        def draw(n: int) -> Tasks:
            drawing = partial(sample, n, self.config.seed, *iteration)
            return guarded(drawing, f"drawing {n} tasks of {self.family.name}")

        try:
            return draw(n)
        except UnfitTasks:
            raise
        except ValueError as error:
            with suppress(ValueError):
                draw(1)  # if that fails, too, the number is not what it is about
                if n > 1:
                    error = ValueError(f"{error}\nwhere there are fewer, {option} takes fewer")
            raise error from None

    @property
    def iteration(self) -> int:
        """Iterations that are complete."""
        return self.position.iteration

    @property
    def total(self) -> int:
        """Iterations that the run is to have in the end."""
        total: int = self.config.algorithm.iterations
        return total

    def load(self, saved: checkpoint.Checkpoint, results: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Args:
            saved: the checkpoint.
            results: what results.json holds so far, for its latest evaluation; may be empty.

        Raises:
            ValueError: the checkpoint does not fit the configuration.
        """
        tensors = {k: t.to(self.algorithm.device) for k, t in saved.tensors.items()}
        shapes = {k: t.shape for k, t in self.position.state.tensors().items()}
        if shapes != {k: t.shape for k, t in tensors.items()}:
            raise ValueError(f"{saved.path} does not hold the parameters that the run describes")
        state = self.method.restore(tensors)
        counted = saved.state
        self.position = Position(
            saved.iteration,
            state,
            counted["non_finite_updates"],
            counted["seconds"],
            counted.get("idle_iterations", 0),  # older runs did not count them
            tuple(counted.get("success_rates", ())),
        )
        evaluation = results.get("evaluation")
        if evaluation and evaluation["iteration"] <= saved.iteration:
            self.evaluation = Evaluation.from_json(evaluation)
            self.evaluated_at = evaluation["iteration"]

    def save(self, folder: Path) -> None:
        """Write a checkpoint of the iterations that are complete."""
        p = self.position
        state = {
            "non_finite_updates": p.non_finite,
            "seconds": p.seconds,
            "idle_iterations": p.idle,
            "success_rates": list(p.rates),
        }
        checkpoint.save(folder, p.iteration, p.state.tensors(), state)

    def step(self, stopping: Callable[[], bool]) -> Metrics:
        """One meta-iteration on fresh training tasks."""
        started = time.perf_counter()
        i, state, non_finite, seconds, idle, rates = self.position
        seed = self.config.seed
        tasks = self.family.split("train").sample(self.env.num_tasks, seed, i)
        with self._enough_memory():
            state, metrics = self.algorithm.iteration(
                state, self.env, tasks, lambda k: rng(seed, Phase.ROLLOUT, i, k)
            )
        seconds += time.perf_counter() - started
        non_finite += int(sum(v for k, v in metrics.items() if k.endswith("/non_finite")))
        idle += _is_idle(metrics)
        rates = tuple(name for name in metrics if name.startswith("success/")) or rates
        self.position = Position(i + 1, state, non_finite, seconds, idle, rates)
        return dict.fromkeys(rates, 0.0) | metrics  # it may tell of successes alone

    def require_learning(self) -> None:
        """See `Trainable`."""
        done, _, non_finite, _, idle, _ = self.position
        if not 0 < done == idle:
            return
        why = (
            "every gradient was zero, as where all rewards are equal or a task has a single step: "
            "give more --episodes or a longer --horizon, or look at the rewards"
        )
        if non_finite >= done:
            why = "no update was finite, and all were left out: lower the step sizes"
        raise NothingLearned(f"nothing was learned in {done} iterations, for {why}")

    def _enough_memory(self) -> AbstractContextManager[None]:
        """Names the options that decide how much an iteration needs."""
        c, horizon = self.config.algorithm, self.family.horizon
        each = f"{c.episodes} episodes × {horizon} steps of {self.family.name}"
        way_out = "Start a run with fewer --tasks or --episodes"
        if hasattr(c, "minibatches"):
            way_out += " or more --minibatches"
        if self.config.device != "cpu":
            way_out += ", or with --device cpu, which --resume takes too"
        return enough_memory(c.tasks, each, way_out)

    def evaluate(self) -> None:
        """The adaptation curve on held-out tasks; always the same tasks and noise."""
        done, state = self.position.iteration, self.position.state
        agent = Agent(self.parts, state, done, engine=self.config.engine)
        evaluation = agent.evaluate(
            split="test",
            tasks=self.config.eval_tasks,
            updates=self.config.eval_updates,
            episodes=self.config.eval_episodes,
            seed=self.config.seed,
            threads=self.threads,
            workers=self.workers,
        )
        if self.position.rates and not evaluation.success:
            none = [point._replace(mean=0.0, ci95=0.0) for point in evaluation.curve]
            evaluation = evaluation._replace(success=none)
        self.evaluation, self.evaluated_at = evaluation, done

    def scalars(self, prefix: str) -> Metrics:
        """The latest curve as `<prefix>/return_after_<updates>` or `…/return_episode_<k>`, and
        `…/success_…`.
        """
        found = self.evaluation.scalars() if self.evaluation else {}
        return {f"{prefix}/{name}": value for name, value in found.items()}

    def show(self, reporter: Reporter, title: str) -> None:
        """Report the latest evaluation."""
        if self.evaluation:
            reporter.evaluation(self.evaluation, title)

    def results(self, *, finished: bool) -> dict[str, Any]:
        """Return what results.json holds."""
        evaluation = self.evaluation and {
            "split": "test",
            "iteration": self.evaluated_at,
            **self.measures,
            **self.evaluation.to_json(),
        }
        return {
            "algo": self.config.algo,
            "env": self.family.name,
            "preset": self.config.preset,
            "seed": self.config.seed,
            "iterations": self.position.iteration,
            "finished": finished,
            "training_seconds": self.position.seconds,
            "non_finite_updates": self.position.non_finite,
            "evaluation": evaluation,
        }

    def line(self, m: Metrics) -> str:
        """An iteration in words."""
        returns = [m[k] for k in m if k.startswith("return/") and k != "return/gain"]
        shown = " → ".join(f"{r:.2f}" if abs(r) < 10 else f"{r:.1f}" for r in returns)
        success = " → ".join(f"{m[k]:.0%}" for k in m if k.startswith("success/"))
        shown += f"  success {success}" if success else ""
        kl = m["outer/kl"] if "outer/kl" in m else m["ppo/approx_kl"]
        shown += "  no update" if _is_idle(m) else ""
        return f"return {shown}  KL {kl:.4f}  {m['time/env_steps_per_second']:,.0f} steps/s"

    def hparams(self) -> dict[str, Any]:
        """Return what TensorBoard's HPARAMS tab shows of the configuration."""
        config = self.config
        return to_json(config.algorithm) | {
            "algo": config.algo,
            "env": self.family.name,
            "horizon": self.family.horizon,
            "preset": config.preset,
            "seed": config.seed,
        }

    def close(self) -> None:
        """End the environments."""
        self.env.close()


def _is_idle(m: Metrics) -> bool:
    """Say whether an iteration had no update that was finite and not zero."""
    outer = m.get("outer/zero_gradient", 0.0) + m.get("outer/non_finite", 0.0)
    return outer > 0 or m.get("ppo/steps") == 0

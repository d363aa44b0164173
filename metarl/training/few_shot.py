"""The training of a few-shot learner: data, algorithm, and where it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from metarl.experiment import checkpoint
from metarl.experiment.config import to_json
from metarl.experiment.memory import OutOfMemory, enough_memory
from metarl.experiment.seeding import Phase, torch_seed
from metarl.fewshot.agent import FewShotAgent
from metarl.fewshot.comparison import advice
from metarl.fewshot.data.inputs import InputStatistics
from metarl.fewshot.data.task import DrawFailed, Source, monitored
from metarl.fewshot.evaluate import FewShotEvaluation
from metarl.fewshot.learners.imaml import FAR
from metarl.fewshot.run import FewShotRunConfig, build, restore, training_tasks
from metarl.fewshot.training import FewShotState
from metarl.training.loop import Metrics
from metarl.training.reporter import Reporter

CHUNK = 100  # iterations per row of the logs, at most
PATIENCE = 10.0  # seconds per row, at most, but for the last iteration of it


class Diverged(RuntimeError):
    """Not one of the last `CHUNK` updates was finite."""


class FewShotPosition(NamedTuple):
    """A position says where a run is; no error ever sees half an iteration."""

    iteration: int  # iterations that are complete
    state: FewShotState  # after them
    non_finite: int  # updates that were not finite and were left out
    seconds: float  # spent on training, all resumes included
    in_a_row: int = 0  # of those updates, the last ones without a finite one between


class FewShotTraining:
    """Meta-trains a few-shot learner on a source of tasks (a `Trainable`)."""

    failures: tuple[type[Exception], ...] = (Diverged, DrawFailed, OutOfMemory)

    def __init__(self, config: FewShotRunConfig, threads: int, source: Source) -> None:
        """Build what `config` describes, on its data; nothing is written.

        Raises:
            ValueError: something of it is impossible.
        """
        torch.set_num_threads(1)  # the workers are the parallelism; more would stall on barriers
        self.config = config
        self.source = source
        self.parts = build(config, threads=threads)
        state = self.parts.trainer.init(torch_seed(config.seed, Phase.INIT))
        self.position = FewShotPosition(0, state, 0, 0.0)
        self.evaluation: FewShotEvaluation | None = None
        self.evaluated_at = -1
        self.residual: float | None = None  # of iMAML's adaptation, at the latest evaluation
        self.inputs = self._drawn_inputs()

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
        """Go on from a checkpoint; see `Training.load`."""
        state = restore(self.config, self.parts, saved)
        counted = saved.state
        self.position = FewShotPosition(
            saved.iteration, state, counted["non_finite_updates"], counted["seconds"]
        )
        held, _ = InputStatistics.apart(saved.tensors)
        self.inputs = held or self.inputs
        evaluation: Any = results.get("evaluation")
        ended = saved.iteration >= self.total  # then that of the test part alone is what is wanted
        known = evaluation and (not ended or evaluation["request"]["part"] == "test")
        if known and evaluation["iteration"] <= saved.iteration:
            self.evaluation = FewShotEvaluation.from_json(evaluation)
            self.evaluated_at = evaluation["iteration"]

    def save(self, folder: Path) -> None:
        """Write a checkpoint of the iterations that are complete."""
        p = self.position
        state = {
            "non_finite_updates": p.non_finite, "seconds": p.seconds,
            "protocol": self.config.protocol,
        }  # fmt: skip
        tensors = p.state.tensors() | self.inputs.tensors()
        checkpoint.save(folder, p.iteration, tensors, state, keep=3)

    def step(self, stopping: Callable[[], bool]) -> Metrics:
        """Iterations up to the next row, evaluation or checkpoint; the means of their metrics.

        Raises:
            Diverged: all of the last `CHUNK` updates were left out, or all of a shorter run.
            OutOfMemory: an iteration does not fit.
        """
        started = time.perf_counter()
        c, trainer = self.config.algorithm, self.parts.trainer
        p, rows = self.position, []
        i, state, non_finite, _, in_a_row = p
        generator = torch.Generator(trainer.device)
        for k in range(i, self._due(i)):
            generator.manual_seed(torch_seed(self.config.seed, Phase.ROLLOUT, k))
            with enough_memory(c.tasks, "their examples", "Start a run with fewer --tasks"):
                tasks = training_tasks(self.parts, c, self.source, generator)
                state, metrics = trainer.iteration(state, *tasks)
            rows.append(metrics)
            left_out = int(float(metrics["outer/non_finite"]))
            non_finite, in_a_row = non_finite + left_out, (in_a_row + left_out) * left_out
            elapsed = time.perf_counter() - started
            if elapsed > PATIENCE or stopping() or in_a_row >= CHUNK:
                break
        done = i + len(rows)
        self.position = FewShotPosition(done, state, non_finite, p.seconds + elapsed, in_a_row)
        if in_a_row >= CHUNK or done == non_finite == self.total:
            raise Diverged(
                f"none of the last {in_a_row} updates was finite, and all were left out: lower "
                "the step sizes, or clip or normalise what grows"
            )
        means = {name: sum(float(row[name]) for row in rows) / len(rows) for name in rows[0]}
        return means | {"time/iterations_per_second": len(rows) / elapsed}

    def require_learning(self) -> None:
        """`step` does already, where no update is finite."""

    def _due(self, i: int) -> int:
        """The next iteration after i that ends a row of the logs."""
        every = (CHUNK, self.config.eval_every, self.config.checkpoint_every)
        return min(self.total, *((i // n + 1) * n for n in every if n))

    def line(self, m: Metrics) -> str:
        """Some iterations in words."""
        lost = self.position.non_finite
        warning = f"  {lost} updates left out, for they were not finite" if lost else ""
        speed = m["time/iterations_per_second"]
        return f"loss {m['outer/loss']:.4f}  {speed:,.1f} iterations/s{warning}"

    def _drawn_inputs(self) -> InputStatistics:
        """Statistics of training tasks, before the first iteration: a checkpoint draws no task.

        Raises:
            ValueError: no task can be drawn.
        """
        c = self.config.algorithm
        generator = torch.Generator(self.parts.trainer.device)
        generator.manual_seed(torch_seed(self.config.seed, Phase.INIT))
        try:
            return InputStatistics.drawn(self.source, c.shots, c.queries, generator)
        except DrawFailed as error:
            raise ValueError(str(error)) from None

    def agent(self) -> FewShotAgent:
        """Return what has been learned so far."""
        return FewShotAgent(self.parts, self.config, self.position.state, self.source, self.inputs)

    def evaluate(self) -> None:
        """On held-out tasks, always the same ones of validation while the training goes on; at its
        end on those of test, beside scikit-learn's learners.
        """
        agent, config = self.agent(), self.config
        ended = self.iteration >= self.total
        part = "test" if ended else monitored(self.source)
        evaluation = agent.evaluate(part=part, tasks=config.eval_tasks, seed=config.seed)
        if ended:
            evaluation = agent.compare(evaluation)
        self.residual = agent.inner_residual()
        self.evaluation, self.evaluated_at = evaluation, self.position.iteration

    def scalars(self, prefix: str) -> Metrics:
        """The latest evaluation as `<prefix>/<metric>_after_<steps>` or `<prefix>/<metric>`."""
        if not self.evaluation:
            return {}
        metric = self.evaluation.metric.replace(" ", "_")
        found = {
            f"{prefix}/{metric}" + ("" if p.steps is None else f"_after_{p.steps}"): p.mean
            for p in self.evaluation.points
        }
        if self.residual is not None:
            found[f"{prefix}/inner_residual"] = self.residual
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def show(self, reporter: Reporter, title: str) -> None:
        """Report the latest evaluation."""
        if self.evaluation:
            part = self.evaluation.request.part
            reporter.evaluation(self.evaluation, f"{title}, {part} part")
            if worse := advice(self.evaluation, self.config.algo):
                reporter.say(f"warning: {worse}")
        if self.residual is not None and not self.residual <= FAR:
            reporter.say(
                f"warning: adaptation ends far from the minimum (residual {self.residual:.2f} "
                f"> {FAR}), where the implicit gradient is wrong: raise --inner-steps or "
                "--proximity, or change --inner-lr",
            )

    def hparams(self) -> dict[str, Any]:
        """Return what TensorBoard's HPARAMS tab shows of the configuration."""
        config = self.config
        chosen = {"algo": config.algo, "preset": config.preset, "seed": config.seed}
        return to_json(config.algorithm) | to_json(config.data) | chosen

    def results(self, *, finished: bool) -> dict[str, Any]:
        """Return what results.json holds."""
        evaluation = self.evaluation and {
            "iteration": self.evaluated_at,
            **self.evaluation.to_json(),
        }
        return {
            "algo": self.config.algo,
            "data": self.source.name,
            "preset": self.config.preset,
            "seed": self.config.seed,
            "iterations": self.position.iteration,
            "finished": finished,
            "training_seconds": self.position.seconds,
            "non_finite_updates": self.position.non_finite,
            "inner_residual": self.residual,
            "evaluation": evaluation,
        }

    def close(self) -> None:
        """Nothing has to be ended."""

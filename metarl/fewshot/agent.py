"""What a few-shot run has learned: an agent that adapts to a task."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils import _pytree as pytree

from metarl.core.one_thread import one_thread
from metarl.experiment import checkpoint
from metarl.experiment.seeding import Phase, torch_seed
from metarl.fewshot.adapted import AdaptedModel, as_inputs, placed
from metarl.fewshot.comparison import compare
from metarl.fewshot.data.inputs import InputStatistics, OutsideWarning
from metarl.fewshot.data.schema import Schema
from metarl.fewshot.data.task import Examples, Part, Source, take
from metarl.fewshot.evaluate import FewShotEvaluation, Request, evaluate
from metarl.fewshot.learners.imaml import Imaml
from metarl.fewshot.learners.on_network import AdaptsWeights
from metarl.fewshot.learners.protocol import Fitted
from metarl.fewshot.registry import EVAL_TASKS
from metarl.fewshot.run import (
    FewShotBuilt,
    FewShotRunConfig,
    build,
    open_source,
    read_run_config,
    restore,
)
from metarl.fewshot.steps import adapt_by_steps, best_steps
from metarl.fewshot.training import FewShotState

BASELINE_TASKS = 100


class FewShotAgent:
    """A run has learned this: it adapts to a new task from its support set."""

    def __init__(
        self,
        parts: FewShotBuilt,
        config: FewShotRunConfig,
        state: FewShotState,
        source: Source | None = None,
        inputs: InputStatistics | None = None,
    ) -> None:
        """See `load_few_shot`; `source` is of `config.data`, if it is at hand.

        `inputs` are what it was trained on; without them support sets are not compared with it.
        """
        self.learner, self.trainer = parts
        self.config = config
        self.state = state
        self.inputs = inputs
        if source is not None:
            self.source = source

    @cached_property
    def source(self) -> Source:
        """The data of the run, read when they are first needed.

        Raises:
            ValueError: they are not there or have changed.
        """
        return open_source(self.config)

    @one_thread()
    def adapt(self, support: Any, steps: int | Literal["best"] | None = None) -> AdaptedModel:
        """Learn a task.

        Args:
            support: `(x, y)`, arrays or tensors, in the units of the run's own data: inputs
                `[N, …]`, where images are `[N, channels, height, width]` of uint8 or between 0 and
                1, and targets `[N, C]` or classes `[N]`.
            steps: of adaptation, for a learner that takes steps; as in training if None. "best" is
                the number, up to the most of the run's evaluations, that does best on parts of the
                support set which are held out in turn; `AdaptedModel.steps` has it.

        Warns:
            DivergingWarning: the steps made the loss of the support set greater, or no number.
            OutsideWarning: the inputs are far outside those of training.

        Raises:
            ValueError: shapes that do not fit, a value that is not finite, images in another
                range, a class that there is not, steps of a learner that takes none, "best" where
                no example can be spared, or examples so far from those of training that a learner
                without steps makes no finite numbers of them.
        """
        if steps is not None:
            if not self.learner.takes_steps:
                raise ValueError(f"{self.config.algo} does not adapt by steps: leave steps out")
            if isinstance(steps, str) and steps != "best":
                raise ValueError(f'steps must be a number or "best", got {steps!r}')
            if not isinstance(steps, str) and steps < 0:
                raise ValueError(f"steps must be at least 0, got {steps}")
        form, device = self.config.form, self.trainer.device
        x = as_inputs(support[0], form, device)
        y = _targets(support[1], form, device)
        if len(x) != len(y) or not len(x):
            raise ValueError(f"got {len(x)} inputs and {len(y)} targets: each needs its own")
        examples = Examples(form.units.inputs(x), y)
        if not (torch.isfinite(examples.x).all() and torch.isfinite(examples.y).all()):
            raise ValueError("an example to learn from has a value that is not finite")
        if self.inputs and (doubt := self.inputs.doubt(examples.x, x, form.units.x)):
            warnings.warn(doubt, OutsideWarning, stacklevel=3)
        return self._adapted(examples, steps)

    def _adapted(self, examples: Examples, steps: int | str | None) -> AdaptedModel:
        """Adapt to examples that have been looked at."""
        learner, c, theta = self.learner, self.config.algorithm, self.state.theta
        with torch.no_grad():
            if not isinstance(learner, AdaptsWeights):
                adapted, taken = learner.adapt(theta, examples), None
                _require_finite(adapted)
            else:
                if steps == "best":
                    most = max(c.inner_steps, *c.eval_steps)
                    steps = best_steps(learner, theta, examples, most)
                taken = int(c.inner_steps if steps is None else steps)
                adapted = adapt_by_steps(learner, theta, examples, taken)
        classifies = self.config.form.kind == "classification"
        there = functional.one_hot(examples.y).any(0) if classifies else None
        return AdaptedModel(learner, theta, adapted, self.config, there, taken)

    @one_thread()
    def inner_residual(self, tasks: int = 20) -> float | None:
        """The median of `Imaml.residual` over training tasks; None for other algorithms."""
        learner, c = self.learner, self.config.algorithm
        if not isinstance(learner, Imaml):
            return None
        generator = torch.Generator(self.trainer.device).manual_seed(0)
        split = self.source.sample(tasks, c.shots, c.queries, "train", generator)
        rows = [learner.residual(self.state.theta, take(split, t).support) for t in range(tasks)]
        return float(torch.stack(rows).median())

    @one_thread()
    def evaluate(
        self,
        *,
        part: Part = "test",
        tasks: int = EVAL_TASKS,
        shots: int | None = None,
        queries: int | None = None,
        steps: Sequence[int] | None = None,
        seed: int = 0,
    ) -> FewShotEvaluation:
        """See `metarl.fewshot.evaluate.evaluate`; what is None is as in the run's evaluations."""
        c, source = self.config.algorithm, self.source
        shots = c.eval_shots or c.shots if shots is None else shots
        queries = c.eval_queries or c.queries if queries is None else queries
        request = Request(part, tasks, shots, queries, seed)
        return evaluate(
            self.learner,
            self.state.theta,
            source,
            request,
            steps=getattr(c, "eval_steps", ()) if steps is None else steps,
            generator=self._generator(seed, Phase.EVAL_ROLLOUT),
            # convolutions are fastest one task at a time, all else at once
            how="vmap" if self.learner.vmaps and len(source.x_shape) != 3 else "threads",
            workers=self.trainer.workers,
        )

    @one_thread()
    def compare(
        self, evaluation: FewShotEvaluation, tasks: int = BASELINE_TASKS
    ) -> FewShotEvaluation:
        """The evaluation beside scikit-learn's learners; see `metarl.fewshot.comparison`."""

        def generator(train: bool) -> torch.Generator:
            phase = Phase.INIT if train else Phase.EVAL_ROLLOUT
            return self._generator(evaluation.request.seed, phase)

        return compare(
            evaluation,
            self.learner,
            self.state.theta,
            self.source,
            tasks=tasks,
            generator=generator,
        )

    def _generator(self, seed: int, phase: Phase) -> torch.Generator:
        """Make the generator of an evaluation's tasks, or of others."""
        generator = torch.Generator(self.trainer.device)
        return generator.manual_seed(torch_seed(seed, phase))


def _require_finite(adapted: Fitted) -> None:
    """Refuse an adapted state in which something is no finite number; raises ValueError."""
    if not all(bool(torch.isfinite(leaf).all()) for leaf in pytree.tree_leaves(adapted)):
        raise ValueError(
            "nothing finite can be learned from these examples, for they are too far from those "
            "of training: bring them to the units and the range of the run's own data"
        )


def _targets(given: Any, form: Schema, device: torch.device) -> Tensor:
    """Targets `[N, C]` as they are learned, or classes `[N]`.

    Raises:
        ValueError: another shape, or numbers that are no classes.
    """
    y: Tensor = torch.as_tensor(given, device=device)
    if form.kind == "regression":
        y = y.unsqueeze(-1) if y.dim() == 1 and form.outputs == 1 else y
        if y.shape[1:] != (form.outputs,):
            raise ValueError(f"targets must be [N, {form.outputs}], got {list(y.shape)}")
        return form.units.y.inwards(y)
    whole = y.long()
    if y.dim() != 1 or bool(((whole != y) | (whole < 0) | (whole >= form.outputs)).any()):
        raise ValueError(f"classes must be [N] integers from 0 to {form.outputs - 1}")
    return whole


def load_few_shot(run_dir: str | Path, *, threads: int = 1, device: str = "cpu") -> FewShotAgent:
    """The agent of a run folder, from its newest checkpoint that verifies.

    The run's data are read only to evaluate it.

    Args:
        run_dir: a run folder, finished or running.
        threads: worker threads.
        device: "cpu", "cuda" or "auto"; need not be the one it was trained on.

    Raises:
        ValueError: not a few-shot run, or a checkpoint of another model.
    """
    folder = Path(run_dir)
    saved = checkpoint.load_latest(folder)
    config = placed(read_run_config(folder), device)
    parts = build(config, threads=threads)
    inputs, _ = InputStatistics.apart(saved.tensors)
    return FewShotAgent(parts, config, restore(config, parts, saved), inputs=inputs)

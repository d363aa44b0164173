"""What a few-shot run has learned: an agent that adapts to a task, and what it makes of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from metarl.agent import resolve_device
from metarl.algorithms.cnp import Cnp
from metarl.algorithms.few_shot import FewShotState
from metarl.algorithms.imaml import Imaml
from metarl.algorithms.matching_net import MatchingNet
from metarl.core.params import Params
from metarl.experiment import checkpoint
from metarl.experiment.config import to_json
from metarl.experiment.seeding import Phase, torch_seed
from metarl.few_shot import (
    FewShotRunConfig,
    Parts,
    build,
    config_of,
    open_source,
    read_run_config,
    restore,
)
from metarl.fewshot.data import Examples, Part, Source, take
from metarl.fewshot.evaluate import Evaluation, Request, evaluate
from metarl.fewshot.form import Form
from metarl.fewshot.learner import Adapted, FewShotLearner

EVAL_TASKS = 600
_CONFIG = "metarl"
"""Key of an adapted model's configuration in its file."""


class AdaptedModel:
    """What a few-shot agent has made of one task; takes and gives the user's own units."""

    def __init__(
        self, learner: FewShotLearner, theta: Params, adapted: Adapted, config: FewShotRunConfig
    ) -> None:
        """See `FewShotAgent.adapt` and `load_adapted`."""
        self.learner = learner
        self.theta = theta
        self.adapted = pytree.tree_map(torch.clone, adapted)  # a view would be saved as a whole
        self.config = config

    @torch.no_grad()
    def predict(self, x: Any) -> Tensor:
        """Outputs `[N, C]` of inputs `[N, …]`: predictions, or logits of the classes.

        Raises:
            ValueError: inputs of another shape.
        """
        return self._outputs(_inputs(x, self.config.form, self._device))

    @torch.no_grad()
    def deviation(self, x: Any) -> Tensor:
        """Of the normal distributions that a CNP predicts, `[N, C]`.

        Raises:
            ValueError: another algorithm, classification, or inputs of another shape.
        """
        if not isinstance(self.learner, Cnp) or self.learner.kind != "regression":
            raise ValueError("only cnp in regression predicts deviations")
        form = self.config.form
        inputs = form.units.inputs(_inputs(x, form, self._device))
        return form.units.y.stretched(self.learner.deviation(self.theta, self.adapted, inputs))

    @torch.no_grad()
    def attention(self, x: Any) -> Tensor:
        """How much each of the S examples counts in a matching network's answers, `[N, S]`.

        Raises:
            ValueError: another algorithm, or inputs of another shape.
        """
        if not isinstance(self.learner, MatchingNet):
            raise ValueError("only matching-net has attention over the support set")
        form = self.config.form
        inputs = form.units.inputs(_inputs(x, form, self._device))
        return self.learner.attention(self.theta, self.adapted, inputs)

    def export(self, x: Any) -> torch.export.ExportedProgram:
        """A program of its own, for any number of inputs like those of `x` `[N, …]`.

        It takes numbers of the type of `x`. `torch.export.save(program, "model.pt2")`
        writes it.
        """
        x = _inputs(x, self.config.form, self._device)
        x = torch.cat([x, x])  # a single example would be taken for the only number there is
        batch = torch.export.Dim("examples", min=1)
        return torch.export.export(_Module(self), (x,), dynamic_shapes=({0: batch},))

    def save(self, path: str | Path) -> None:
        """Write one file, for `load_adapted`: tensors and JSON, as safetensors."""
        leaves = enumerate(pytree.tree_leaves(self.adapted))
        tensors = {f"theta/{name}": p.clone() for name, p in self.theta.items()}
        tensors |= {f"adapted/{i}": leaf.contiguous() for i, leaf in leaves}
        config = json.dumps(to_json(self.config))
        safetensors.torch.save_file(tensors, path, metadata={_CONFIG: config})

    @property
    def _device(self) -> torch.device:
        return next(iter(self.theta.values())).device

    def _outputs(self, x: Tensor) -> Tensor:
        """Of inputs on the parameters' device."""
        units = self.config.form.units
        outputs = self.learner.predict(self.theta, self.adapted, units.inputs(x))
        return units.y.outwards(outputs)


class _Module(torch.nn.Module):
    """`predict` in the form that torch.export takes."""

    def __init__(self, model: AdaptedModel) -> None:
        super().__init__()
        self._model = model

    def forward(self, x: Tensor) -> Tensor:
        return self._model._outputs(x)


class FewShotAgent:
    """What a run has learned: adapts to a new task from its support set."""

    def __init__(
        self,
        parts: Parts,
        config: FewShotRunConfig,
        state: FewShotState,
        source: Source | None = None,
    ) -> None:
        """See `load_few_shot`; `source` is of `config.data`, if it is at hand."""
        self.learner, self.trainer = parts
        self.config = config
        self.state = state
        if source is not None:
            self.source = source

    @cached_property
    def source(self) -> Source:
        """The data of the run, read when they are first needed.

        Raises:
            ValueError: they are not there or have changed.
        """
        return open_source(self.config)

    def adapt(self, support: Any, steps: int | None = None) -> AdaptedModel:
        """Learn a task.

        Args:
            support: `(x, y)`, arrays or tensors, in the units of the run's own data: inputs
                `[N, …]`, where images are `[N, channels, height, width]` of uint8 or between 0 and
                1, and targets `[N, C]` or classes `[N]`.
            steps: of adaptation, for a learner that takes steps; as in training if None.

        Raises:
            ValueError: shapes that do not fit, a value that is not finite, or a class that there
                is not.
        """
        form, device, theta = self.config.form, self.trainer.device, self.state.theta
        x = _inputs(support[0], form, device)
        y = _targets(support[1], form, device)
        if len(x) != len(y) or not len(x):
            raise ValueError(f"got {len(x)} inputs and {len(y)} targets: each needs its own")
        examples = Examples(form.units.inputs(x), y)
        if not (torch.isfinite(examples.x).all() and torch.isfinite(examples.y).all()):
            raise ValueError("an example to learn from has a value that is not finite")
        with torch.no_grad():
            adapted = self.learner.adapt(theta, examples, steps)
        return AdaptedModel(self.learner, theta, adapted, self.config)

    def inner_residual(self, tasks: int = 20) -> float | None:
        """The median of `Imaml.residual` over training tasks; None for other algorithms."""
        learner, c = self.learner, self.config.algorithm
        if not isinstance(learner, Imaml):
            return None
        generator = torch.Generator(self.trainer.device).manual_seed(0)
        split = self.source.sample(tasks, c.shots, c.queries, "train", generator)
        rows = [learner.residual(self.state.theta, take(split, t).support) for t in range(tasks)]
        return float(torch.stack(rows).median())

    def evaluate(
        self,
        *,
        part: Part = "test",
        tasks: int = EVAL_TASKS,
        shots: int | None = None,
        queries: int | None = None,
        steps: Sequence[int] | None = None,
        seed: int = 0,
    ) -> Evaluation:
        """See `metarl.fewshot.evaluate.evaluate`; what is None is as in the run's evaluations."""
        c, source = self.config.algorithm, self.source
        shots = c.eval_shots or c.shots if shots is None else shots
        queries = c.eval_queries or c.queries if queries is None else queries
        request = Request(part, tasks, shots, queries, seed)
        generator = torch.Generator(self.trainer.device)
        return evaluate(
            self.learner,
            self.state.theta,
            source,
            request,
            steps=getattr(c, "eval_steps", ()) if steps is None else steps,
            generator=generator.manual_seed(torch_seed(seed, Phase.EVAL_ROLLOUT)),
            # convolutions are fastest one task at a time, all else at once
            how="vmap" if self.learner.vmaps and len(source.x_shape) != 3 else "threads",
            workers=self.trainer.workers,
        )


def _inputs(given: Any, form: Form, device: torch.device) -> Tensor:
    """Inputs `[N, …]` in the user's units, floating-point numbers or images of uint8.

    Raises:
        ValueError: another shape.
    """
    x: Tensor = torch.as_tensor(given, device=device)
    if tuple(x.shape[1:]) != form.x_shape or x.dim() < 1:
        shape = ", ".join(map(str, form.x_shape))
        raise ValueError(f"inputs must be [N, {shape}], got {list(x.shape)}")
    kept = x.is_floating_point() or (x.dtype == torch.uint8 and len(form.x_shape) == 3)
    return x if kept else x.double()


def _targets(given: Any, form: Form, device: torch.device) -> Tensor:
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
    config = _here(read_run_config(folder), device)
    parts = build(config, threads=threads)
    return FewShotAgent(parts, config, restore(config, parts, saved))


def load_adapted(path: str | Path, *, device: str = "cpu") -> AdaptedModel:
    """What `AdaptedModel.save` wrote.

    Args:
        path: of the file.
        device: "cpu", "cuda" or "auto"; need not be the one that it was adapted on.

    Raises:
        ValueError: the file is damaged, or no adapted model.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            described = (file.metadata() or {}).get(_CONFIG)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read as an adapted model: {error}") from None
    if described is None:
        raise ValueError(f"{path} is no adapted model: AdaptedModel.save writes one")
    config = _here(config_of(json.loads(described)), device)
    learner, trainer = build(config, threads=1)
    groups: dict[str, Params] = {"theta": {}, "adapted": {}}
    for name in sorted(tensors):
        group, _, own = name.partition("/")
        # copies, aligned as torch aligns its own memory, so that results are the same bits
        groups[group][own] = tensors[name].clone().to(trainer.device)
    theta, leaves = groups["theta"], groups["adapted"]
    _, tree = pytree.tree_flatten(_some_adapted(learner, theta, config.form))
    adapted = pytree.tree_unflatten([leaves[str(i)] for i in range(len(leaves))], tree)
    return AdaptedModel(learner, theta, adapted, config)


def _here(config: FewShotRunConfig, device: str) -> FewShotRunConfig:
    """For use, on this device."""
    return replace(config, device=resolve_device(device), compiled=False)


def _some_adapted(learner: FewShotLearner, theta: Params, form: Form) -> Adapted:
    """A tree of the kind that the learner makes."""
    device = next(iter(theta.values())).device
    x = torch.zeros(1, *form.x_shape, device=device)
    regression = form.kind == "regression"
    shape, kind = ((1, form.outputs), torch.float32) if regression else ((1,), torch.int64)
    with torch.no_grad():
        return learner.adapt(theta, Examples(x, torch.zeros(shape, dtype=kind, device=device)), 0)

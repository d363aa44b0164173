"""What a few-shot agent has made of one task: predictions, and a file to keep it in."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from metarl.core.one_thread import one_thread
from metarl.core.params import Params
from metarl.experiment.config import to_json
from metarl.experiment.machine import resolve_device
from metarl.fewshot import losses
from metarl.fewshot.data.schema import Schema
from metarl.fewshot.data.task import Examples
from metarl.fewshot.learners.cnp import Cnp
from metarl.fewshot.learners.matching_net import MatchingNet
from metarl.fewshot.learners.protocol import FewShotLearner, Fitted
from metarl.fewshot.run import FewShotRunConfig, build, config_of

_CONFIG, _THERE, _STEPS = "metarl", "there", "steps"
"""Keys of an adapted model's configuration, of its classes and of its steps in its file."""
_INPUTS, _NUMBERS = 1024, 2**18
"""At most so many inputs at a time, and so many numbers in them."""


class AdaptedModel:
    """A few-shot agent has made this of one task; it takes and gives the user's own units."""

    def __init__(
        self,
        learner: FewShotLearner,
        theta: Params,
        adapted: Fitted,
        config: FewShotRunConfig,
        there: Tensor | None = None,
        steps: int | None = None,
    ) -> None:
        """See `FewShotAgent.adapt` and `load_adapted`.

        Args:
            learner: who has adapted.
            theta: its meta-parameters.
            adapted: what it has made of the task.
            config: of the run.
            there: `[W]` bool, up to the last class of the task: those that have examples; the
                others are never the answer. None in regression.
            steps: of adaptation that were taken; None of a learner that takes none.
        """
        self.steps = steps
        self.learner = learner
        self.theta = theta
        self.adapted = pytree.tree_map(torch.clone, adapted)  # a view would be saved as a whole
        self.config = config
        self.there = there

    @one_thread()
    @torch.no_grad()
    def predict(self, x: Any) -> Tensor:
        """Outputs `[N, C]` of inputs `[N, …]`: predictions, or logits of the task's classes.

        There are as many logits as classes in its support set (the greatest of them and one). They
        are computed some inputs at a time, unless a prediction depends on the other queries.

        Raises:
            ValueError: inputs of another shape.
        """
        return self._in_batches(self._outputs, as_inputs(x, self.config.form, self._device))

    @one_thread()
    @torch.no_grad()
    def deviation(self, x: Any) -> Tensor:
        """Return the deviations of the normal distributions that a CNP predicts, `[N, C]`.

        Raises:
            ValueError: another algorithm, classification, or inputs of another shape.
        """
        if not isinstance(self.learner, Cnp) or self.learner.kind != "regression":
            raise ValueError("only cnp in regression predicts deviations")
        form = self.config.form
        learner = self.learner

        def deviations(some: Tensor) -> Tensor:
            learned = learner.deviation(self.theta, self.adapted, form.units.inputs(some))
            return form.units.y.stretched(learned)

        return self._in_batches(deviations, as_inputs(x, form, self._device))

    @one_thread()
    @torch.no_grad()
    def attention(self, x: Any) -> Tensor:
        """Return how much each of the S examples counts in a matching network's answers, `[N, S]`.

        Raises:
            ValueError: another algorithm, or inputs of another shape.
        """
        if not isinstance(self.learner, MatchingNet):
            raise ValueError("only matching-net has attention over the support set")
        learner, form = self.learner, self.config.form

        def attention(some: Tensor) -> Tensor:
            return learner.attention(self.theta, self.adapted, form.units.inputs(some))

        return self._in_batches(attention, as_inputs(x, form, self._device))

    def export(self, x: Any) -> torch.export.ExportedProgram:
        """A program of its own, for any number of inputs like those of `x` `[N, …]`.

        It takes numbers of the type of `x`. `torch.export.save(program, "model.pt2")`
        writes it.
        """
        x = as_inputs(x, self.config.form, self._device)
        x = torch.cat([x, x])  # a single example would be taken for the only number there is
        batch = torch.export.Dim("examples", min=1)
        return torch.export.export(_Module(self), (x,), dynamic_shapes=({0: batch},))

    def save(self, path: str | Path) -> None:
        """Write one file, for `load_adapted`: tensors and JSON, as safetensors."""
        leaves = enumerate(pytree.tree_leaves(self.adapted))
        tensors = {f"theta/{name}": p.clone() for name, p in self.theta.items()}
        tensors |= {f"adapted/{i}": leaf.contiguous() for i, leaf in leaves}
        tensors |= {} if self.there is None else {_THERE: self.there}
        metadata = {_CONFIG: json.dumps(to_json(self.config)), _STEPS: json.dumps(self.steps)}
        safetensors.torch.save_file(tensors, path, metadata=metadata)

    @property
    def _device(self) -> torch.device:
        return next(iter(self.theta.values())).device

    def _outputs(self, x: Tensor) -> Tensor:
        """Predict inputs that are on the parameters' device."""
        units = self.config.form.units
        outputs = self.learner.predict(self.theta, self.adapted, units.inputs(x))
        if self.there is not None:
            outputs = losses.among(self.there, outputs[:, : len(self.there)])
        return units.y.outwards(outputs)

    def _in_batches(self, compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """`compute` of inputs `[N, …]`, which never needs the memory that all of them would."""
        if not len(x):  # what one would have, without it
            return compute(x.new_zeros(1, *x.shape[1:]))[:0]
        most = min(_INPUTS, max(1, _NUMBERS // x[0].numel()))
        size = len(x) if self.learner.transductive else most
        return torch.cat([compute(some) for some in torch.split(x, size)])


class _Module(torch.nn.Module):
    """`predict` in the form that torch.export takes."""

    def __init__(self, model: AdaptedModel) -> None:
        super().__init__()
        self._model = model

    def forward(self, x: Tensor) -> Tensor:
        return self._model._outputs(x)


def load_adapted(path: str | Path, *, device: str = "cpu") -> AdaptedModel:
    """Load what `AdaptedModel.save` wrote.

    Args:
        path: of the file.
        device: "cpu", "cuda" or "auto"; need not be the one that it was adapted on.

    Raises:
        ValueError: the file is damaged, or no adapted model.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read as an adapted model: {error}") from None
    if _CONFIG not in metadata:
        raise ValueError(f"{path} is no adapted model: AdaptedModel.save writes one")
    config = placed(config_of(json.loads(metadata[_CONFIG])), device)
    there = tensors.pop(_THERE, None)  # not in a file that was written before it was kept
    learner, trainer = build(config, threads=1)
    groups: dict[str, Params] = {"theta": {}, "adapted": {}}
    for name in sorted(tensors):
        group, _, own = name.partition("/")
        # copies, aligned as torch aligns its own memory, so that results are the same bits
        groups[group][own] = tensors[name].clone().to(trainer.device)
    theta, leaves = groups["theta"], groups["adapted"]
    _, tree = pytree.tree_flatten(_some_adapted(learner, theta, config.form))
    adapted = pytree.tree_unflatten([leaves[str(i)] for i in range(len(leaves))], tree)
    there = there if there is None else there.to(trainer.device)
    steps = json.loads(metadata.get(_STEPS, "null"))
    return AdaptedModel(learner, theta, adapted, config, there, steps)


def placed(config: FewShotRunConfig, device: str) -> FewShotRunConfig:
    """For use, on this device."""
    return replace(config, device=resolve_device(device), compiled=False)


def as_inputs(given: Any, form: Schema, device: torch.device) -> Tensor:
    """Inputs `[N, …]` in the user's units, floating-point numbers or images of uint8.

    Raises:
        ValueError: another shape, or images in another range.
    """
    x: Tensor = torch.as_tensor(given, device=device)
    if tuple(x.shape[1:]) != form.x_shape or x.dim() < 1:
        shape = ", ".join(map(str, form.x_shape))
        turned = _turned(tuple(x.shape), form.x_shape)
        raise ValueError(f"inputs must be [N, {shape}], got {list(x.shape)}{turned}")
    images = len(form.x_shape) == 3
    if images and x.dtype == torch.uint8:
        return x
    if images and bool(((x < 0) | (x > 1)).any()):
        raise ValueError(
            f"images must be uint8 from 0 to 255 or numbers from 0 to 1, got {x.dtype} from "
            f"{x.min():g} to {x.max():g}"
        )
    return x if x.is_floating_point() else x.double()


def _turned(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Say what would bring inputs into shape; "" where nothing obvious would."""
    ways = {
        "it is a single one: x[None]": found == wanted,
        "their channels come last: x.movedim(-1, 1)": found[1:] == (*wanted[1:], *wanted[:1]),
        "they have no axis of channels: x[:, None]": wanted[:1] == (1,) and found[1:] == wanted[1:],
        "they are flat: x.reshape(len(x), ...)": len(wanted) > 1
        and found[1:] == (math.prod(wanted),),
    }
    return next((f"; {said}" for said, holds in ways.items() if holds), "")


def _some_adapted(learner: FewShotLearner, theta: Params, form: Schema) -> Fitted:
    """A tree of the kind that the learner makes."""
    device = next(iter(theta.values())).device
    x = torch.zeros(1, *form.x_shape, device=device)
    regression = form.kind == "regression"
    shape, kind = ((1, form.outputs), torch.float32) if regression else ((1,), torch.int64)
    with torch.no_grad():
        return learner.adapt(theta, Examples(x, torch.zeros(shape, dtype=kind, device=device)), 0)

"""What a few-shot run consists of: its configuration, data, network and learner."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from metarl.core.mapping import TaskMapping, Workers
from metarl.experiment import checkpoint
from metarl.experiment.config import from_json, to_json
from metarl.experiment.machine import resolve_device
from metarl.experiment.run import CONFIG, read_config
from metarl.fewshot.config import FewShotConfig
from metarl.fewshot.data.augment import with_shifted_support
from metarl.fewshot.data.classes import ClassSource
from metarl.fewshot.data.inputs import InputStatistics
from metarl.fewshot.data.schema import Schema
from metarl.fewshot.data.sources import DataConfig, make_source
from metarl.fewshot.data.task import Source, Split
from metarl.fewshot.learners.maml import Maml
from metarl.fewshot.learners.protocol import JOINT_CLASSES, FewShotLearner
from metarl.fewshot.networks.conv import Conv4
from metarl.fewshot.networks.mlp import Mlp
from metarl.fewshot.networks.network import Network, dropout
from metarl.fewshot.registry import EVAL_TASKS, get_algorithm
from metarl.fewshot.training import FewShot, FewShotState


@dataclass(frozen=True)
class FewShotRunConfig:
    """Everything needed to repeat a run; config.json."""

    algo: str
    preset: str
    seed: int
    device: Literal["cpu", "cuda"]
    how: TaskMapping
    compiled: bool
    eval_every: int
    checkpoint_every: int
    data: DataConfig
    form: Schema
    """What tasks look like, so that a run can be used without its data."""
    protocol: dict[str, Any] = field(default_factory=dict)
    """What the data said of themselves when the run began."""
    algorithm: Any = field(default_factory=dict)
    eval_tasks: int = EVAL_TASKS
    """Held-out tasks of an evaluation; 0 evaluates never."""

    @property
    def evaluates(self) -> bool:
        """It is true where there is anything to evaluate."""
        return self.eval_tasks > 0

    def __post_init__(self) -> None:
        """Refuse impossible values; raises ValueError."""
        counts = ("eval_every", "eval_tasks", "seed")
        for name, least in (*((name, 0) for name in counts), ("checkpoint_every", 1)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} must be at least {least}, got {getattr(self, name)}")


def describe(source: Source) -> dict[str, Any]:
    """Return what a run's configuration says of its data."""
    return {"form": Schema.of(source), "protocol": json.loads(json.dumps(source.describe()))}


class FewShotBuilt(NamedTuple):
    """A configuration describes these objects, but for its data."""

    learner: FewShotLearner
    trainer: FewShot


def build(config: FewShotRunConfig, *, threads: int) -> FewShotBuilt:
    """Learner and trainer of a run.

    Args:
        config: of the run.
        threads: worker threads, at least 1; they never change a result.

    Raises:
        ValueError: something of it is impossible.
    """
    if threads < 1:
        raise ValueError(f"--threads must be at least 1, got {threads}")
    c, form = config.algorithm, config.form
    learner = _make_learner(config.algo, c, form)
    if c.support_shift and len(form.x_shape) != 3:
        raise ValueError(f"--support-shift moves images, and {form.name} has none")
    if config.data.train_ways and not learner.any_ways:
        raise ValueError(f"{config.algo} has an output per class: --train-ways cannot differ")
    trainer = FewShot(
        c,
        learner,
        how=config.how,
        compiled=config.compiled,
        workers=Workers(threads),
        device=resolve_device(config.device),
    )
    return FewShotBuilt(learner, trainer)


def _make_learner(algo: str, config: Any, form: Schema) -> FewShotLearner:
    """Make the learner of a name; MAML is told of the training classes, for its joint head."""
    make, network = get_algorithm(algo).learner, make_network(config, form)
    if make is Maml:
        return Maml(config, form.kind, network, joint=form.train_classes)
    learner: FewShotLearner = make(config, form.kind, network)
    return learner


def training_tasks(
    parts: FewShotBuilt, config: FewShotConfig, source: Source, generator: torch.Generator
) -> tuple[Split, dict[str, Tensor]]:
    """Tasks of one iteration, and what stands beside θ in the loss of each."""
    given = {}
    counts: Any = config.tasks, config.shots, config.queries, "train", generator
    if parts.learner.joint and isinstance(source, ClassSource):
        batch, given[JOINT_CLASSES] = source.drawn(*counts)
    else:
        batch = source.sample(*counts)
    batch = with_shifted_support(batch, config.support_shift, generator)
    network = make_network(config, source)
    return batch, given | dropout(network, config.dropout, config.tasks, generator)


def open_source(config: FewShotRunConfig) -> Source:
    """The data of a run, as they were when it began.

    Raises:
        ValueError: they are not there, or have changed (says in what).
    """
    source = make_source(config.data)
    now = describe(source)["protocol"]
    # numbers with fractions are computed from the data, whose hash says all
    changed = [
        f"{name} was {was}, is {now.get(name)}"
        for name, was in config.protocol.items()
        if now.get(name) != was and not isinstance(was, float)
    ]
    if changed:
        raise ValueError(
            f"{config.data.data} has changed since this run began: {'; '.join(changed)}. What it "
            "was trained on could be among its tests now: bring the old data back, or train a new "
            "run. To adapt to new data, metarl.load_few_shot needs none of the old"
        )
    return source


def make_network(config: FewShotConfig, data: Schema | Source) -> Network:
    """Four convolutions for images, a multi-layer perceptron for all else."""
    if len(data.x_shape) == 3:
        return Conv4(data.x_shape, data.outputs, config.filters, config.pooling, config.norm)
    inputs = int(torch.Size(data.x_shape).numel())
    return Mlp(inputs, data.outputs, config.hidden, config.activation, config.norm)


def read_run_config(folder: Path) -> FewShotRunConfig:
    """The configuration of a run folder.

    Raises:
        ValueError: the folder is not a few-shot run, or its config.json does not fit.
    """
    data = read_config(folder)
    if "family" in data and "data" not in data:
        raise ValueError(
            f"{folder} is a run of reinforcement learning: metarl.load_agent, "
            "scripts/evaluate_metarl.py and scripts/train_metarl.py --resume take it"
        )
    try:
        if "form" not in data and "data" in data:  # of a run that began before it was kept
            data["form"] = to_json(Schema.of(make_source(from_json(DataConfig, data["data"]))))
        return config_of(data)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from None


def config_of(data: dict[str, Any]) -> FewShotRunConfig:
    """The inverse of `to_json`.

    Raises:
        ValueError: it does not fit.
    """
    config = from_json(FewShotRunConfig, data)
    options = from_json(get_algorithm(config.algo).config, config.algorithm)
    return replace(config, algorithm=options)


def restore(
    config: FewShotRunConfig, parts: FewShotBuilt, saved: checkpoint.Checkpoint
) -> FewShotState:
    """The state of a checkpoint.

    Raises:
        ValueError: it holds another model than the configuration describes, or one of other data.
    """
    trained_on = saved.state.get("protocol", config.protocol)
    if trained_on != config.protocol:
        raise ValueError(
            f"{saved.path} was trained on other data than the run describes: {trained_on} instead "
            f"of {config.protocol}"
        )
    fresh = {name: list(t.shape) for name, t in parts.trainer.init(0).tensors().items()}
    _, tensors = InputStatistics.apart(saved.tensors)
    found = {name: list(t.shape) for name, t in tensors.items()}
    for name in fresh | found:
        if fresh.get(name) != found.get(name):
            raise ValueError(
                f"{saved.path} does not hold the parameters that the run describes: {name} has the "
                f"shape {found.get(name)} in it, {fresh.get(name)} in the run (None: it is not "
                "there)"
            )
    return FewShotState.from_tensors(
        {name: t.to(parts.trainer.device) for name, t in tensors.items()}
    )

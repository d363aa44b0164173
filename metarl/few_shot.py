"""Few-shot learning, put together: data, network, algorithm and what a run has learned."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from metarl.agent import resolve_compile, resolve_device
from metarl.algorithms.cnp import Cnp, CnpConfig
from metarl.algorithms.few_shot import FewShot, FewShotState
from metarl.algorithms.few_shot_config import FewShotConfig
from metarl.algorithms.film import Film, FilmConfig
from metarl.algorithms.imaml import Imaml, ImamlConfig
from metarl.algorithms.learned_optimizer import LearnedOptimizer, LearnedOptimizerConfig
from metarl.algorithms.maml import Maml, MamlConfig, Scratch
from metarl.algorithms.matching_net import MatchingNet, MatchingNetConfig
from metarl.algorithms.protonet import ProtoNet, ProtoNetConfig
from metarl.algorithms.r2d2 import R2D2, R2D2Config
from metarl.algorithms.reptile import Reptile, ReptileConfig
from metarl.algorithms.snail import Snail, SnailConfig
from metarl.core.mapping import Mapping, Workers
from metarl.experiment import checkpoint
from metarl.experiment.config import from_json, nearest
from metarl.experiment.run import CONFIG, read_config
from metarl.experiment.seeding import Phase, torch_seed
from metarl.few_shot_presets import overrides
from metarl.fewshot.data import Examples, Part, Source
from metarl.fewshot.evaluate import Evaluation, Request, evaluate
from metarl.fewshot.learner import Adapted, FewShotLearner
from metarl.fewshot.networks import Conv4, Mlp, Network
from metarl.fewshot.sources import DataConfig, make_source

EVAL_TASKS = 600


class Algorithm(NamedTuple):
    """A learner, its configuration, and the options that its name stands for."""

    learner: Any  # (config, kind, network) -> FewShotLearner
    config: type[FewShotConfig]
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed


ALGORITHMS: dict[str, Algorithm] = {
    "maml": Algorithm(Maml, MamlConfig),
    "fomaml": Algorithm(Maml, MamlConfig, {"first_order": True}),
    "anil": Algorithm(Maml, MamlConfig, {"adapts": "head"}),
    "boil": Algorithm(Maml, MamlConfig, {"adapts": "body"}),
    "meta-sgd": Algorithm(Maml, MamlConfig, {"rates": "weight"}),
    "maml++": Algorithm(
        Maml, MamlConfig, {"rates": "layer-step", "multi_step_loss": True, "inner_steps": 5}
    ),
    "reptile": Algorithm(Reptile, ReptileConfig),
    "protonet": Algorithm(ProtoNet, ProtoNetConfig),
    "matching-net": Algorithm(MatchingNet, MatchingNetConfig),
    "r2d2": Algorithm(R2D2, R2D2Config),
    "cnp": Algorithm(Cnp, CnpConfig),
    "snail": Algorithm(Snail, SnailConfig),
    "film": Algorithm(Film, FilmConfig),
    "imaml": Algorithm(Imaml, ImamlConfig),
    "learned-optimizer": Algorithm(LearnedOptimizer, LearnedOptimizerConfig),
    "pretrain": Algorithm(Maml, MamlConfig, {"inner_steps": 0}),
    "scratch": Algorithm(Scratch, MamlConfig, {"inner_steps": 0, "eval_steps": (0, 10, 100)}),
}
"""The algorithms by name. A new one is a line here."""


def get_algorithm(algo: str) -> Algorithm:
    """The algorithm of a name.

    Raises:
        ValueError: an unknown one (names the nearest).
    """
    if algo not in ALGORITHMS:
        raise ValueError(f"unknown algo {algo!r}; {nearest(algo, ALGORITHMS)}")
    return ALGORITHMS[algo]


def preset_config(algo: str, preset: str, data: str) -> FewShotConfig:
    """The hyper-parameters of `preset` for an algorithm on data.

    Raises:
        ValueError: an unknown algorithm or preset, or a preset that says nothing about the two.
    """
    chosen = get_algorithm(algo)
    return chosen.config(**{**overrides(preset, algo, data), **chosen.options})


@dataclass(frozen=True)
class FewShotRunConfig:
    """Everything needed to repeat a run; config.json."""

    algo: str
    preset: str
    seed: int
    device: Literal["cpu", "cuda"]
    how: Mapping
    compiled: bool
    eval_every: int
    checkpoint_every: int
    data: DataConfig
    algorithm: Any = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse impossible values; raises ValueError."""
        for name, least in (("eval_every", 0), ("checkpoint_every", 1), ("seed", 0)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} must be at least {least}, got {getattr(self, name)}")


class Parts(NamedTuple):
    """What a configuration describes."""

    source: Source
    learner: FewShotLearner
    trainer: FewShot


def build(config: FewShotRunConfig, *, threads: int, source: Source | None = None) -> Parts:
    """Data, learner and trainer of a run.

    Args:
        config: of the run.
        threads: worker threads, at least 1; they never change a result.
        source: of `config.data`, if it is at hand.

    Raises:
        ValueError: something of it is impossible.
    """
    if threads < 1:
        raise ValueError(f"--threads must be at least 1, got {threads}")
    source = source or make_source(config.data)
    c = config.algorithm
    source.require(max(c.shots, c.eval_shots), max(c.queries, c.eval_queries))
    learner = get_algorithm(config.algo).learner(c, source.kind, make_network(c, source))
    if c.support_shift and len(source.x_shape) != 3:
        raise ValueError(f"--support-shift moves images, and {source.name} has none")
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
    return Parts(source, learner, trainer)


def make_network(config: FewShotConfig, source: Source) -> Network:
    """Four convolutions for images, a multi-layer perceptron for all else."""
    if len(source.x_shape) == 3:
        return Conv4(source.x_shape, source.outputs, config.filters, config.pooling, config.norm)
    inputs = int(torch.Size(source.x_shape).numel())
    return Mlp(inputs, source.outputs, config.hidden, config.activation, config.norm)


def resolve_how(
    config: FewShotRunConfig, source: Source, how: str, compile: str, *, threads: int
) -> FewShotRunConfig:
    """What `auto` means for these tasks: the fastest of what is possible, measured once.

    Args:
        config: all else.
        source: of its data.
        how: auto, or a way to map over tasks.
        compile: auto, on or off.
        threads: worker threads.

    Returns:
        The configuration with `how` and `compiled` settled.

    Raises:
        ValueError: compiling was asked for and is not possible.
    """
    wanted = resolve_compile(compile, config.device, config.algorithm.iterations)
    learner = build(replace(config, how="loop"), threads=threads, source=source).learner
    possible: list[Mapping] = ["vmap", "threads"] if learner.vmaps else ["threads"]
    candidates: list[Mapping] = possible if how == "auto" else [how]  # type: ignore[list-item]
    images = len(source.x_shape) == 3
    seconds = {}
    for candidate in candidates:
        trial = replace(config, how=candidate, compiled=False)
        seconds[candidate] = _seconds(source, trial, threads) if len(candidates) > 1 else 0.0
    best = min(seconds, key=lambda name: seconds[name])
    # convolutions gain nothing by compiling, small networks ten times
    compiled = wanted and not images and learner.vmaps and (best == "vmap" or how == "auto")
    if compile == "on" and not compiled:
        raise ValueError("--compile on serves vmapped multi-layer perceptrons only; use off")
    return replace(config, how="vmap" if compiled else best, compiled=compiled)


def _seconds(source: Source, config: FewShotRunConfig, threads: int) -> float:
    """Of one gradient, the second time."""
    _, _, trainer = build(config, threads=threads, source=source)
    c = config.algorithm
    generator = torch.Generator(trainer.device).manual_seed(0)
    batch = source.sample(c.tasks, c.shots, c.queries, "train", generator)
    theta = trainer.init(0).theta
    trainer.gradient(theta, batch)
    started = time.perf_counter()
    trainer.gradient(theta, batch)
    return time.perf_counter() - started


def read_run_config(folder: Path) -> FewShotRunConfig:
    """The configuration of a run folder.

    Raises:
        ValueError: the folder is not a few-shot run, or its config.json does not fit.
    """
    data = read_config(folder)
    try:
        config = from_json(FewShotRunConfig, data)
        options = from_json(get_algorithm(config.algo).config, config.algorithm)
        return replace(config, algorithm=options)
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from None


class AdaptedModel:
    """What a few-shot agent has made of one task."""

    def __init__(self, learner: FewShotLearner, theta: dict[str, Tensor], adapted: Adapted) -> None:
        """See `FewShotAgent.adapt`."""
        self.learner = learner
        self.theta = theta
        self.adapted = pytree.tree_map(torch.clone, adapted)  # a view would be saved as a whole

    @torch.no_grad()
    def predict(self, x: Any) -> Tensor:
        """Outputs `[N, C]` of inputs `[N, …]`: predictions, or logits of the classes."""
        x = torch.as_tensor(x, dtype=torch.float32, device=next(iter(self.theta.values())).device)
        return self.learner.predict(self.theta, self.adapted, x)

    def export(self, x: Any) -> torch.export.ExportedProgram:
        """A program of its own, for any number of inputs like those of `x` `[N, …]`.

        `torch.export.save(program, "model.pt2")` writes it.
        """
        x = torch.as_tensor(x, dtype=torch.float32, device=next(iter(self.theta.values())).device)
        x = torch.cat([x, x])  # a single example would be taken for the only number there is
        module = _Module(self)
        batch = torch.export.Dim("examples", min=1)
        return torch.export.export(module, (x,), dynamic_shapes=({0: batch},))


class _Module(torch.nn.Module):
    """`predict` in the form that torch.export takes."""

    def __init__(self, model: AdaptedModel) -> None:
        super().__init__()
        self._model = model

    def forward(self, x: Tensor) -> Tensor:
        return self._model.learner.predict(self._model.theta, self._model.adapted, x)


class FewShotAgent:
    """What a run has learned: adapts to a new task from its support set."""

    def __init__(self, parts: Parts, config: FewShotRunConfig, state: FewShotState) -> None:
        """See `load_few_shot`."""
        self.source, self.learner, self.trainer = parts
        self.config = config
        self.state = state

    def adapt(self, support: Any, steps: int | None = None) -> AdaptedModel:
        """Learn a task.

        Args:
            support: `(x, y)`, arrays or tensors: inputs `[N, …]` like the source's, and targets
                `[N, C]` or classes `[N]`.
            steps: of adaptation, for a learner that takes steps; as in training if None.

        Raises:
            ValueError: shapes that do not fit, or a class that there is not.
        """
        x = torch.as_tensor(support[0], dtype=torch.float32, device=self.trainer.device)
        y = torch.as_tensor(support[1], device=self.trainer.device)
        source = self.source
        if tuple(x.shape[1:]) != tuple(source.x_shape) or len(x) != len(y) or not len(x):
            raise ValueError(
                f"inputs must be [N, {', '.join(map(str, source.x_shape))}] with N targets, "
                f"got {list(x.shape)} and {list(y.shape)}"
            )
        if source.kind == "classification":
            y = y.long()
            if y.dim() != 1 or int(y.min()) < 0 or int(y.max()) >= source.outputs:
                raise ValueError(f"classes must be [N] from 0 to {source.outputs - 1}")
        else:
            y = y.float().reshape(len(x), -1)
            if y.shape[1] != source.outputs:
                raise ValueError(f"targets must be [N, {source.outputs}], got {list(y.shape)}")
        theta = self.state.theta
        with torch.no_grad():
            adapted = self.learner.adapt(theta, Examples(x, y), steps)
        return AdaptedModel(self.learner, theta, adapted)

    def evaluate(
        self,
        *,
        part: Part = "test",
        tasks: int = EVAL_TASKS,
        shots: int | None = None,
        queries: int | None = None,
        seed: int = 0,
    ) -> Evaluation:
        """See `metarl.fewshot.evaluate.evaluate`; shots and queries are the run's if None."""
        c, source = self.config.algorithm, self.source
        shots = shots or c.eval_shots or c.shots
        request = Request(part, tasks, shots, queries or c.eval_queries or c.queries, seed)
        generator = torch.Generator(self.trainer.device)
        return evaluate(
            self.learner,
            self.state.theta,
            source,
            request,
            steps=getattr(c, "eval_steps", ()),
            generator=generator.manual_seed(torch_seed(seed, Phase.EVAL_ROLLOUT)),
            # convolutions are fastest one task at a time, all else at once
            how="vmap" if self.learner.vmaps and len(source.x_shape) != 3 else "loop",
        )


def load_few_shot(run_dir: str | Path, *, threads: int = 1) -> FewShotAgent:
    """The agent of a run folder, from its newest checkpoint that verifies.

    Raises:
        ValueError: not a few-shot run, or a checkpoint of another model.
    """
    folder = Path(run_dir)
    saved = checkpoint.load_latest(folder)
    config = replace(read_run_config(folder), compiled=False)
    parts = build(config, threads=threads)
    return FewShotAgent(parts, config, restore(parts, saved))


def restore(parts: Parts, saved: checkpoint.Checkpoint) -> FewShotState:
    """The state of a checkpoint.

    Raises:
        ValueError: it holds another model than the configuration describes.
    """
    fresh = parts.trainer.init(0).tensors()
    if {k: t.shape for k, t in fresh.items()} != {k: t.shape for k, t in saved.tensors.items()}:
        raise ValueError(f"{saved.path} does not hold the parameters that the run describes")
    return FewShotState.from_tensors(
        {name: t.to(parts.trainer.device) for name, t in saved.tensors.items()}
    )

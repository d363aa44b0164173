"""How a few-shot run maps over its tasks: the fastest way, measured once, before it starts."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import NamedTuple

import torch

from metarl.core.mapping import Mapping
from metarl.experiment.machine import resolve_compile
from metarl.few_shot import FewShotRunConfig, build, training_tasks
from metarl.fewshot.data import Source

COMPILING = 0.15
"""Seconds that an operation of a gradient takes to be compiled (measured: 0.1 to 0.2)."""
SPARED = 0.7
"""Share of the time of a traced gradient of a small network that compiling spares."""


class Choice(NamedTuple):
    """How a run maps over tasks."""

    config: FewShotRunConfig  # with `how` and `compiled` settled
    why: str  # it is compiled or not, in words; empty where that was no question


def resolve_how(
    config: FewShotRunConfig, source: Source, how: str, compile: str, *, threads: int
) -> Choice:
    """What `auto` means for these tasks: the fastest of what is possible, measured once.

    A gradient is compiled by `auto` where all iterations together spare more than that costs.

    Args:
        config: all else.
        source: of its data.
        how: auto, or a way to map over tasks.
        compile: auto, on or off.
        threads: worker threads.

    Raises:
        ValueError: compiling was asked for and is not possible.
    """
    wanted = resolve_compile(compile, config.device, config.algorithm.iterations)
    learner = build(replace(config, how="loop"), threads=threads).learner
    possible: list[Mapping] = ["vmap", "threads"] if learner.vmaps else ["threads"]
    candidates: list[Mapping] = possible if how == "auto" else [how]  # type: ignore[list-item]
    # convolutions gain nothing by compiling, small networks a lot
    compiles = wanted and len(source.x_shape) != 3 and "vmap" in candidates
    if compile == "on" and not compiles:
        raise ValueError("--compile on serves vmapped multi-layer perceptrons only; use off")
    if len(candidates) == 1 and not (compiles and compile == "auto"):
        return Choice(replace(config, how=candidates[0], compiled=compiles), "")
    trials = {name: replace(config, how=name, compiled=False) for name in candidates}
    costs = {name: _cost(source, trial, threads) for name, trial in trials.items()}
    best = min(costs, key=lambda name: costs[name].seconds)
    if not compiles:
        return Choice(replace(config, how=best, compiled=False), "")
    price = COMPILING * costs["vmap"].operations
    compiled_seconds = (1 - SPARED) * costs["vmap"].seconds
    gain = config.algorithm.iterations * (costs[best].seconds - compiled_seconds)
    if compile == "on" or gain > price:
        return Choice(replace(config, how="vmap", compiled=True), f"about {price:.0f} s once")
    why = f"not compiled, which takes about {price:.0f} s and spares {max(gain, 0.0):.0f} s"
    return Choice(replace(config, how=best, compiled=False), why)


class _Cost(NamedTuple):
    """Of one gradient."""

    seconds: float
    operations: int  # of its graph; 0 where there is none


def _cost(source: Source, config: FewShotRunConfig, threads: int) -> _Cost:
    """The second time, traced where training would trace it."""
    parts = build(config, threads=threads)
    trainer = parts.trainer
    generator = torch.Generator(trainer.device).manual_seed(0)
    batch, given = training_tasks(parts, config.algorithm, source, generator)
    arguments = trainer.init(0).theta, batch, given
    operations = trainer.operations(*arguments) if config.how == "vmap" else 0
    trainer.gradient(*arguments)
    started = time.perf_counter()
    trainer.gradient(*arguments)
    return _Cost(time.perf_counter() - started, operations)

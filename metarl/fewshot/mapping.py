"""How a few-shot run maps over its tasks: chosen by sizes and processor, so that it is repeatable.

Ways to map round differently. Nothing is measured here, for seconds are never twice the same.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from metarl.core.mapping import TaskMapping
from metarl.experiment.machine import resolve_compile
from metarl.fewshot.run import FewShotRunConfig, build

FITS = 2_000_000
"""Numbers in the largest tensor of all tasks together, up to which one call for all of them is the
fastest on a CPU; more do not stay in its cache (measured on two cores, see docs/benchmarks.md)."""
COMPILING = 0.15
"""Seconds that an operation of a gradient takes to be compiled (measured: 0.03 to 0.2)."""
SPARED, SPARED_EACH = 1.6e-6, 2e-11
"""Seconds that a compiled operation spares per iteration, and for each number of that tensor."""


class MappingChoice(NamedTuple):
    """A choice says how a run maps over tasks."""

    config: FewShotRunConfig  # with `how` and `compiled` settled
    why: str  # it is compiled or not, in words; empty where that was no question


def resolve_how(config: FewShotRunConfig, how: str, compile: str) -> MappingChoice:
    """Decide what `auto` means for these tasks, by their sizes, the device and the compiler.

    On a GPU it is one call for all tasks, and on a CPU, too, where they are small enough. A
    gradient is compiled by `auto` where all iterations together spare more than that costs.

    Args:
        config: all else.
        how: auto, or a way to map over tasks.
        compile: auto, on or off.

    Raises:
        ValueError: compiling was asked for and is not possible.
    """
    iterations = config.algorithm.iterations
    wanted = resolve_compile(compile, config.device, iterations)
    vmaps = build(replace(config, how="loop", compiled=False), threads=1).learner.vmaps
    numbers = largest(config)
    chosen: TaskMapping = how  # type: ignore[assignment]
    if how == "auto":
        small = config.device == "cuda" or numbers <= FITS or compile == "on"
        chosen = "vmap" if vmaps and small else "threads"
    # convolutions gain nothing by compiling, small networks a lot
    compiles = wanted and len(config.form.x_shape) != 3 and chosen == "vmap"
    if compile == "on" and not compiles:
        raise ValueError("--compile on serves vmapped multi-layer perceptrons only; use off")
    if not compiles:
        return MappingChoice(replace(config, how=chosen, compiled=False), "")
    pays = math.ceil(COMPILING / (SPARED + SPARED_EACH * numbers))
    compiled = compile == "on" or iterations >= pays
    why = "once, which takes a minute or more" if compiled else f"compiled from {pays:,} iterations"
    return MappingChoice(replace(config, how=chosen, compiled=compiled), why)


def largest(config: FewShotRunConfig) -> int:
    """Numbers in the largest tensor of an iteration: a layer's outputs, or the tasks' weights."""
    c, form = config.algorithm, config.form
    classes = form.outputs if form.kind == "classification" else 1
    examples = c.tasks * classes * (c.shots + c.queries)
    if len(form.x_shape) == 3:
        halved = 2 if c.pooling == "stride" else 1
        pixels = math.prod(math.ceil(size / halved) for size in form.x_shape[1:])
        return int(examples * c.filters * pixels)
    widths = math.prod(form.x_shape), *c.hidden, form.outputs
    weights = max(a * b for a, b in pairwise(widths))
    return int(max(examples * max(widths), c.tasks * weights))

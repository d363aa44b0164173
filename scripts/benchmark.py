"""Measure sampling, the meta-update and whole iterations; every figure is a ratio within one run.

python scripts/benchmark.py sampling
python scripts/benchmark.py sampling --env ant-dir
python scripts/benchmark.py sampling --env tabular-mdp
python scripts/benchmark.py vector
python scripts/benchmark.py update
python scripts/benchmark.py iteration --json results.json
python scripts/benchmark.py scaling
python scripts/benchmark.py rl2
python scripts/benchmark.py rl2-cheetah
python scripts/benchmark.py fewshot
python scripts/benchmark.py fewshot-images
python scripts/benchmark.py fewshot-memory
python scripts/benchmark.py device-sampling --device cuda
python scripts/benchmark.py device-iteration --device cuda
python scripts/benchmark.py device-scaling --device cuda
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from benchmarks.device import iteration_rows, sampling_rows
from benchmarks.device import scaling as device_scaling
from benchmarks.engines import vector_rows
from benchmarks.few_shot import memory, omniglot_rows, sinusoid_rows
from benchmarks.iteration import iteration, peak_gib, scaling
from benchmarks.measure import CORES, Size, measure
from benchmarks.rl2 import bandit_rows, cheetah_rows
from benchmarks.sampling import sampling
from benchmarks.update import update
from rich.console import Console
from rich.table import Table

from metarl.cli.display import fail
from metarl.experiment.files import write_json
from metarl.experiment.machine import resolve_device

COMPARISONS = {
    "sampling": sampling,
    "vector": vector_rows,
    "update": update,
    "iteration": iteration,
    "rl2": bandit_rows,
    "rl2-cheetah": cheetah_rows,
    "fewshot": sinusoid_rows,
    "fewshot-images": omniglot_rows,
    "device-sampling": sampling_rows,
    "device-iteration": iteration_rows,
}
What = Literal[
    "sampling",
    "vector",
    "update",
    "iteration",
    "scaling",
    "rl2",
    "rl2-cheetah",
    "fewshot",
    "fewshot-images",
    "fewshot-memory",
    "device-sampling",
    "device-iteration",
    "device-scaling",
]


@dataclass(frozen=True)
class BenchmarkOptions:
    """Medians of interleaved repetitions, and their ratios."""

    what: Annotated[What, tyro.conf.Positional]
    """What to measure."""
    env: str = "half-cheetah-vel"
    """Which family sampling samples."""
    tasks: int = 40
    """T; scaling takes its own."""
    episodes: int = 20
    """E."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Of device-sampling, device-iteration and device-scaling."""
    repetitions: int = 5
    """How often every row is measured; rows take turns."""
    tiny: bool = False
    """Only show that it runs."""
    json: Path | None = None
    """Also write the table to this file."""


def compare(options: BenchmarkOptions, size: Size) -> dict[str, Any]:
    """Print units of work per second, seconds of a repetition, ratios and shares; returns them."""
    repetitions = 1 if options.tiny else options.repetitions
    rates = measure(COMPARISONS[options.what](size), repetitions)
    first = next(iter(rates.values())).per_second
    table = Table(options.what, "per second", "seconds", "ratio to the first row")
    found: dict[str, Any] = {}
    for name, (rate, seconds, shares) in rates.items():
        table.add_row(name, f"{rate:,.2f}", f"{seconds:.3g}", f"{rate / first:.2f}")
        found[name] = {"per_second": rate, "seconds": seconds, "ratio": rate / first}
        if shares:
            table.add_row("  of its time", *(f"{part} {of:.2f}" for part, of in shares.items()))
            found[name]["shares"] = shares
    Console(width=100).print(table)
    print(f"peak memory {peak_gib():.2f} GiB, {CORES} cores, median of {repetitions}")
    if torch.cuda.is_available():
        print(f"peak GPU memory {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB of torch's")
    return found


def grow(size: Size) -> dict[str, Any]:
    """Print time and memory of iterations by the number of tasks; returns them."""
    table = Table("tasks", "seconds", "ms per task", "peak GiB")
    rows = scaling(size)
    for row in rows:
        per_task = f"{1000 * row.seconds / row.tasks:.0f}"
        table.add_row(str(row.tasks), f"{row.seconds:.2f}", per_task, f"{row.peak_gib:.2f}")
    Console(width=100).print(table)
    return {str(row.tasks): row._asdict() for row in rows}


def grow_with_iterations(size: Size) -> dict[str, Any]:
    """Print peak memory by the number of iterations done; returns it."""
    table = Table("iterations", "peak MiB")
    rows = memory(size)
    for iterations, gib in rows.items():
        table.add_row(f"{iterations:,}", f"{1024 * gib:.0f}")
    Console(width=100).print(table)
    return {str(iterations): {"peak_gib": gib} for iterations, gib in rows.items()}


def grow_on_device(size: Size) -> dict[str, Any]:
    """Print speed and memory by the number of environments; returns them."""
    table = Table("environments", "steps per second", "physics' share", "GPU GiB")
    rows = device_scaling(size)
    for row in rows:
        share = f"{row.physics:.2f}"
        table.add_row(str(row.environments), f"{row.per_second:,.0f}", share, f"{row.gpu_gib:.2f}")
    Console(width=100).print(table)
    return {str(row.environments): row._asdict() for row in rows}


def refuse_impossible(options: BenchmarkOptions) -> None:
    """Before minutes of measuring.

    Raises:
        ValueError: names the option.
    """
    for name in ("tasks", "episodes", "repetitions"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(options, name)}")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        raise ValueError(f"--json {options.json}: its folder does not exist")


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write with --json; exit code 2 is a user's mistake."""
    torch.set_num_threads(1)
    options = tyro.cli(BenchmarkOptions, args=argv)
    try:
        refuse_impossible(options)
        device = resolve_device(options.device)
        size = Size(options.tasks, options.episodes, tiny=False, env=options.env, device=device)
        if options.tiny:
            size = size._replace(tasks=2, episodes=2, tiny=True)
        tables = {
            "scaling": grow,
            "fewshot-memory": grow_with_iterations,
            "device-scaling": grow_on_device,
        }
        table = tables.get(options.what)
        rows = compare(options, size) if table is None else table(size)
    except ValueError as error:
        return fail(error)
    if options.json is not None:
        result: dict[str, Any] = {
            "what": options.what,
            "rows": rows,
            "peak_gib": peak_gib(),
            "cores": CORES,
        }
        if device == "cuda":
            result["gpu"] = torch.cuda.get_device_name()
        write_json(options.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Engines that step thousands of environments of one family together."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

from metarl.tasks.engines.arrays import ArraysEngine
from metarl.tasks.engines.base import Engine, EnvironmentFailure
from metarl.tasks.engines.vector.engine import VectorEngine
from metarl.tasks.protocols import Family
from metarl.tasks.task import unknown

__all__ = ["ENGINES", "EnvironmentFailure", "make_engine"]

ENGINES = ("auto", "threads", "arrays", "vector", "warp")


def make_engine(
    family: Family,
    num_tasks: int,
    num_episodes: int,
    *,
    engine: str = "auto",
    threads: int | None = None,
    workers: int = 0,
    device: str = "cpu",
) -> Engine:
    """T × E environments of a family on the engine that suits it, or on a named one.

    Args:
        family: whose environments.
        num_tasks: T.
        num_episodes: E.
        engine: one of `ENGINES`.
        threads: of the threads engine; all cores by default.
        workers: worker processes of the vector engine; 0 is this process.
        device: "cuda" chooses engines whose states are tensors there: warp, and arrays on torch;
            the others step on the CPU whatever the device.

    Warns:
        UserWarning: MuJoCo Warp is not installed, so that "auto" simulates on the CPU.

    Raises:
        ValueError: an unknown engine, one that cannot run the family, an impossible count, or
            workers for an engine that has none.
        EnvironmentFailure: an environment cannot be made.
    """
    if engine not in ENGINES:
        raise ValueError(unknown("engine", engine, list(ENGINES)))
    on_device = device != "cpu"
    chosen = family.definition.engine if engine == "auto" else engine
    if engine == "auto" and chosen == "threads" and on_device:
        chosen = "warp" if _has_warp() else "threads"
    if chosen == "vector":
        return VectorEngine(family, num_tasks, num_episodes, workers)
    if workers:
        raise ValueError(
            f"only the vector engine has workers, and {family.name} runs on {chosen}: "
            "use 0 workers, or --engine vector"
        )
    if chosen == "warp":
        from metarl.tasks.engines.warp import WarpEngine

        return WarpEngine(family, num_tasks, num_episodes, device)
    if chosen == "threads":
        from metarl.tasks.engines.mujoco import ThreadsEngine

        return ThreadsEngine(family, num_tasks, num_episodes, threads)
    if not on_device:
        return ArraysEngine(family, num_tasks, num_episodes)
    from metarl.tasks.engines.device import TorchArraysEngine

    return TorchArraysEngine(family, num_tasks, num_episodes, device)


def _has_warp() -> bool:
    """Say whether MuJoCo Warp is installed, and warn where it is not."""
    found = find_spec("mujoco_warp") is not None
    if not found:
        warnings.warn(
            "MuJoCo Warp is not installed, so the simulation stays on the CPU; for the GPU, "
            'pip install -e ".[gpu]" -c constraints.txt',
            stacklevel=3,
        )
    return found

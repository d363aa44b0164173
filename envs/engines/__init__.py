"""Engines that step thousands of environments of one family together."""

from __future__ import annotations

from envs.engines.arrays import ArraysEngine
from envs.engines.threads import ThreadsEngine
from envs.family import TaskFamily, unknown

ENGINES = ("auto", "threads", "arrays")


def make_engine(
    family: TaskFamily,
    num_tasks: int,
    num_episodes: int,
    *,
    engine: str = "auto",
    threads: int | None = None,
) -> ArraysEngine | ThreadsEngine:
    """T × E environments of a family on the engine that suits it, or on a named one.

    Raises:
        ValueError: an unknown engine, one that cannot run the family, or a count below 1.
    """
    if engine not in ENGINES:
        raise ValueError(unknown("engine", engine, list(ENGINES)))
    chosen = family.definition.engine if engine == "auto" else engine
    if chosen == "arrays":
        return ArraysEngine(family, num_tasks, num_episodes)
    return ThreadsEngine(family, num_tasks, num_episodes, threads)

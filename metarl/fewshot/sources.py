"""Stocks of tasks by name. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metarl.fewshot.curves import Mixture, Sinusoid
from metarl.fewshot.data import Source


@dataclass(frozen=True)
class DataConfig:
    """Which data, and how tasks are made of it."""

    data: str = "sinusoid"
    """Name of the data; --list-data shows them all."""
    ways: int = 5
    """Classes of a task, in classification."""


SOURCES: dict[str, Callable[[DataConfig], Source]] = {
    "sinusoid": lambda config: Sinusoid(),
    "mixture": lambda config: Mixture(),
}
"""Name → what makes the source of a configuration."""


def make_source(config: DataConfig) -> Source:
    """The source that `config` describes.

    Raises:
        ValueError: an unknown name (the message has all of them), or data that cannot serve.
    """
    if config.data not in SOURCES:
        raise ValueError(f"unknown data {config.data!r}; valid: {', '.join(SOURCES)}")
    return SOURCES[config.data](config)

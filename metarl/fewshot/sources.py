"""Stocks of tasks by name. A new one is a file and a line here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metarl.fewshot.classes import Ways
from metarl.fewshot.curves import Mixture, Sinusoid
from metarl.fewshot.data import Source
from metarl.fewshot.images import download_omniglot, folder_source, omniglot_source
from metarl.fewshot.tables import csv_source, npz_source, parkinsons_source

DATA_VARIABLE = "METARL_DATA"
"""Environment variable with the folder of downloaded data."""


@dataclass(frozen=True)
class DataConfig:
    """Which data, and how tasks are made of it."""

    data: str = "sinusoid"
    """sinusoid, mixture, omniglot or parkinsons, or your own: folder:PATH (a folder of images per
    class), npz:FILE (arrays x and y) or csv:FILE (with --target)."""
    data_dir: str = ""
    """Folder of the archives of omniglot or of the table of parkinsons; if not given, the folder
    of the same name in the one that the environment variable METARL_DATA names."""
    download: bool = False
    """Fetch omniglot from its source into the folder, if it is not there."""
    ways: int = 5
    """Classes of a task, in classification."""
    train_ways: int = 0
    """Classes of a training task, for learners that take any number; as --ways if 0."""
    split: Literal["random", "lake"] = "random"
    """Which characters of omniglot are held out: random ones, or Lake's evaluation set."""
    split_seed: int = 0
    """Of what is held out at random."""
    target: str = ""
    """Column that is to be predicted, of csv:FILE; of parkinsons motor_UPDRS or total_UPDRS."""
    task: str = ""
    """Column of csv:FILE whose values are the tasks of a regression; without it, the target's
    values are classes."""


def _ways(config: DataConfig) -> Ways:
    """Classes of tasks."""
    return Ways(config.ways, config.train_ways or config.ways)


def _folder(config: DataConfig) -> Path:
    """Where the archives of a data set lie."""
    if config.data_dir:
        return Path(config.data_dir)
    if root := os.environ.get(DATA_VARIABLE):
        return Path(root) / config.data
    raise ValueError(
        f"where is {config.data}? Give its folder with --data-dir, or set the environment variable "
        f"{DATA_VARIABLE} to the folder that holds {config.data}/"
    )


def _omniglot(config: DataConfig) -> Source:
    folder = _folder(config)
    if config.download:
        download_omniglot(folder)
    return omniglot_source(folder, _ways(config), config.split, config.split_seed)


def _parkinsons(config: DataConfig) -> Source:
    return parkinsons_source(_folder(config), config.target or "motor_UPDRS", config.split_seed)


def _csv(config: DataConfig, path: Path) -> Source:
    if not config.target:
        raise ValueError("--data csv:FILE needs --target COLUMN")
    return csv_source(path, config.target, config.task, _ways(config), config.split_seed)


SOURCES: dict[str, Callable[[DataConfig], Source]] = {
    "sinusoid": lambda config: Sinusoid(),
    "mixture": lambda config: Mixture(),
    "omniglot": _omniglot,
    "parkinsons": _parkinsons,
}
"""Name → what makes the source of a configuration."""

OWN: dict[str, Callable[[DataConfig, Path], Source]] = {
    "folder": lambda config, path: folder_source(path, _ways(config), config.split_seed),
    "npz": lambda config, path: npz_source(path, _ways(config), config.split_seed),
    "csv": _csv,
}
"""The same for `kind:path`."""


def make_source(config: DataConfig) -> Source:
    """The source that `config` describes.

    Raises:
        ValueError: an unknown name (the message has all of them), or data that cannot serve.
    """
    kind, colon, path = config.data.partition(":")
    if colon and kind in OWN:
        return OWN[kind](config, Path(path))
    if config.data not in SOURCES:
        own = ", ".join(f"{name}:PATH" for name in OWN)
        raise ValueError(f"unknown data {config.data!r}; valid: {', '.join(SOURCES)}, {own}")
    return SOURCES[config.data](config)

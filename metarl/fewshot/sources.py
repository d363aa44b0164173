"""Stocks of tasks by name. A new one is a file and a line here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, NamedTuple

from metarl.fewshot.arrays import holds_images, npz_source
from metarl.fewshot.classes import Ways
from metarl.fewshot.curves import Mixture, Sinusoid
from metarl.fewshot.data import Source
from metarl.fewshot.images import folder_source
from metarl.fewshot.omniglot import download_omniglot, omniglot_source
from metarl.fewshot.tables import csv_source, parkinsons_source

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
    image_size: int = 28
    """Pixels in both directions that images of omniglot and of folder:PATH are resized to."""
    rotations: Literal["auto", "on", "off"] = "auto"
    """Images that are turned by 90°, 180° and 270° are classes of their own; auto: of omniglot."""
    target: str = ""
    """Column that is to be predicted, of csv:FILE; of parkinsons motor_UPDRS or total_UPDRS."""
    task: str = ""
    """Column of csv:FILE whose values are the tasks of a regression; without it, the target's
    values are classes."""

    def __post_init__(self) -> None:
        """Raises ValueError where a value is impossible for any data."""
        if self.image_size < 1:
            raise ValueError(f"--image-size must be at least 1, got {self.image_size}")


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


def _refuse_unused(config: DataConfig, used: set[str]) -> None:
    """Raises ValueError for options that mean nothing for the data."""
    for option in fields(config):
        name = option.name
        if name not in used | {"data"} and getattr(config, name) != option.default:
            means = ", ".join(f"--{other.replace('_', '-')}" for other in sorted(used)) or "none"
            raise ValueError(
                f"--{name.replace('_', '-')} means nothing for --data {config.data}; of such "
                f"options it has {means}"
            )


def _omniglot(config: DataConfig, path: Path) -> Source:
    folder, turned = _folder(config), config.rotations != "off"
    if config.download:
        download_omniglot(folder)
    c = config
    return omniglot_source(folder, _ways(c), c.split, c.split_seed, c.image_size, turned)


def _parkinsons(config: DataConfig, path: Path) -> Source:
    return parkinsons_source(_folder(config), config.target or "motor_UPDRS", config.split_seed)


def _images(config: DataConfig, path: Path) -> Source:
    c, turned = config, config.rotations == "on"
    return folder_source(path, _ways(c), c.split_seed, c.image_size, turned)


def _arrays(config: DataConfig, path: Path) -> Source:
    return npz_source(path, _ways(config), config.split_seed, config.rotations == "on")


def _csv(config: DataConfig, path: Path) -> Source:
    if not config.target:
        raise ValueError("--data csv:FILE needs --target COLUMN")
    if config.task:
        _refuse_unused(config, {"target", "task", "split_seed"})
    return csv_source(path, config.target, config.task, _ways(config), config.split_seed)


class Maker(NamedTuple):
    """What makes a source."""

    make: Callable[[DataConfig, Path], Source]
    options: set[str]  # of `DataConfig` that mean something for it


_CLASSES = {"ways", "train_ways", "split_seed"}
SOURCES: dict[str, Maker] = {
    "sinusoid": Maker(lambda config, path: Sinusoid(), set()),
    "mixture": Maker(lambda config, path: Mixture(), set()),
    "omniglot": Maker(
        _omniglot, _CLASSES | {"data_dir", "download", "split", "image_size", "rotations"}
    ),
    "parkinsons": Maker(_parkinsons, {"data_dir", "target", "split_seed"}),
}
"""Name → what makes the source of a configuration."""

OWN: dict[str, Maker] = {
    "folder": Maker(_images, _CLASSES | {"image_size", "rotations"}),
    "npz": Maker(_arrays, _CLASSES | {"rotations"}),
    "csv": Maker(_csv, _CLASSES | {"target", "task"}),
}
"""The same for `kind:path`."""


def make_source(config: DataConfig) -> Source:
    """The source that `config` describes.

    Raises:
        ValueError: an unknown name (the message has all of them), an option that means nothing for
            it, or data that cannot serve.
    """
    kind, colon, path = config.data.partition(":")
    makers, name = (OWN, kind) if colon else (SOURCES, config.data)
    if name not in makers:
        own = ", ".join(f"{name}:PATH" for name in OWN)
        raise ValueError(f"unknown data {config.data!r}; valid: {', '.join(SOURCES)}, {own}")
    _refuse_unused(config, makers[name].options)
    return makers[name].make(config, Path(path))


def tuned_as(data: str) -> str:
    """The data whose hyper-parameters suit: for images of the user's own those of omniglot."""
    kind, _, path = data.partition(":")
    images = kind == "folder" or (kind == "npz" and holds_images(Path(path)))
    return "omniglot" if images else data


def absolute(config: DataConfig) -> DataConfig:
    """The same with whole paths, which hold in another working directory as well."""
    kind, colon, path = config.data.partition(":")
    if colon:
        return replace(config, data=f"{kind}:{Path(path).absolute()}")
    stored = config.data in SOURCES and "data_dir" in SOURCES[config.data].options
    return replace(config, data_dir=str(_folder(config).absolute())) if stored else config

"""Stocks of tasks by name. A new one is a file and a line here."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Literal, NamedTuple

from metarl.fewshot.data.arrays import holds_images, holds_tasks, npz_source
from metarl.fewshot.data.classes import Ways
from metarl.fewshot.data.curves import Mixture, Sinusoid
from metarl.fewshot.data.functions import function_source
from metarl.fewshot.data.holdout import HoldOut
from metarl.fewshot.data.images import folder_source
from metarl.fewshot.data.omniglot import download_omniglot, omniglot_source
from metarl.fewshot.data.tables import csv_source, parkinsons_source
from metarl.fewshot.data.task import Source
from metarl.tasks.modules import find_modules_here

DATA_VARIABLE = "METARL_DATA"
"""Environment variable with the folder of downloaded data."""


@dataclass(frozen=True)
class DataConfig:
    """These options say which data are taken, and how tasks are made of them."""

    data: str = "sinusoid"
    """sinusoid, mixture, omniglot or parkinsons, or your own: folder:PATH (a folder of images per
    class), npz:FILE (arrays x and y), csv:FILE (with --target), or my_module:function or
    path/to/file.py:function (a function that draws tasks)."""
    data_dir: str = ""
    """Folder of the archives of omniglot or of the table of parkinsons; if not given, the folder
    of the same name in the one that the environment variable METARL_DATA names."""
    download: bool = False
    """Fetch omniglot from its source into the folder, if it is not there."""
    ways: int = 5
    """Classes of a task, in classification."""
    train_ways: int = 0
    """Classes of a training task, for learners that take any number; as --ways if 0."""
    split: str = "auto"
    """Which classes (or tasks) are held out: random ones, or how many to train on, validate and
    test with, such as 6,0,4 (0: no validation); of omniglot also lake (Lake's evaluation set). auto
    is random, but for a folder:PATH that has train, val and test inside."""
    split_seed: int = 0
    """Of what is held out at random."""
    folds: int = 0
    """Cross-validation: as many runs, and every class (or task) is held out in one of them."""
    fold: int | None = None
    """Only this one of the --folds, counted from 0."""
    min_examples: int = 0
    """Classes (or tasks) with fewer are left out; 0: what --shots and --queries need."""
    image_size: int = 28
    """Pixels in both directions that images of omniglot and of folder:PATH are resized to."""
    rotations: Literal["auto", "on", "off"] = "auto"
    """Images that are turned by 90°, 180° and 270° are classes of their own; auto: of omniglot."""
    target: str = ""
    """Column that is to be predicted, of csv:FILE; of parkinsons motor_UPDRS or total_UPDRS."""
    task: str = ""
    """Column of csv:FILE whose values are the tasks of a regression; without it, the target's
    values are classes."""
    drop: tuple[str, ...] = ()
    """A column of csv:FILE that is no input; may be given again and again."""

    def __post_init__(self) -> None:
        """Refuse values that are impossible for any data; raises ValueError."""
        if self.image_size < 1:
            raise ValueError(f"--image-size must be at least 1, got {self.image_size}")
        if self.min_examples < 0:
            raise ValueError(f"--min-examples must be at least 0, got {self.min_examples}")
        if self.folds < 0 or self.folds == 1:
            raise ValueError(f"--folds must be at least 2, or 0 for none, got {self.folds}")
        if self.folds and self.split not in ("auto", "random"):
            raise ValueError(
                f"--folds hold all out in turn: --split {self.split} cannot be as well"
            )
        if self.fold is not None and not 0 <= self.fold < self.folds:
            most = f"from 0 to {self.folds - 1}" if self.folds else "given with --folds only"
            raise ValueError(f"--fold must be {most}, got {self.fold}")
        self.counts()

    def counts(self) -> tuple[int, int, int] | None:
        """Return what `split` has for train, validation and test; None where it is a word.

        Raises:
            ValueError: it is neither.
        """
        if self.split in ("auto", "random", "lake"):
            return None
        numbers = self.split.split(",")
        if len(numbers) == 3 and all(n.strip().isdecimal() for n in numbers):
            train, validation, test = map(int, numbers)
            if train and test:
                return train, validation, test
        raise ValueError(
            "--split must be auto, random, lake, or the numbers to train on, validate and test "
            f"with, such as 6,0,4 (only that of validation may be 0), got {self.split!r}"
        )

    def hold_out(self) -> HoldOut:
        """Say what is held out at random.

        Raises:
            ValueError: it is not said which of the folds.
        """
        if self.folds and self.fold is None:
            raise ValueError(
                f"--folds {self.folds} are as many runs: --fold says which, from 0 to "
                f"{self.folds - 1}"
            )
        return HoldOut(
            self.split_seed, self.counts(), self.folds, self.fold or 0, self.min_examples
        )


def _ways(config: DataConfig) -> Ways:
    """Classes of tasks."""
    return Ways(config.ways, config.train_ways or config.ways)


def _folder(config: DataConfig) -> Path:
    """Find the folder of the archives of a data set."""
    if config.data_dir:
        return Path(config.data_dir)
    if root := os.environ.get(DATA_VARIABLE):
        return Path(root) / config.data
    raise ValueError(
        f"where is {config.data}? Give its folder with --data-dir, or set the environment variable "
        f"{DATA_VARIABLE} to the folder that holds {config.data}/"
    )


_NEUTRAL = {"split": "random"}  # as good as no word, for functions and for runs of old


def _refuse_unused(config: DataConfig, used: set[str]) -> None:
    """Refuse options that mean nothing for the data; raises ValueError."""
    for option in fields(config):
        name = option.name
        value = getattr(config, name)
        if name not in used | {"data"} and value not in (option.default, _NEUTRAL.get(name)):
            means = ", ".join(f"--{other.replace('_', '-')}" for other in sorted(used)) or "none"
            raise ValueError(
                f"--{name.replace('_', '-')} means nothing for --data {config.data}; of such "
                f"options it has {means}"
            )


def _omniglot(config: DataConfig, path: Path) -> Source:
    folder, turned = _folder(config), config.rotations != "off"
    if config.download:
        download_omniglot(folder)
    c, lake = config, config.split == "lake"
    return omniglot_source(folder, _ways(c), lake, c.hold_out(), c.image_size, turned)


def _parkinsons(config: DataConfig, path: Path) -> Source:
    target = config.target or "motor_UPDRS"
    return parkinsons_source(_folder(config), target, config.hold_out())


def _images(config: DataConfig, path: Path) -> Source:
    c, turned = config, config.rotations == "on"
    as_they_lie = c.split == "auto" and not c.folds
    return folder_source(path, _ways(c), c.hold_out(), c.image_size, turned, as_they_lie)


def _arrays(config: DataConfig, path: Path) -> Source:
    if holds_tasks(path):
        _refuse_unused(config, _HELD)
    return npz_source(path, _ways(config), config.hold_out(), config.rotations == "on")


def _csv(config: DataConfig, path: Path) -> Source:
    if not config.target:
        raise ValueError("--data csv:FILE needs --target COLUMN")
    if config.task:
        _refuse_unused(config, _HELD | {"target", "task", "drop"})
    c = config
    return csv_source(path, c.target, c.task, _ways(c), c.hold_out(), c.drop)


class Maker(NamedTuple):
    """It makes a source."""

    make: Callable[[DataConfig, Path], Source]
    options: set[str]  # of `DataConfig` that mean something for it


_HELD = {"split", "split_seed", "folds", "fold", "min_examples"}
_CLASSES = _HELD | {"ways", "train_ways"}
SOURCES: dict[str, Maker] = {
    "sinusoid": Maker(lambda config, path: Sinusoid(), set()),
    "mixture": Maker(lambda config, path: Mixture(), set()),
    "omniglot": Maker(
        _omniglot,
        _CLASSES - {"min_examples"} | {"data_dir", "download", "image_size", "rotations"},
    ),
    "parkinsons": Maker(_parkinsons, _HELD | {"data_dir", "target"}),
}
"""Name → what makes the source of a configuration."""

OWN: dict[str, Maker] = {
    "folder": Maker(_images, _CLASSES | {"image_size", "rotations"}),
    "npz": Maker(_arrays, _CLASSES | {"rotations"}),
    "csv": Maker(_csv, _CLASSES | {"target", "task", "drop"}),
}
"""The same for `kind:path`."""


def make_source(config: DataConfig) -> Source:
    """The source that `config` describes.

    Raises:
        ValueError: an unknown name (the message has all of them), an option that means nothing for
            it, or data that cannot serve.
    """
    maker, path = _maker(config.data)
    _refuse_unused(config, maker.options)
    if config.split == "lake" and config.data != "omniglot":
        raise ValueError(f"--split lake is of omniglot, and the data are {config.data}")
    return maker.make(config, path)


def _maker(data: str) -> tuple[Maker, Path]:
    """Find what makes a source, and of which path.

    Raises:
        ValueError: an unknown name (the message has all of them).
    """
    kind, colon, path = data.partition(":")
    makers, name = (OWN, kind) if colon else (SOURCES, data)
    if name in makers:
        return makers[name], Path(path)
    if colon and _is_module(kind):
        return Maker(lambda config, path: function_source(config.data), set()), Path()
    own = ", ".join(f"{name}:PATH" for name in OWN)
    raise ValueError(
        f"unknown data {data!r}; valid: {', '.join(SOURCES)}, {own}, and a function that draws "
        "tasks as my_module:function or path/to/file.py:function"
    )


def _is_module(where: str) -> bool:
    """Say whether a function may be found there."""
    return where.endswith(".py") or _module(where) is not None


def _module(name: str) -> ModuleSpec | None:
    """Find a module, or the package around it, and import nothing; None where there is none."""
    find_modules_here()
    top = name.partition(".")[0]
    return importlib.util.find_spec(top) if top.isidentifier() else None


def with_enough_examples(config: DataConfig, least: int) -> DataConfig:
    """The same, where classes (or tasks) with too few are left out, if it does not say which."""
    asked = "min_examples" not in _maker(config.data)[0].options or config.min_examples
    return config if asked else replace(config, min_examples=least)


def tuned_as(data: str) -> str:
    """The data whose hyper-parameters suit: for images of the user's own those of omniglot."""
    kind, _, path = data.partition(":")
    images = kind == "folder" or (kind == "npz" and holds_images(Path(path)))
    return "omniglot" if images else data


def absolute(config: DataConfig) -> DataConfig:
    """The same with whole paths, which hold in another working directory as well."""
    kind, colon, path = config.data.partition(":")
    if kind in OWN and colon:
        return replace(config, data=f"{kind}:{Path(path).absolute()}")
    if colon and _is_module(kind):
        found = None if kind.endswith(".py") else _module(kind)
        beside = found is None or found.origin == str(Path(f"{kind}.py").absolute())
        where = Path(kind).with_suffix(".py").absolute() if beside else kind
        return replace(config, data=f"{where}:{path}")
    stored = config.data in SOURCES and "data_dir" in SOURCES[config.data].options
    return replace(config, data_dir=str(_folder(config).absolute())) if stored else config

"""Images as classes: a folder of your own."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metarl.fewshot.data.classes import ClassSource, Stock, Ways, random_classes
from metarl.fewshot.data.holdout import HoldOut, Parts, with_enough
from metarl.fewshot.data.spellings import refuse_spellings
from metarl.fewshot.data.storage import digest
from metarl.fewshot.data.task import PARTS, DataWarning

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
_GREY = ("1", "L", "LA", "I;16", "I;16B")


FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What is opened, whatever a file is called: Pillow would start other programs for some kinds."""
INSIDE = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "test": "test", "testing": "test",
}  # fmt: skip
"""Folders that may lie between a data set and its classes -> the part that they stand for."""


class _Image(NamedTuple):
    """An image lies here."""

    file: Path
    kind: str  # the class
    part: str  # by the folder around that of the class, or none


def folder_source(
    path: Path, ways: Ways, hold: HoldOut, size: int, rotations: bool, as_they_lie: bool
) -> ClassSource:
    """A folder per class, images in it; colours are kept if any image has them.

    Args:
        path: of the folder of folders, or of train, val and test with such folders inside.
        ways: classes of a task.
        hold: how classes are held out, if not as they lie.
        size: pixels in both directions that images are resized to.
        rotations: whether images that are turned are other classes.
        as_they_lie: train, val and test inside say what is held out. Where they have classes in
            common, they cannot: then the images of a class are put together.

    Raises:
        ValueError: no such folder, something in it that is no image, an image that cannot be
            read, or two classes that are one; each is named.

    Warns:
        DataWarning: a class is left out, or parts have classes in common.
    """
    images, empty = _images(path)
    with_parts = as_they_lie and bool(images[0].part) and not _in_common(path, images)
    images, labels, names = _enough(path.name, images, empty, hold.least)
    files = [image.file for image in images]
    mode = "L" if all(_is_grey(file) for file in files) else "RGB"
    x = np.stack([read(file, str(file), mode, size) for file in files])
    if not with_parts:
        return random_classes(
            path.name, x, labels, names, ways, hold, rotations=rotations, pixels=size
        )
    parts = _parts(path, images, names, hold)
    protocol = {"split": "by folders", "data_sha256": digest(x, labels), "pixels": size}
    return ClassSource(path.name, Stock.of(x, labels, names), parts, ways, rotations, protocol)


def _enough(
    name: str, images: list[_Image], empty: list[str], least: int
) -> tuple[list[_Image], np.ndarray, list[str]]:
    """Images of classes that have enough, the number of each one's class, and the classes."""
    names = sorted({image.kind for image in images} | set(empty))
    refuse_spellings(name, names, "classes")
    number = {kind: i for i, kind in enumerate(names)}
    labels = np.array([number[image.kind] for image in images])
    stay, labels, names = with_enough(name, labels, names, max(least, 1), "classes")
    return [image for image, stays in zip(images, stay, strict=True) if stays], labels, names


def _parts(path: Path, images: list[_Image], names: list[str], hold: HoldOut) -> Parts:
    """The classes of every part, by the folders around them.

    Raises:
        ValueError: a seed was given to hold classes out by.
    """
    if hold.seed:
        raise ValueError(
            f"{path} says by its folders what is held out: --split-seed {hold.seed} means nothing "
            "beside it; --split random leaves them out of account"
        )
    part_of = {image.kind: image.part for image in images}
    return {
        part: np.array([i for i, kind in enumerate(names) if part_of[kind] == part], dtype=np.int64)
        for part in PARTS
    }


def _is_grey(file: Path) -> bool:
    with opened(file, str(file)) as image:  # reads no pixels yet
        return image.mode in _GREY


def _images(path: Path) -> tuple[list[_Image], list[str]]:
    """All images, class by class, and the classes without any; hidden files are passed over.

    Raises:
        ValueError: there is something else.
    """
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder; --data folder:PATH needs a folder per class")
    inside = _folders(path)
    parts = {INSIDE.get(folder.name.lower(), "") for folder in inside}
    if {"train", "test"} <= parts and "" not in parts:
        around = [(part, INSIDE[part.name.lower()]) for part in inside]
    else:
        around = [(path, "")]
    found, empty = [], []
    for folder, part in around:
        for own in _folders(folder):
            files = _files(own)
            found += [_Image(file, own.name, part) for file in files]
            empty += [own.name] if not files else []
    if not found:
        raise ValueError(f"{path} has no folders with images ({', '.join(sorted(SUFFIXES))})")
    return found, empty


def _folders(path: Path) -> list[Path]:
    """List the folders in one; raises ValueError where images lie beside them."""
    found = []
    for inside in _shown(path):
        if inside.suffix.lower() in SUFFIXES and inside.is_file():
            raise ValueError(f"{inside} lies beside the folders of the classes: in which is it?")
        if inside.is_dir():
            found.append(inside)
    return found


def _files(folder: Path) -> list[Path]:
    """The images of a class; raises ValueError where there is something else."""
    files = _shown(folder)
    for file in files:
        if file.is_dir():
            raise ValueError(
                f"{file} is a folder: a class has its images in one folder; around the classes "
                "there may be train and test, and val beside them, and nothing else"
            )
        if file.suffix.lower() not in SUFFIXES:
            known = ", ".join(sorted(SUFFIXES))
            raise ValueError(f"{file} is none of {known}: take it out of the folder")
    return files


def _in_common(path: Path, images: list[_Image]) -> bool:
    """Say whether parts share a class, and warn of it."""
    of_class: dict[str, str] = {}
    shared = [i.kind for i in images if of_class.setdefault(i.kind, i.part) != i.part]
    if shared:
        warnings.warn(
            f"{path} has the class {shared[0]!r} in more than one of its parts, but whole classes "
            "are held out here: the images of a class are put together, and random classes are "
            "held out",
            DataWarning,
            stacklevel=3,
        )
    return bool(shared)


def _shown(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


@contextmanager
def opened(file: Path | io.BytesIO, name: str) -> Iterator[Any]:
    """An image of Pillow's.

    Raises:
        ValueError: it cannot be read, or has more pixels than Pillow thinks safe.
    """
    from PIL import Image

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                yield image
    except bombs:
        raise ValueError(
            f"{name} has more than {Image.MAX_IMAGE_PIXELS:,} pixels: make it smaller"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise ValueError(f"{name} cannot be read as an image: {error}") from None


def read(file: Path | io.BytesIO, name: str, mode: str, size: int) -> np.ndarray:
    """`[channels, size, size]` uint8.

    16 bits become 8, and what is transparent white. An image that is not square is squashed.

    Args:
        file: what to read.
        name: for messages.
        mode: L (one channel) or RGB.
        size: in pixels.

    Raises:
        ValueError: it cannot be read.
    """
    from PIL import Image

    with opened(file, name) as image:
        if image.mode in ("I", "F"):
            raise ValueError("its pixels have 32 bits; save it with 8")
        if image.mode.startswith("I;16"):
            eight = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif image.has_transparency_data:
            clear = image.convert("RGBA")
            eight = Image.alpha_composite(Image.new("RGBA", image.size, "white"), clear)
        else:
            eight = image
        small = eight.convert(mode).resize((size, size), Image.Resampling.BOX)
        pixels = np.asarray(small, dtype=np.uint8)
    return pixels[None] if mode == "L" else np.moveaxis(pixels, -1, 0)

"""Images as classes: a folder of your own."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from metarl.fewshot.classes import ClassSource, Ways, random_classes

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
_GREY = ("1", "L", "LA", "I;16", "I;16B")


def folder_source(path: Path, ways: Ways, seed: int, size: int, rotations: bool) -> ClassSource:
    """A folder per class, images in it; colours are kept if any image has them.

    Args:
        path: of the folder of folders.
        ways: classes of a task.
        seed: of what is held out.
        size: pixels in both directions that images are resized to.
        rotations: whether images that are turned are other classes.

    Raises:
        ValueError: no such folder, a class without images, something in it that is no image, an
            image that cannot be read, or images of different sizes; each is named.
    """
    files = _files(path)
    grey, sizes = [], []
    for file in files:
        with opened(file, str(file)) as image:  # reads no pixels yet
            grey.append(image.mode in _GREY)
            sizes.append(image.size)
    for file, own in zip(files, sizes, strict=True):
        if own != sizes[0]:
            raise ValueError(
                f"images must have one size: {files[0]} has {sizes[0][0]} × {sizes[0][1]} pixels, "
                f"{file} has {own[0]} × {own[1]}"
            )
    x = np.stack([read(file, str(file), "L" if all(grey) else "RGB", size) for file in files])
    names = sorted({file.parent.name for file in files})
    number = {name: i for i, name in enumerate(names)}
    labels = np.array([number[file.parent.name] for file in files])
    return random_classes(path.name, x, labels, names, ways, seed, rotations=rotations, pixels=size)


def _files(path: Path) -> list[Path]:
    """All images, class by class; hidden files are passed over.

    Raises:
        ValueError: there is something else.
    """
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder; --data folder:PATH needs a folder per class")
    files = []
    for folder in _shown(path):
        if folder.suffix.lower() in SUFFIXES and folder.is_file():
            raise ValueError(f"{folder} lies beside the folders of the classes: in which is it?")
        if not folder.is_dir():
            continue
        own = _shown(folder)
        for file in own:
            if file.is_dir():
                raise ValueError(f"{file} is a folder: a class has its images in one folder")
            if file.suffix.lower() not in SUFFIXES:
                known = ", ".join(sorted(SUFFIXES))
                raise ValueError(f"{file} is none of {known}: take it out of the folder")
        if not own:
            raise ValueError(f"{folder} has no images: fill it or remove it")
        files += own
    if not files:
        raise ValueError(f"{path} has no folders with images ({', '.join(sorted(SUFFIXES))})")
    return files


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
            with Image.open(file) as image:
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

"""Images as classes: a folder of your own, or Omniglot from its archives."""

from __future__ import annotations

import hashlib
import io
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metarl.fewshot.classes import ClassSource, Stock, Ways, split_classes

SIDE = 28
"""Images are resized to so many pixels in both directions."""
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
OMNIGLOT = ("images_background", "images_evaluation")
_OMNIGLOT_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
_OMNIGLOT_MD5 = {
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
}
OmniglotSplit = Literal["random", "lake"]


def folder_source(path: Path, ways: Ways, seed: int) -> ClassSource:
    """A folder per class, images in it; colours are kept if any image has them.

    Raises:
        ValueError: no such folder, an image that cannot be read (named), or images of different
            proportions (two of them named).
    """
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder; --data folder:PATH needs a folder per class")
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    files = [f for p in folders for f in sorted(p.iterdir()) if f.suffix.lower() in SUFFIXES]
    names = sorted({f.parent.name for f in files})
    if not names:
        raise ValueError(f"{path} has no folders with images ({', '.join(sorted(SUFFIXES))})")
    images = [_read(f.read_bytes(), str(f)) for f in files]
    _require_equal_shapes(images, [str(f) for f in files])
    mode = "RGB" if any(image.mode not in ("1", "L") for image in images) else "L"
    x = np.stack([_pixels(image, mode) for image in images])
    labels = np.array([names.index(f.parent.name) for f in files])
    parts = split_classes(len(names), seed, least=ways.held_out)
    protocol = {"split": "random classes", "split_seed": seed}
    return ClassSource(path.name, Stock.of(x, labels, names), parts, ways, protocol=protocol)


def omniglot_source(folder: Path, ways: Ways, split: OmniglotSplit, seed: int) -> ClassSource:
    """Omniglot (Lake et al. 2015): 1,623 characters of 50 alphabets, 20 drawings each.

    White ink on black, 28 × 28, rotations are classes of their own. `random`: 1,100 characters for
    training, 100 for validation, 423 for tests, as in MAML; `lake`: the background set for training
    (a tenth of it for validation), the evaluation set for tests.

    Args:
        folder: with images_background.zip and images_evaluation.zip.
        ways: classes of a task.
        split: which characters are in which part.
        seed: of the random parts.

    Raises:
        ValueError: an archive is missing or not one (says how to get it).
    """
    images: list[np.ndarray] = []
    labels: list[int] = []
    names: list[str] = []
    sizes: list[int] = []
    for archive in OMNIGLOT:
        drawings = _omniglot_archive(folder / f"{archive}.zip")
        for character in sorted(drawings):
            images += drawings[character]
            labels += [len(names)] * len(drawings[character])
            names.append(character)
        sizes.append(len(drawings))
    background, evaluation = sizes
    if split == "random":
        held = {"validation": 100, "test": 423}
        train = background + evaluation - sum(held.values())
        parts = split_classes(train + sum(held.values()), seed, {"train": train, **held})
    else:
        tenth = background // 10
        own = {"train": background - tenth, "validation": tenth, "test": 0}
        parts = split_classes(background, seed, own)
        parts["test"] = np.arange(background, background + evaluation)
    return ClassSource(
        "omniglot",
        Stock.of(np.stack(images), np.array(labels), names),
        parts,
        ways,
        rotations=True,
        protocol={"split": split, "split_seed": seed, "pixels": SIDE},
    )


def download_omniglot(folder: Path) -> None:
    """Fetch both archives from their author's repository, and check them.

    Raises:
        ValueError: a file is not what it should be; it is not kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for archive in OMNIGLOT:
        path = folder / f"{archive}.zip"
        if path.exists():
            continue
        url = f"{_OMNIGLOT_URL}/{archive}.zip"
        with urllib.request.urlopen(url) as response:
            data = response.read()
        found = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if found != _OMNIGLOT_MD5[archive]:
            raise ValueError(f"{url} has the MD5 sum {found}, not {_OMNIGLOT_MD5[archive]}")
        path.write_bytes(data)


def _omniglot_archive(path: Path) -> dict[str, list[np.ndarray]]:
    """Drawings `[1, 28, 28]` uint8 by character, `Alphabet/characterNN`."""
    if not path.is_file():
        raise ValueError(
            f"{path} is missing: give the folder of Omniglot's archives with --data-dir, or add "
            "--download to fetch them there"
        )
    found: dict[str, list[np.ndarray]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".png"):
                    image = _read(archive.read(name), f"{path}:{name}")
                    character = "/".join(name.split("/")[-3:-1])
                    found.setdefault(character, []).append(255 - _pixels(image, "L"))
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is not a zip archive: {error}") from None
    if not found:
        raise ValueError(f"{path} holds no drawings")
    return found


def _read(data: bytes, name: str) -> Any:
    """An image of Pillow's.

    Raises:
        ValueError: it cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{name} cannot be read as an image: {error}") from None
    return image


def _pixels(image: Any, mode: str) -> np.ndarray:
    """`[channels, 28, 28]` uint8."""
    from PIL import Image

    small = image.convert(mode).resize((SIDE, SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.uint8)
    return pixels[None] if mode == "L" else np.moveaxis(pixels, -1, 0)


def _require_equal_shapes(images: Iterable[Any], names: list[str]) -> None:
    """Raises ValueError for images of different sizes: resizing would distort some of them."""
    sizes = [image.size for image in images]
    for size, name in zip(sizes, names, strict=True):
        if size != sizes[0]:
            raise ValueError(
                f"images must have one size: {names[0]} has {sizes[0][0]} × {sizes[0][1]} pixels, "
                f"{name} has {size[0]} × {size[1]}"
            )

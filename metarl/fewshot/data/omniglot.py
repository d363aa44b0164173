"""Omniglot, from its archives."""

from __future__ import annotations

import hashlib
import io
import urllib.request
import zipfile
import zlib
from pathlib import Path

import numpy as np

from metarl.fewshot.data.classes import ClassSource, Stock, Ways, classes_needed
from metarl.fewshot.data.holdout import HoldOut, split_classes
from metarl.fewshot.data.images import read
from metarl.fewshot.data.storage import digest

ARCHIVES = {
    "images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
}
"""With their MD5 sums."""
_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
_TIMEOUT = 60.0  # seconds without a byte


def omniglot_source(
    folder: Path, ways: Ways, lake: bool, hold: HoldOut, size: int, rotations: bool
) -> ClassSource:
    """Omniglot (Lake et al. 2015): 1,623 characters of 50 alphabets, 20 drawings each.

    White ink on black. At random 1,100 characters are for training, 100 for validation and 423 for
    tests, as in MAML.

    Args:
        folder: with images_background.zip and images_evaluation.zip.
        ways: classes of a task.
        lake: the background set is for training (a tenth of it for validation), the evaluation set
            for tests.
        hold: what is held out otherwise.
        size: pixels in both directions.
        rotations: whether drawings that are turned are other classes.

    Raises:
        ValueError: an archive is missing or not one (says how to get it).
    """
    images: list[np.ndarray] = []
    labels: list[int] = []
    names: list[str] = []
    ends: list[int] = []
    for archive in ARCHIVES:
        drawings = _drawings(folder / archive, size)
        for character in sorted(drawings):
            images += drawings[character]
            labels += [len(names)] * len(drawings[character])
            names.append(character)
        ends.append(len(names))
    x, y = np.stack(images), np.array(labels)
    background, both = ends
    if lake or not (hold.counts or hold.folds):
        parts = _parts(background, both - background, lake, hold.seed)
    else:
        parts = hold.parts("omniglot", both, classes_needed(ways, rotations))
    protocol = {
        "split": "lake" if lake else "random", **hold.describe(), "pixels": size,
        "data_sha256": digest(x, y),
    }  # fmt: skip
    return ClassSource("omniglot", Stock.of(x, y, names), parts, ways, rotations, protocol)


def _parts(background: int, evaluation: int, lake: bool, seed: int) -> dict[str, np.ndarray]:
    """Say which of the characters, those of the background set first, are in which part."""
    if not lake:
        held = {"validation": 100, "test": 423}
        train = background + evaluation - sum(held.values())
        if train < 1:
            raise ValueError(f"the archives hold {background + evaluation} characters, not 1,623")
        return split_classes(background + evaluation, seed, {"train": train, **held})
    tenth = background // 10
    own = {"train": background - tenth, "validation": tenth, "test": 0}
    test = np.arange(background, background + evaluation)
    return {**split_classes(background, seed, own), "test": test}


def download_omniglot(folder: Path) -> None:
    """Fetch the archives that are not there from their author's repository, and check all.

    Raises:
        ValueError: a file cannot be had, or is not what it should be; it is not kept then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for archive, md5 in ARCHIVES.items():
        path = folder / archive
        if not path.exists():
            fetch(f"{_URL}/{archive}", path, md5)
        elif (found := _md5(path.read_bytes())) != md5:
            raise ValueError(
                f"{path} has the MD5 sum {found}, not {md5}: remove it, and --download again"
            )


def fetch(url: str, path: Path, md5: str) -> None:
    """Write what a URL holds to `path`.

    Raises:
        ValueError: it cannot be had, or has another MD5 sum; nothing is written then.
    """
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            data = response.read()
    except OSError as error:
        raise ValueError(f"{url} cannot be fetched: {error}") from None
    if (found := _md5(data)) != md5:
        raise ValueError(f"{url} has the MD5 sum {found}, not {md5}")
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_bytes(data)
    beside.replace(path)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _drawings(path: Path, size: int) -> dict[str, list[np.ndarray]]:
    """`[1, size, size]` uint8 by character, `Alphabet/characterNN`."""
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
                    drawn = read(io.BytesIO(archive.read(name)), f"{path}:{name}", "L", size)
                    character = "/".join(name.split("/")[-3:-1])
                    found.setdefault(character, []).append(255 - drawn)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is not a zip archive: {error}") from None
    if not found:
        raise ValueError(f"{path} holds no drawings")
    return found

"""Checkpoints that are either whole or not there.

    RUN_DIR/checkpoints/000100/tensors.safetensors   the tensors
    RUN_DIR/checkpoints/000100/manifest.json         iteration, state, sizes and sha256

A checkpoint is written beside its place, flushed to disk and renamed. Checkpoint N is the state
after N iterations, so the next iteration, counted from zero, is iteration N. No pickle: tensors
are safetensors, everything else is JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from torch import Tensor

from metarl.experiment.files import read_json, sync_folder

FORMAT = 1
TENSORS = "tensors.safetensors"
MANIFEST = "manifest.json"
_NAME = re.compile(r"(\d{6,})(\.old)?")


class CheckpointError(ValueError):
    """No checkpoint could be loaded; the message says what was found instead."""


class Checkpoint(NamedTuple):
    """A checkpoint holds what was saved, verified."""

    iteration: int  # iterations that were complete
    tensors: dict[str, Tensor]  # on the CPU
    state: dict[str, Any]  # JSON
    path: Path  # the checkpoint's folder
    skipped: tuple[str, ...]  # newer ones that did not verify, each with the reason


def save(
    folder: Path,
    iteration: int,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    *,
    keep: int | None = None,
) -> Path:
    """Write `folder/checkpoints/NNNNNN`; an interruption at any moment loses no earlier one.

    Args:
        folder: the run folder.
        iteration: iterations that are complete, ≥ 0. An existing checkpoint of it is replaced.
        tensors: by name, on any device; must not be empty.
        state: whatever else is needed to go on, as JSON with finite numbers.
        keep: how many of the newest checkpoints stay, ≥ 1; None keeps all.

    Returns:
        The checkpoint's folder.

    Raises:
        ValueError: `iteration` or `keep` is out of range, `tensors` is empty, or `state` has no
            JSON form. Nothing was written then.
    """
    if iteration < 0 or (keep is not None and keep < 1) or not tensors:
        raise ValueError(
            "a checkpoint needs iteration >= 0, keep >= 1 and at least one tensor, "
            f"got iteration={iteration}, keep={keep} and {len(tensors)} tensors"
        )
    blob = safetensors.torch.save({k: t.detach().cpu().clone() for k, t in tensors.items()})
    manifest = _manifest(iteration, blob, state)
    parent = folder / "checkpoints"
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(".*.tmp"):
        shutil.rmtree(leftover)
    beside = parent / f".{iteration:06d}.tmp"
    beside.mkdir()
    _write(beside / TENSORS, blob)
    _write(beside / MANIFEST, manifest.encode())
    sync_folder(beside)
    path = parent / f"{iteration:06d}"
    _put(beside, path)
    if keep is not None:
        older = [old for old in _candidates(parent) if _iteration(old) <= iteration]
        for old in older[keep:]:
            shutil.rmtree(old)
    return path


def load_latest(folder: Path) -> Checkpoint:
    """The newest checkpoint of a run folder that verifies; those it skipped are named in it.

    Args:
        folder: the run folder.

    Raises:
        CheckpointError: there is none; lists what was found.
    """
    parent = folder / "checkpoints"
    skipped: list[str] = []
    for path in _candidates(parent):
        try:
            iteration, tensors, state = _load(path)
        except (ValueError, OSError) as error:
            skipped.append(f"{path.name}: {error}")
        else:
            return Checkpoint(iteration, tensors, state, path, tuple(skipped))
    if skipped:
        raise CheckpointError(f"no valid checkpoint in {parent}; found " + "; ".join(skipped))
    raise CheckpointError(f"no checkpoint in {folder}: {_inventory(folder)}")


def _load(path: Path) -> tuple[int, dict[str, Tensor], dict[str, Any]]:
    """Read and verify one checkpoint.

    Raises:
        ValueError: with the reason why it cannot be trusted.
    """
    manifest = read_json(path / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{MANIFEST} is not of format {FORMAT}")
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    if manifest.get("sha256") != _digest(_canonical(body)):
        raise ValueError(f"{MANIFEST} does not match its sha256")
    expected = body["files"][TENSORS]
    if not (path / TENSORS).is_file():
        raise ValueError(f"{TENSORS} is missing")
    blob = (path / TENSORS).read_bytes()
    if len(blob) != expected["size"]:
        raise ValueError(f"{TENSORS} has {len(blob)} bytes instead of {expected['size']}")
    if _digest(blob) != expected["sha256"]:
        raise ValueError(f"{TENSORS} does not match its sha256")
    # Copies, aligned as torch aligns its own memory (safetensors gives views into one buffer), so
    # that a resumed run computes on the same kind of tensors as an uninterrupted one.
    tensors = {name: tensor.clone() for name, tensor in safetensors.torch.load(blob).items()}
    return body["iteration"], tensors, body["state"]


def _manifest(iteration: int, blob: bytes, state: Mapping[str, Any]) -> str:
    """The manifest's text, with the digest of its own content."""
    files = {TENSORS: {"size": len(blob), "sha256": _digest(blob)}}
    body = {"format": FORMAT, "iteration": iteration, "state": dict(state), "files": files}
    try:
        body = json.loads(_canonical(body))  # what a reader will see: tuples are lists
    except (TypeError, ValueError) as error:
        raise ValueError(f"the state of a checkpoint must be JSON: {error}") from None
    return json.dumps({**body, "sha256": _digest(_canonical(body))}, indent=2) + "\n"


def _canonical(body: Mapping[str, Any]) -> bytes:
    """The same content always as the same bytes."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Write a new file and flush it to disk."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _put(beside: Path, path: Path) -> None:
    """Rename into place; one that is there is kept as `.old`, which loads, until the new one is."""
    old = path.with_name(f"{path.name}.old")
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    beside.rename(path)
    sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _candidates(parent: Path) -> list[Path]:
    """Checkpoint folders, the newest first."""
    found = [path for path in parent.glob("*") if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: (-_iteration(path), path.name))


def _iteration(path: Path) -> int:
    return int(path.name.removesuffix(".old"))


def _inventory(folder: Path) -> str:
    """Say what a folder holds instead of checkpoints, for the error message."""
    if not folder.exists():
        return "it does not exist"
    if not folder.is_dir():
        return "it is not a folder"
    names = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    if not names:
        return "it is empty"
    return f"it holds {shown}; a run that ended before its first checkpoint has to be started again"

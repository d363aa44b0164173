"""What this machine can compute with."""

from __future__ import annotations

import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch

WORTH_COMPILING = 20
"""Iterations from which on compiling saves more time than it takes."""


def resolve_device(device: str) -> Literal["cpu", "cuda"]:
    """The device that `auto`, `cpu` or `cuda` means on this machine.

    Raises:
        ValueError: `cuda` where there is none, or an unknown name.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"the device must be auto, cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("the device cuda was asked for, but torch finds no CUDA device; use cpu")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def resolve_compile(mode: str, device: str, iterations: int) -> bool:
    """Say whether to compile; `auto` does in a run that is long enough to gain by it.

    Compiling takes some seconds once and makes the Fisher product 1.5 times as fast on a CPU. On a
    GPU, where that is not measured, it must be asked for.

    Raises:
        ValueError: `on` where compiling is not possible.
    """
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    possible = shutil.which("g++") is not None and headers.exists()
    if mode == "on" and not possible:
        raise ValueError(
            "--compile on needs g++ and Python's headers (Debian: g++ and python3-dev); use "
            "--compile off"
        )
    if mode == "on" and device == "cuda" and find_spec("triton") is None:
        raise ValueError("--compile on needs Triton on a GPU (pip install triton); use off")
    pays = possible and device == "cpu" and iterations >= WORTH_COMPILING
    return mode == "on" or (mode == "auto" and pays)

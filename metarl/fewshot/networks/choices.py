"""What a user may choose of a network; this file needs no torch."""

from __future__ import annotations

from typing import Literal, get_args

Activation = Literal["relu", "tanh"]


Norm = Literal["none", "batch", "group", "layer"]


NORMS: tuple[str, ...] = get_args(Norm)

"""What a user may choose of the core's; this file needs no torch."""

from __future__ import annotations

from typing import Literal

Precision = Literal["float32", "tf32"]

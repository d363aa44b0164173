"""What a user may choose of reinforcement learning's; this file needs no torch."""

from __future__ import annotations

from typing import NamedTuple


class ReturnsConfig(NamedTuple):
    """These settings say how rewards become advantages."""

    discount: float  # γ in [0, 1]
    gae_lambda: float  # λ in [0, 1]
    bootstrap_at_horizon: bool  # the value after the horizon is predicted instead of zero

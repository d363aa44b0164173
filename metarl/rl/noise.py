"""Random tensors from a run's generator, drawn where they are needed.

On a CPU numpy draws them. A GPU draws its own, from a seed that the generator gives, so that
nothing large is uploaded; its numbers are others than the CPU's.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

CPU = torch.device("cpu")


def uniform(rng: np.random.Generator, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """U[0, 1), float32."""
    if device.type == "cpu":
        return torch.from_numpy(rng.random(shape, dtype=np.float32))
    return torch.rand(shape, generator=_generator(rng, device), device=device)


def normal(rng: np.random.Generator, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """N(0, 1), float32."""
    if device.type == "cpu":
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    return torch.randn(shape, generator=_generator(rng, device), device=device)


def _generator(rng: np.random.Generator, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(int(rng.integers(2**63)))

"""Random changes to the images that a task is learned from."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from metarl.fewshot.data.task import Split


def shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Every image moved by up to `most` pixels in both directions; what comes in is black.

    Args:
        images: `[…, channels, height, width]`.
        most: 0 leaves them as they are.
        generator: on the images' device.
    """
    if most == 0:
        return images
    *lead, channels, height, width = images.shape
    flat = functional.pad(images.reshape(-1, channels, height, width), [most] * 4)
    device, count = images.device, len(flat)
    by = torch.randint(2 * most + 1, (2, count, 1), generator=generator, device=device)
    rows = torch.arange(height, device=device) + by[0]  # [N, height]
    columns = torch.arange(width, device=device) + by[1]
    number = torch.arange(count, device=device)[:, None, None]
    moved = flat.movedim(1, -1)[number, rows[:, :, None], columns[:, None, :]]
    return moved.movedim(-1, 1).reshape(*lead, channels, height, width)


def with_shifted_support(split: Split, most: int, generator: torch.Generator) -> Split:
    """Only the support sets are changed.

    Raises:
        ValueError: inputs that are not images.
    """
    if most == 0:
        return split
    if split.support.x.dim() != 5:
        raise ValueError("--support-shift moves images, and these inputs are none: leave it at 0")
    return split._replace(
        support=split.support._replace(x=shifted(split.support.x, most, generator))
    )

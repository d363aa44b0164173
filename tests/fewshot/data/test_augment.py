"""Random changes to support sets."""

import pytest
import torch

from metarl.fewshot import Examples, Sinusoid, Split
from metarl.fewshot.data.augment import shifted, with_shifted_support


def dots(count: int = 200) -> torch.Tensor:
    """One white pixel in the middle of each image."""
    images = torch.zeros(count, 1, 9, 9)
    images[:, 0, 4, 4] = 1.0
    return images


def test_images_move_by_at_most_so_many_pixels_each_by_its_own() -> None:
    """All shifts occur, and nothing else changes."""
    moved = shifted(dots(), 2, torch.Generator().manual_seed(0))
    places = {tuple(p.tolist()) for p in moved[:, 0].nonzero()[:, 1:]}
    assert places == {(i, j) for i in range(2, 7) for j in range(2, 7)}
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(200))


def test_what_leaves_the_image_is_lost() -> None:
    """It does not come back on the other side."""
    images = torch.zeros(300, 1, 3, 3)
    images[:, 0, 0, 0] = 1.0
    moved = shifted(images, 1, torch.Generator().manual_seed(0))
    assert not moved[:, 0, 2].any()
    assert not moved[:, 0, :, 2].any()
    assert float(moved.sum()) < 300


def test_only_support_sets_of_images_are_changed() -> None:
    """Queries stay, and numbers are refused."""
    half = Examples(dots(6).view(2, 3, 1, 9, 9), torch.zeros(2, 3, dtype=torch.int64))
    split = Split(half, half)
    generator = torch.Generator().manual_seed(0)
    changed = with_shifted_support(split, 2, generator)
    assert torch.equal(changed.query.x, half.x)
    assert not torch.equal(changed.support.x, half.x)
    assert with_shifted_support(split, 0, generator) is split
    with pytest.raises(ValueError, match="--support-shift moves images"):
        with_shifted_support(Sinusoid().sample(1, 2, 2, "train", generator), 1, generator)

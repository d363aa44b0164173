"""Counted seeds: an address names a stream."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from metarl.experiment.seeding import Phase, rng, torch_seed


def test_the_same_path_gives_the_same_stream() -> None:
    """The generator of an address depends on nothing but the address."""
    first = rng(3, Phase.ROLLOUT, 7).standard_normal(5)
    rng(3, Phase.ROLLOUT, 8).standard_normal(100)  # other streams do not advance this one
    np.testing.assert_array_equal(first, rng(3, Phase.ROLLOUT, 7).standard_normal(5))
    assert torch_seed(3, Phase.INIT) == torch_seed(3, Phase.INIT)


def test_different_paths_give_different_streams() -> None:
    """Another seed, number, order or length is another stream; a trailing zero counts too."""
    paths = [(0,), (1,), (0, 0), (0, 0, 0), (0, 1), (1, 0), (1, 0, 0), (0, 0, 1), (2**40, 0)]
    draws = [tuple(rng(*path).integers(2**62, size=2)) for path in paths]
    assert all(a != b for a, b in combinations(draws, 2))
    assert len({torch_seed(*path) for path in paths}) == len(paths)


def test_a_torch_seed_fits_a_signed_integer() -> None:
    """`torch.Generator.manual_seed` takes it."""
    assert all(0 <= torch_seed(seed, 1) < 2**63 for seed in range(50))


@pytest.mark.parametrize("address", [(-1,), (2**64,), (0, -1), (0, 2**32)])
def test_numbers_outside_the_range_are_refused(address: tuple[int, ...]) -> None:
    """A number that numpy would split or refuse is refused with the range named."""
    with pytest.raises(ValueError, match="between 0 and"):
        rng(*address)

"""The table of families."""

import gymnasium
import numpy as np
import pytest
from list_envs import _space


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (gymnasium.spaces.Box(-1, 1, (3,), np.float32), "box 3"),
        (gymnasium.spaces.Discrete(5), "one of 5"),
        (gymnasium.spaces.MultiDiscrete([3, 2]), "one each of 3×2"),
    ],
)
def test_every_kind_of_space_has_a_name(space: gymnasium.Space, text: str) -> None:
    """Short enough for a column."""
    assert _space(space) == text

"""The table of families."""

import gymnasium
import numpy as np
import pytest

from metarl.cli.list_envs import _presets, _space
from metarl.tasks import make_family


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


def test_what_the_tasks_of_a_preset_differ_in_is_shown() -> None:
    """Its range, horizon, observations and reward; presets of the same tasks share a row."""
    algorithms = {"maml-trpo": {"promp2018": ("half-cheetah-vel", "ant-dir")}, "rl2": {}}
    rows = _presets(make_family("half-cheetah-vel"), algorithms)
    assert rows["as above"] == "tasks only: finn2017"
    assert rows["U(0, 3) m/s, H 100"] == "maml-trpo: promp2018"
    assert rows["U(0, 3) m/s"] == "tasks only: pearl2019, varibad2020, varibad2020-gpu"
    assert rows["H 100, box 20"] == "tasks only: deleu2020-20d"
    rows = _presets(make_family("ant-dir"), algorithms)
    assert rows["H 100, another reward"] == "maml-trpo: promp2018"
    assert _presets(make_family("acrobot"), algorithms) == {}

"""Pictures; MuJoCo's are drawn offscreen by EGL, which `.ci/run` installs."""

import builtins
from typing import Any

import gymnasium
import numpy as np
import pytest

from metarl.tasks import FamilyEnv, family_names, make_family

DRAWN = [
    name for name in family_names() if hasattr(make_family(name).definition, "frames_per_second")
]
BODIES = {"half-cheetah-vel", "humanoid-dir", "hopper-params"}
FLAT = [name for name in DRAWN if make_family(name).definition.engine == "arrays"]


@pytest.fixture(autouse=True)
def _offscreen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")


@pytest.mark.parametrize("name", [*sorted(BODIES), *FLAT])
def test_a_picture_shows_what_happens(name: str) -> None:
    """`gym.make(…, render_mode="rgb_array").render()`: an image that changes with the state."""
    env = gymnasium.make(make_family(name).env_id, render_mode="rgb_array")
    env.reset(seed=0)
    env.action_space.seed(1)
    first = env.render()
    for _ in range(5):
        env.step(env.action_space.sample())
    later = env.render()
    assert first.dtype == np.uint8
    assert first.shape == later.shape
    assert first.shape[0] == first.shape[1] >= 400
    assert first.shape[2] == 3
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 2
    assert (first != later).any()
    assert env.metadata["render_fps"] > 0
    env.close()


def test_frames_per_second_are_control_steps_per_second() -> None:
    """As Gymnasium's own environments declare them."""
    theirs = {"half-cheetah-vel": "HalfCheetah-v5", "humanoid-dir": "Humanoid-v5"}
    for name, their_id in theirs.items():
        ours = FamilyEnv(make_family(name)).metadata["render_fps"]
        assert ours == gymnasium.make(their_id).unwrapped.metadata["render_fps"]


def test_the_goal_is_in_the_picture_where_the_task_puts_it() -> None:
    """The grid's green cell moves with the task; y points up."""
    env = FamilyEnv(make_family("grid-navi"), render_mode="rgb_array")
    centers = []
    for goal in ([4.0, 0.0], [0.0, 4.0]):
        env.reset(options={"task": {"goal": goal}})
        rows, columns = np.nonzero((env.render() == (44, 150, 60)).all(-1))
        centers.append((rows.mean(), columns.mean()))
    (low_row, right), (high_row, left) = centers
    assert low_row > 300 > 100 > high_row
    assert right > 300 > 100 > left


def test_a_family_without_pictures_says_so() -> None:
    """A bandit has no render mode, and nothing draws windows."""
    with pytest.raises(ValueError, match=r"bandit-k5 has the render modes \[\], got 'rgb_array'"):
        FamilyEnv(make_family("bandit-k5"), render_mode="rgb_array")
    with pytest.raises(ValueError, match=r"\['rgb_array'\], got 'human'; use render_mode=None"):
        FamilyEnv(make_family("point-nav"), render_mode="human")
    env = FamilyEnv(make_family("point-nav"))
    env.reset()
    assert env.render() is None


def test_a_missing_package_of_the_renderer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that installs it."""
    real = builtins.__import__

    def without_renderer(name: str, *args: Any) -> Any:
        if name == "gymnasium.envs.mujoco.mujoco_rendering":
            raise ImportError("No module named 'imageio'")
        return real(name, *args)

    env = FamilyEnv(make_family("half-cheetah-vel"), render_mode="rgb_array")
    env.reset()
    monkeypatch.setattr(builtins, "__import__", without_renderer)
    with pytest.raises(ImportError, match=r"'imageio'; pip install \"metarl\[render\]\""):
        env.render()

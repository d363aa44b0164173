"""Engines whose states are tensors, against those on numpy arrays and on MuJoCo itself."""

import copy
from typing import Any

import array_api_compat.torch as xp
import gymnasium
import mujoco
import mujoco_warp
import numpy as np
import pytest
import torch

from metarl.tasks import Choice, family_names, make_engine, make_family
from metarl.tasks.engines import warp as warp_module
from metarl.tasks.engines.arrays import ArraysEngine
from metarl.tasks.engines.base import EnvironmentFailure
from metarl.tasks.engines.device import TensorSource, TorchArraysEngine
from metarl.tasks.engines.mujoco import ThreadsEngine
from metarl.tasks.engines.warp import TASK_FIELDS, WarpEngine, solvable
from metarl.tasks.family import TaskFamily
from metarl.tasks.trial import TrialEngine, TrialNoise

FAMILIES = [make_family(name) for name in family_names()]
ON_ARRAYS = [family for family in FAMILIES if family.definition.engine == "arrays"]
ON_THREADS = [family for family in FAMILIES if family.definition.engine == "threads"]
ANTS = [family for family in ON_THREADS if family.name.startswith("ant-")]
QUICK = ("half-cheetah-vel", "hopper-params")  # the others need kernels of their own
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def available(device: str) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return device


def actions(family: TaskFamily, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    space: Any = family.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return rng.integers(space.n, size=shape)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return rng.integers(space.nvec, size=(*shape, *space.shape))
    return 0.3 * rng.uniform(space.low, space.high, (*shape, *space.shape))


def compare(family: TaskFamily, device: Any, host: Any, steps: int, tolerance: float) -> None:
    """The same tasks, noise and actions for both, up to the end of every episode."""
    rng = np.random.default_rng(0)
    tasks, noise = family.split("train").sample(host.num_tasks, 0), host.draw_noise(rng)
    mine, theirs = device.reset(tasks, noise.reset), host.reset(tasks, noise.reset)
    assert mine.device.type == device.device.type
    np.testing.assert_allclose(mine.cpu(), theirs, rtol=1e-4, atol=1e-5)
    running = np.ones(host.shape, bool)  # threads let what has ended rest
    for t in range(steps):
        action = actions(family, rng, host.shape)
        found, expected = device.step(action, noise.step[t]), host.step(action, noise.step[t])
        for field in ("obs", "reward", "terminated", "truncated"):
            mine, theirs = getattr(found, field).cpu().numpy(), getattr(expected, field)
            scale = 1 + np.abs(theirs) if theirs.dtype.kind == "f" else 1
            error = np.abs(mine.astype(float) - theirs) / scale
            assert np.all(error[running] <= tolerance), (t, field, error[running].max())
        assert found.metrics.keys() == expected.metrics.keys()
        running &= ~(expected.terminated | expected.truncated)
    assert running.any()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", ON_ARRAYS, ids=lambda f: f.name)
def test_array_families_are_the_same_on_torch(family: TaskFamily, device: str) -> None:
    """For five steps, with float32's rounding."""
    torch_engine = TorchArraysEngine(family, 3, 2, available(device))
    compare(family, torch_engine, ArraysEngine(family, 3, 2), 5, 1e-4)


def parity(family: TaskFamily, device: str, steps: int, tolerance: float) -> None:
    """Against a CPU model with the same solver."""
    host = ThreadsEngine(family, 2, 2, 1)
    host._models = [warp_module.solvable(model) for model in host._models]
    compare(family, WarpEngine(family, 2, 2, device), host, steps, tolerance)


TWENTY = 20, 1e-3
"""Steps and tolerance: all but the swimmer, which swims, touch the ground by then."""


@pytest.mark.parametrize("name", QUICK)
def test_warp_equals_mujoco(name: str) -> None:
    """Twenty steps to 1e-3, one to 1e-5, bodies of their own for every task included."""
    for steps, tolerance in ((1, 1e-5), TWENTY):
        parity(make_family(name), "cpu", steps, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", ON_THREADS, ids=lambda f: f.name)
def test_every_mujoco_family_takes_the_same_step_on_warp(family: TaskFamily, device: str) -> None:
    """One control step to 1e-5, the humanoid too, whose solver is another."""
    parity(family, available(device), 1, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", [f for f in ON_THREADS if f not in ANTS], ids=lambda f: f.name)
def test_every_mujoco_family_but_ants_goes_on_alike_on_warp(
    family: TaskFamily, device: str
) -> None:
    """Twenty control steps to 1e-3."""
    parity(family, available(device), *TWENTY)


def elliptic(model: Any) -> Any:
    """The model with friction that is the same however a contact's frame is turned."""
    model = copy.copy(solvable(model))
    model.opt.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    return model


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", ANTS, ids=lambda f: f.name)
def test_ants_go_on_alike_on_warp_but_for_the_frames_of_contacts(
    family: TaskFamily, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten control steps to 1e-3 with cones of friction for the pyramids.

    Where a capsule that is steeper than 60° touches the ground, MuJoCo Warp 4.0.0 turns the
    contact's frame, and with it the pyramid, another way than MuJoCo 4.0.0 does, which moves ants
    apart at once. Planar robots' capsules lie along an axis either way, and the humanoid's feet
    are spheres.
    """
    monkeypatch.setattr(warp_module, "solvable", elliptic)
    parity(family, available(device), 10, 1e-3)


def test_a_task_changes_no_field_that_warp_does_not_take_over() -> None:
    """What follows from masses, as MuJoCo computes it, is in the list of fields."""
    unused = {"actuator_acc0", "cam_poscom0", "light_poscom0"}  # muscles, cameras, lights
    known = set(mujoco_warp.Model.__annotations__)
    for name in ("half-cheetah-params", "hopper-params", "walker2d-params"):
        family = make_family(name)
        base, task = family.definition.model, family.split("train").sample(1, 0)
        changed = copy.copy(base)
        family.definition.apply(changed, {k: v[0] for k, v in task.items()})
        mujoco.mj_setConst(changed, mujoco.MjData(base))
        differ = {
            field
            for field in known
            if isinstance(value := getattr(base, field, None), np.ndarray)
            and not np.array_equal(value, getattr(changed, field))
        }
        assert differ - unused <= set(TASK_FIELDS)


def test_a_partial_reset_leaves_the_others() -> None:
    """Only masked environments start again."""
    family = make_family("half-cheetah-vel")
    engine, rng = WarpEngine(family, 2, 1, "cpu"), np.random.default_rng(0)
    tasks, noise = family.split("train").sample(2, 0), engine.draw_noise(rng)
    start = engine.reset(tasks, noise.reset)
    moved = engine.step(np.ones((2, 1, 6)), None).obs
    mask = torch.tensor([[True], [False]])
    after = engine.reset(tasks, noise.reset, mask)
    assert torch.equal(after[0], start[0])
    assert torch.equal(after[1], moved[1])


def test_dropped_contacts_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never in silence."""
    monkeypatch.setattr(warp_module, "contacts", lambda model: 1)
    monkeypatch.setattr(warp_module, "rows", lambda model: 4)
    family = make_family("half-cheetah-vel")
    engine = WarpEngine(family, 2, 1, "cpu")
    noise = engine.draw_noise(np.random.default_rng(0))
    engine.reset(family.split("train").sample(2, 0), noise.reset)
    for _ in range(20):
        engine.step(np.ones((2, 1, 6)), None)
    with pytest.raises(EnvironmentFailure, match="had more contacts than there is room for"):
        engine.require_intact()


@pytest.mark.parametrize("name", ["bandit-k5", "tabular-mdp"])
@pytest.mark.parametrize("device", DEVICES)
def test_noise_may_be_drawn_where_it_is_used(name: str, device: str) -> None:
    """The same for the same seed, with the moments that the family's rewards have."""
    definition = make_family(name).definition

    def draw(seed: int) -> torch.Tensor:
        source = TensorSource(np.random.default_rng(seed), torch.device(available(device)))
        return definition.draw_step_noise(xp, source, (10, 100, 20))

    noise = draw(0)
    assert noise.device.type == device
    assert torch.equal(noise, draw(0))
    assert not torch.equal(noise, draw(1))
    expected = (0.5, 12**-0.5), (0.0, 1.0)
    for column, (mean, std) in zip(noise.unbind(-1), expected, strict=False):
        assert abs(float(column.mean()) - mean) < 0.03
        assert abs(float(column.std()) - std) < 0.03


class Dials:
    """Two dials: each that stands where it belongs pays a half."""

    engine, ends_early = "arrays", False
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.MultiDiscrete([2, 3])

    def draw_reset_noise(self, rng: Any, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros((*shape, 0))

    def draw_step_noise(self, xp: Any, rng: Any, shape: tuple[int, ...]) -> Any:
        return rng.random((*shape, 1))

    def start(self, xp: Any, task: Any, noise: Any) -> Any:
        return task["dials"][..., :1] * 0.0

    def observe(self, xp: Any, state: Any) -> Any:
        return state

    def step(self, xp: Any, state: Any, action: Any, task: Any, noise: Any) -> Any:
        reward = xp.mean(xp.astype(action == task["dials"], xp.float32), axis=-1)
        return state, reward, reward < 0, {}


DIALS = TaskFamily(
    name="dials",
    definition=Dials(),
    parameters={"dials": Choice(((0.0, 0.0), (1.0, 2.0)))},
    horizon=6,
)


@pytest.mark.parametrize(
    "family",
    [
        *(make_family(name, horizon=6) for name in ("point-nav", "tabular-mdp", "cartpole")),
        DIALS,
    ],
    ids=lambda f: f.name,
)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("asks", [True, False])
def test_trials_are_the_same_on_torch(family: TaskFamily, device: str, asks: bool) -> None:
    """Also where nothing may ask whether an episode has ended, as on a GPU."""
    host = TrialEngine(ArraysEngine(family, 5, 2), 3)
    mine = TrialEngine(TorchArraysEngine(family, 5, 2, available(device)), 3)
    mine._host = asks and mine._host
    rng = np.random.default_rng(0)
    tasks, noise = family.split("train").sample(5, 0), host.draw_noise(rng)
    own = TrialNoise(*(torch.as_tensor(part, device=device).float() for part in noise))
    for _ in range(2):  # a second trial starts afresh
        expected, found = host.reset(tasks, noise.reset), mine.reset(tasks, own.reset)
        np.testing.assert_allclose(found.cpu(), expected, rtol=1e-4, atol=1e-4)
        for t in range(host.horizon):
            action = actions(family, rng, (5, 2))
            theirs = host.step(action, noise.step[t])
            given = torch.as_tensor(action, device=device)
            ours = mine.step(given, own.step[t])
            for one, other in zip(ours[:4], theirs[:4], strict=True):
                assert one.device.type == device
                np.testing.assert_allclose(one.cpu(), other, rtol=1e-4, atol=1e-4)
            assert np.array_equal(ours[4]["episode"].cpu(), theirs[4]["episode"])


@pytest.mark.parametrize(
    "family", [f for f in FAMILIES if not f.definition.ends_early], ids=lambda f: f.name
)
def test_families_that_say_so_never_end_early(family: TaskFamily) -> None:
    """So that trials need not ask."""
    engine = make_engine(family, 4, 2)
    rng = np.random.default_rng(0)
    noise = engine.draw_noise(rng)
    engine.reset(family.split("train").sample(4, 0), noise.reset)
    for t in range(min(engine.horizon, 30)):
        found = engine.step(actions(family, rng, (4, 2)), noise.step[t])
        assert not found.terminated.any()
    engine.close()

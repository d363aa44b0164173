"""MuJoCo Warp: bodies that differ from task to task, and what it cannot run on."""

import copy
import re
import sys
from typing import Any

import mujoco
import mujoco_warp
import numpy as np
import pytest
import torch

from metarl.tasks import Uniform, engines, make_engine, make_family
from metarl.tasks.engines import warp as warp_module
from metarl.tasks.engines.device import TorchArraysEngine
from metarl.tasks.engines.mujoco import ThreadsEngine
from metarl.tasks.engines.warp import WarpEngine
from metarl.tasks.family import TaskFamily
from metarl.tasks.task import Tasks
from tests.tasks.test_device import DEVICES, available

MASSES, FRICTIONS, DAMPINGS = (0.5, 1.0, 2.0, 3.0), (1.0, 0.4, 2.0, 0.7), (2.0, 0.5, 1.0, 1.5)


def four_bodies(family: TaskFamily, order: slice = slice(None)) -> Tasks:
    """Four tasks whose factors of mass, friction and damping are chosen by hand."""
    tasks = {name: np.ones((4, *np.shape(v))) for name, v in default(family).items()}
    factors = {"mass": MASSES, "inertia": MASSES, "friction": FRICTIONS, "damping": DAMPINGS}
    return {name: (ones.T * np.array(factors[name][order])).T for name, ones in tasks.items()}


def default(family: TaskFamily) -> dict[str, Any]:
    found: dict[str, Any] = family.definition.default_task
    return found


def model_of(family: TaskFamily, tasks: Tasks, i: int) -> Any:
    """A CPU model of one task, made without the family's own code."""
    model = copy.copy(family.definition.model)
    model.body_mass[1:] *= tasks["mass"][i]
    model.body_inertia[1:] *= tasks["inertia"][i]
    model.geom_friction[:] *= tasks["friction"][i]
    model.dof_damping[:] *= tasks["damping"][i]
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def bodies_of(family: TaskFamily, tasks: Tasks, offset: np.ndarray) -> list[tuple[Any, Any]]:
    """Models and data of all tasks, two episodes each, that start `offset` from the default."""
    bodies = []
    for model in (model_of(family, tasks, i) for i in range(4)):
        for start in offset:
            data = mujoco.MjData(model)
            data.qpos += start[: model.nq]
            data.qvel += start[model.nq :]
            bodies.append((model, data))
    return bodies


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["half-cheetah-params", "hopper-params", "walker2d-params"])
def test_bodies_of_one_batch_move_as_on_models_of_their_own(name: str, device: str) -> None:
    """Four masses, frictions and dampings, ten control steps each, then the other way round.

    The second time would show a captured graph that still steps the bodies of the first.
    """
    family = make_family(name)
    engine, model = WarpEngine(family, 4, 2, available(device)), family.definition.model
    rng = np.random.default_rng(0)
    offset = 0.05 * rng.standard_normal((2, model.nq + model.nv))
    for order in (slice(None), slice(None, None, -1)):
        tasks = four_bodies(family, order)
        engine.reset(tasks, np.tile(offset, (4, 1, 1)))
        bodies = bodies_of(family, tasks, offset)
        for _ in range(10):
            action = rng.uniform(-1, 1, (2, model.nu)).astype(np.float32)
            engine.step(np.tile(action, (4, 1, 1)), None)
            for i, (body, data) in enumerate(bodies):
                data.ctrl[:] = action[i % 2]
                mujoco.mj_step(body, data, family.definition.frame_skip)
        found = np.concatenate([engine._tensors[n].cpu() for n in ("qpos", "qvel")], 1)
        expected = np.stack([np.concatenate([data.qpos, data.qvel]) for _, data in bodies])
        assert np.all(np.abs(found - expected) <= 1e-3 * (1 + np.abs(expected)))
        # bodies that moved alike would show no mistake
        assert np.all(expected.reshape(4, 2, -1).std(0).max(-1) > 0.05)


CHEETAHS = make_family("half-cheetah-params")


def test_an_engine_that_cannot_run_a_family_says_which_one_can() -> None:
    """Array functions, a MuJoCo model, and an environment of Gymnasium's."""
    with pytest.raises(ValueError, match="which has no MuJoCo model; use --engine arrays"):
        make_engine(make_family("point-nav"), 1, 1, engine="warp")
    with pytest.raises(ValueError, match="cannot run half-cheetah-vel; use --engine threads"):
        TorchArraysEngine(make_family("half-cheetah-vel"), 1, 1, "cpu")
    pendulum = TaskFamily(env="Pendulum-v1", parameters={"g": Uniform(5, 15)})
    for engine in ("warp", "threads"):
        with pytest.raises(ValueError, match="has no MuJoCo model; use --engine vector"):
            make_engine(pendulum, 1, 1, engine=engine)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of an error from inside torch."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="finds no CUDA device"):
        WarpEngine(CHEETAHS, 1, 1, "cuda")


@pytest.mark.parametrize("package", ["warp", "mujoco_warp"])
def test_a_missing_extra_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=r'needs MuJoCo Warp .*pip install -e "\.\[gpu\]"'):
        WarpEngine(CHEETAHS, 1, 1, "cpu")


def test_without_the_extra_a_gpu_leaves_the_simulation_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And says so, with the command that installs it."""
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.warns(UserWarning, match=r'stays on the CPU; .*pip install -e "\.\[gpu\]"'):
        engine = make_engine(CHEETAHS, 1, 1, device="cuda")
    assert isinstance(engine, ThreadsEngine)


def test_versions_that_do_not_fit_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before MuJoCo Warp is imported, which may not survive another MuJoCo."""
    monkeypatch.setattr(mujoco, "__version__", "3.3.0")
    monkeypatch.setitem(sys.modules, "mujoco_warp", None)
    message = "MuJoCo 3.3.0 and MuJoCo Warp .* do not fit: both must be of one version"
    with pytest.raises(ValueError, match=message):
        WarpEngine(CHEETAHS, 1, 1, "cpu")


def failing(message: str) -> Any:
    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError(message)

    return fail


@pytest.mark.parametrize("function", ["put_model", "make_data"])
def test_too_little_memory_is_told_in_figures(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What so many environments need, what is free, and how many would fit."""
    original = getattr(mujoco_warp, function)

    def allocate(model: Any, *arguments: Any, **options: Any) -> Any:
        if options.get("nworld") == 1:  # what the message is computed from
            return original(model, *arguments, **options)
        raise RuntimeError("Failed to allocate 40000 bytes on device 'cuda:0'")

    monkeypatch.setattr(mujoco_warp, function, allocate)
    monkeypatch.setattr(warp_module, "free_bytes", lambda device: 2**30)
    with pytest.raises(ValueError, match="1000000 environments of half-cheetah-params") as caught:
        WarpEngine(CHEETAHS, 1000, 1000, "cpu")
    message = str(caught.value)
    numbers = re.search(r"need at least (\S+) GiB .* 1.00 GiB are free, room for (\d+) at", message)
    assert numbers is not None
    need, room = float(numbers[1]), int(numbers[2])
    assert 30 < need < 60  # 40 kB of contacts, rows and states each
    assert room == pytest.approx(1e6 / need, rel=1e-3)
    monkeypatch.setattr(mujoco_warp, function, failing("a kernel does not compile"))
    with pytest.raises(RuntimeError, match="does not compile"):
        WarpEngine(CHEETAHS, 1, 1, "cpu")

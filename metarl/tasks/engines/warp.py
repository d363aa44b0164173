"""MuJoCo Warp: all environments of a MuJoCo family step together on a GPU (slowly on a CPU).

State, controls and derived fields are torch tensors that share memory with Warp's arrays. On CUDA
the physics steps of a control step are captured once as a graph. MuJoCo Warp has no PGS solver:
a model that asks for it (the humanoid) is solved by Newton's method, which converges further.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import mujoco
import numpy as np
import torch
from torch import Tensor

from metarl.tasks.engines.base import EnvironmentFailure, StepOutput
from metarl.tasks.engines.device import DeviceEngine, as_array
from metarl.tasks.engines.warp_memory import contacts, free_bytes, gib, rows, size_in_bytes
from metarl.tasks.physics import Physics
from metarl.tasks.protocols import Family, MujocoDefinition
from metarl.tasks.task import Tasks, task_at
from metarl.tasks.xp import Array, TaskArrays

TASK_FIELDS = (
    "body_mass",
    "body_subtreemass",
    "body_inertia",
    "body_invweight0",
    "geom_friction",
    "dof_damping",
    "dof_invweight0",
)
"""Fields of a model that a task may change, and what follows from them."""


class WarpEngine(DeviceEngine):
    """T × E copies of a model on MuJoCo Warp, with fields of their own where tasks change it."""

    def __init__(
        self,
        family: Family,
        num_tasks: int,
        num_episodes: int,
        device: str | torch.device = "cuda",
    ) -> None:
        """Put all environments on the device.

        Args:
            family: a MuJoCo family.
            num_tasks: T.
            num_episodes: E.
            device: of torch and Warp alike.

        Raises:
            ValueError: the family has no MuJoCo model, the extra is not installed or does not fit
                the installed MuJoCo, there is no such device, or too little memory on it.
        """
        super().__init__(family, num_tasks, num_episodes, device)
        definition = family.definition
        if definition.engine != "threads":
            raise ValueError(
                f"the warp engine cannot run {family.name}, which has no MuJoCo model; "
                f"use --engine {definition.engine}"
            )
        self._warp, self._mjw = _packages()
        self._definition: MujocoDefinition = definition
        self._skip = self._definition.frame_skip
        self._count = num_tasks * num_episodes
        self._cpu_model = solvable(self._definition.model)
        with self._warp.ScopedDevice(str(self.device)):
            self._allocate()
        self._graphs: dict[str, Any] = {}  # by the name of the work
        self._physics_now: Physics | None = None

    def _allocate(self) -> None:
        """Model and data on the device, and the tensors that share their memory."""
        model, to_torch = self._cpu_model, self._warp.to_torch
        varied = TASK_FIELDS if self._definition.changes_model else ()
        free = free_bytes(self.device)
        try:
            self._model = self._mjw.put_model(model, dict.fromkeys(varied, self._count))
            d = self._data = self._make_data(self._count)
        except RuntimeError as error:
            if "allocate" not in str(error):  # Warp has no kind of its own for it
                raise
            raise ValueError(self._too_many(varied, free)) from None
        # what the solver leaves unsolved after all its iterations is MuJoCo's own business
        self._model.opt.warn_overflow = 0
        self._tensors = {
            name: to_torch(getattr(d, name))
            for name in ("qpos", "qvel", "ctrl", "time", "qacc_warmstart", "overflow")
        }
        self._fields = {name: to_torch(getattr(self._model, name)) for name in varied}
        self._derived = {name: to_torch(getattr(d, name)) for name in self._definition.derived}
        initial = mujoco.MjData(model)
        self._initial = self.tensor(initial.qpos), self.tensor(initial.qvel)

    def _make_data(self, count: int) -> Any:
        model = self._cpu_model
        return self._mjw.make_data(model, nworld=count, nconmax=contacts(model), njmax=rows(model))

    def _too_many(self, varied: tuple[str, ...], free: int) -> str:
        """Say that the environments do not fit; it measures one of them on the CPU."""
        with self._warp.ScopedDevice("cpu"):
            one = size_in_bytes(self._make_data(1), self._warp.array)
        one += sum(4 * getattr(self._cpu_model, name).size for name in varied)
        return (
            f"{self._count} environments of {self.family.name} need at least "
            f"{gib(self._count * one)} GiB of the memory of {self.device}, where {gib(free)} GiB "
            f"are free, room for {free // one} at most; take fewer tasks or episodes"
        )

    def reset(self, tasks: TaskArrays, noise: Array, mask: Array | None = None) -> Array:
        """Start episodes where `mask` holds; observations `[T, E, O]`."""
        chosen = self._begin(tasks, mask).reshape(-1, 1)
        offsets = self.tensor(noise).reshape(self._count, -1)
        at, t = self._cpu_model.nq, self._tensors
        for name, start, offset in (
            ("qpos", self._initial[0], offsets[:, :at]),
            ("qvel", self._initial[1], offsets[:, at:]),
        ):
            t[name].copy_(torch.where(chosen, start + offset, t[name]))
        for name in ("ctrl", "qacc_warmstart"):
            t[name].copy_(torch.where(chosen, 0.0, t[name]))
        t["time"].copy_(torch.where(chosen[:, 0], 0.0, t["time"]))
        if mask is None:  # else what was dropped before stays known
            t["overflow"].zero_()
        if self._derived:
            self._forward(chosen)
        self._physics_now = self._physics()
        return self._observe(self._physics_now)

    def step(self, action: Array, noise: Array) -> StepOutput:
        """One control step (frame_skip physics steps) of every environment."""
        assert self._physics_now is not None, "reset first"
        clipped, before = self._allowed(action), self._physics_now
        self._tensors["ctrl"].copy_(clipped.reshape(self._count, -1))
        self._advance()
        after = self._physics_now = self._physics()
        reward, metrics = self._definition.reward(
            self.xp, before, as_array(clipped), after, self._uploaded
        )
        terminated = self._definition.terminated(self.xp, after)
        obs, truncated = self._observe(after), as_array(self._out_of_time())
        return StepOutput(obs, reward, terminated, truncated, metrics)

    def require_intact(self) -> None:
        """Refuse contacts that were dropped since the last reset; it waits for the device.

        Raises:
            EnvironmentFailure: a buffer was too small.
        """
        flags = self._mjw.OverflowType
        dropped = flags.ALL & ~(flags.ITERATIONS | flags.LS_ITERATIONS)
        lost = (self._tensors["overflow"] & int(dropped)).nonzero()
        if len(lost):
            task, episode = divmod(int(lost[0]), self.num_episodes)
            kind = flags(int(self._tensors["overflow"][lost[0]]) & int(dropped))
            raise EnvironmentFailure(
                f"{self.family.name}: task {task}, episode {episode} had more contacts than there "
                f"is room for ({kind!r}); MuJoCo on the CPU makes room for all: start a run with "
                "--engine threads, or go on with --device cpu if the engine is auto"
            )

    def _advance(self) -> None:
        """The physics steps of a control step."""
        self._launch(self._physics_steps)

    def _launch(self, work: Callable[[], None]) -> None:
        """Work on model and data; on CUDA by a graph on torch's stream, captured the first time."""
        wp, name = self._warp, work.__name__
        if self.device.type != "cuda":
            with wp.ScopedDevice(str(self.device)):
                work()
            return
        if name not in self._graphs:
            self._graphs[name] = self._captured(work)
        with wp.ScopedStream(wp.stream_from_torch(torch.cuda.current_stream(self.device))):
            wp.capture_launch(self._graphs[name])

    def _captured(self, work: Callable[[], None]) -> Any:
        """The graph of some work, captured on a stream of its own: torch's default cannot."""
        wp = self._warp
        kept = {name: t.clone() for name, t in self._tensors.items()}
        torch.cuda.synchronize(self.device)
        with wp.ScopedStream(wp.Stream(str(self.device))):
            work()  # compiles, which a capture cannot
            with wp.ScopedCapture() as capture:
                work()
        torch.cuda.synchronize(self.device)
        for name, values in kept.items():
            self._tensors[name].copy_(values)
        return capture.graph

    def _physics_steps(self) -> None:
        for _ in range(self._skip):
            self._mjw.step(self._model, self._data)

    def _forward_pass(self) -> None:
        self._mjw.forward(self._model, self._data)

    def _forward(self, chosen: Tensor) -> None:
        """Derived fields of states that no step led to; the others keep theirs."""
        kept = {name: values.clone() for name, values in self._derived.items()}
        self._launch(self._forward_pass)
        for name, values in self._derived.items():
            wide = chosen.view(-1, *[1] * (values.dim() - 1))
            values.copy_(torch.where(wide, values, kept[name]))

    def _take(self, tasks: Tasks) -> None:
        """The model's fields of every task too; MuJoCo computes what follows from the masses."""
        super()._take(tasks)
        if not self._fields:
            return
        scratch = mujoco.MjData(self._cpu_model)
        found: dict[str, list[np.ndarray]] = {name: [] for name in self._fields}
        for i in range(self.num_tasks):
            model = copy.copy(self._cpu_model)
            self._definition.apply(model, task_at(tasks, i))
            mujoco.mj_setConst(model, scratch)
            for name, rows_ in found.items():
                rows_.append(getattr(model, name).copy())
        for name, values in self._fields.items():
            per_task = self.tensor(np.stack(found[name]))
            values.copy_(per_task.repeat_interleave(self.num_episodes, 0).view_as(values))

    def _physics(self) -> Physics:
        """A copy of the states as `[T, E, …]`."""
        t = self._tensors
        derived = {k: self._copied(v) for k, v in self._derived.items()}
        return Physics(self._copied(t["qpos"]), self._copied(t["qvel"]), derived)

    def _copied(self, values: Tensor) -> Array:
        return as_array(values.reshape(*self.shape, -1).clone())

    def _observe(self, physics: Physics) -> Array:
        obs = self._definition.observe(self.xp, physics)
        seen: Array = self.xp.astype(obs, self.xp.float32, copy=False)
        return seen


def solvable(model: mujoco.MjModel) -> mujoco.MjModel:
    """The model with a solver that MuJoCo Warp has."""
    if model.opt.solver != mujoco.mjtSolver.mjSOL_PGS:
        return model
    model = copy.copy(model)
    model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    return model


def _packages() -> tuple[Any, Any]:
    """Warp and MuJoCo Warp.

    Raises:
        ValueError: they are missing, or do not fit the installed MuJoCo; names the extra.
    """
    extra = (
        'install the extra: pip install -e ".[gpu]" -c constraints.txt, in a virtual environment '
        "without the extra metaworld, whose MuJoCo excludes it"
    )
    try:
        ours, theirs = mujoco.__version__, version("mujoco-warp")
        if ours.split(".")[:2] != theirs.split(".")[:2]:  # it might not even be imported then
            raise ValueError(
                f"MuJoCo {ours} and MuJoCo Warp {theirs} do not fit: both must be of one version; "
                f"{extra}"
            )
        import warp

        warp.config.log_level = warp.LOG_ERROR  # else it tells of every kernel that it loads
        import mujoco_warp
    except ImportError as error:
        raise ValueError(f"the warp engine needs MuJoCo Warp ({error}); {extra}") from None
    return warp, mujoco_warp

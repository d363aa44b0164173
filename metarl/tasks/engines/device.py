"""What the engines share whose states are torch tensors: on a GPU nothing is copied to the host."""

from __future__ import annotations

from typing import Any

import array_api_compat.torch as xp
import gymnasium
import numpy as np
import torch
from torch import Tensor

from metarl.tasks.engines.base import Engine, EpisodeNoise, StepOutput
from metarl.tasks.protocols import ArraysDefinition, Family, MujocoDefinition
from metarl.tasks.task import Tasks
from metarl.tasks.xp import Array, Shape, TaskArrays


class DeviceEngine(Engine):
    """T tasks × E episodes as float32 tensors; the noise of an episode is uploaded once.

    It takes and returns tensors: the contents of `StepOutput` are tensors on `device`. Nothing in a
    step waits for the device, so actions are clipped, and discrete ones not checked.
    """

    xp = xp

    device: torch.device
    _definition: MujocoDefinition | ArraysDefinition

    def __init__(
        self, family: Family, num_tasks: int, num_episodes: int, device: str | torch.device
    ) -> None:
        """Refuse counts below 1, and a device that torch has not; raises ValueError."""
        super().__init__(family, num_tasks, num_episodes)
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError("the device cuda was asked for, but torch finds no CUDA device")
        self._clock = torch.zeros(self.shape, dtype=torch.int64, device=self.device)
        self._bounds: tuple[Tensor, Tensor] | None = None
        space = family.action_space
        if isinstance(space, gymnasium.spaces.Box):
            self._bounds = self.tensor(space.low), self.tensor(space.high)
        self._uploaded: TaskArrays = {}  # the tasks, tensors [T, 1, …]

    def tensor(self, values: Array | Tensor) -> Tensor:
        """float32 on the device, or the tensor's own type if it is not a float."""
        tensor = torch.as_tensor(np.asarray(values)) if not isinstance(values, Tensor) else values
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        return tensor.to(self.device, dtype, non_blocking=True)

    def draw_noise(self, rng: np.random.Generator) -> EpisodeNoise:
        """Draw as the family defines it, first for resets, then for all steps."""
        reset = self.tensor(self._definition.draw_reset_noise(rng, self.shape))
        return EpisodeNoise(as_array(reset), as_array(self._step_noise(rng)))

    def _step_noise(self, rng: np.random.Generator) -> Tensor:
        return torch.zeros((self.horizon, *self.shape, 0), device=self.device)

    def _begin(self, tasks: TaskArrays, mask: Array | None) -> Tensor:
        """Set the tasks, restart the masked clocks and return the mask `[T, E]`."""
        if self._set_tasks(tasks, mask):
            self._take(self._given)
        if mask is None:
            chosen = torch.ones(self.shape, dtype=torch.bool, device=self.device)
        else:
            chosen = torch.as_tensor(mask, device=self.device)
        self._clock = torch.where(chosen, 0, self._clock)
        return chosen

    def _on_host(self, mask: Array) -> np.ndarray:
        return torch.as_tensor(mask).cpu().numpy()

    def _take(self, tasks: Tasks) -> None:
        """Upload tasks that the engine has not had."""
        self._uploaded = {k: as_array(self.tensor(v)) for k, v in self._tasks.items()}

    def _allowed(self, action: Array | Tensor) -> Tensor:
        """Actions clipped to a `Box`."""
        tensor = self.tensor(action)
        return tensor if self._bounds is None else torch.clamp(tensor, *self._bounds)

    def _out_of_time(self) -> Tensor:
        """Advance the clock by a step; True where the horizon is reached."""
        self._clock = self._clock + 1
        return self._clock >= self.horizon


class TorchArraysEngine(DeviceEngine):
    """Families that need no physics engine, by their own array functions on torch."""

    _definition: ArraysDefinition

    def __init__(
        self, family: Family, num_tasks: int, num_episodes: int, device: str | torch.device
    ) -> None:
        """Refuse a family whose definition is not made of array functions; raises ValueError."""
        super().__init__(family, num_tasks, num_episodes, device)
        definition = family.definition
        if definition.engine != "arrays":
            raise ValueError(
                f"the arrays engine cannot run {family.name}; use --engine {definition.engine}"
            )
        self._definition = definition
        self._state: Array | None = None  # a tensor [T, E, S]

    def _step_noise(self, rng: np.random.Generator) -> Tensor:
        draw, shape = self._definition.draw_step_noise, (self.horizon, *self.shape)
        if self.device.type == "cpu":
            return self.tensor(draw(np, rng, shape))
        return self.tensor(draw(xp, TensorSource(rng, self.device), shape))

    def reset(self, tasks: TaskArrays, noise: Array, mask: Array | None = None) -> Array:
        """Start episodes where `mask` holds; observations `[T, E, O]`."""
        chosen = self._begin(tasks, mask)
        start = self._definition.start(xp, self._uploaded, as_array(self.tensor(noise)))
        start = self.xp.broadcast_to(start, (*self.shape, start.shape[-1])).clone()
        if self._state is not None and mask is not None:
            start = self.xp.where(chosen[..., None], start, self._state)
        self._state = start
        return self._observe(start)

    def step(self, action: Array, noise: Array) -> StepOutput:
        """One step of every environment."""
        assert self._state is not None, "reset first"
        allowed, drawn = as_array(self._allowed(action)), as_array(self.tensor(noise))
        self._state, reward, terminated, metrics = self._definition.step(
            xp, self._state, allowed, self._uploaded, drawn
        )
        obs, late = self._observe(self._state), as_array(self._out_of_time())
        return StepOutput(obs, reward, terminated, late, metrics)

    def _observe(self, state: Array) -> Array:
        obs = self._definition.observe(xp, state)
        seen: Array = self.xp.astype(obs, self.xp.float32, copy=False)
        return seen


def as_array(tensor: Any) -> Array:
    """A tensor as families are written for, arrays of any namespace; see `metarl.tasks.xp`."""
    array: Array = tensor
    return array


class TensorSource:
    """Draws tensors where they are used, from a seed that a generator gives."""

    def __init__(self, rng: np.random.Generator, device: torch.device) -> None:
        """Seed a generator of torch by one of numpy.

        Args:
            rng: gives the seed.
            device: where the tensors are to be.
        """
        self._generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
        self._device = device

    def random(self, shape: Shape, /) -> Array:
        """U[0, 1)."""
        return as_array(torch.rand(shape, generator=self._generator, device=self._device))

    def standard_normal(self, shape: Shape, /) -> Array:
        """N(0, 1)."""
        return as_array(torch.randn(shape, generator=self._generator, device=self._device))

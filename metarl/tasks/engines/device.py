"""What the engines share whose states are torch tensors: on a GPU nothing is copied to the host."""

from __future__ import annotations

from typing import Any

import array_api_compat.torch as xp
import gymnasium
import numpy as np
import torch
from torch import Tensor

from metarl.tasks.engines.base import Engine, EpisodeNoise, StepOutput
from metarl.tasks.protocols import Family
from metarl.tasks.task import Tasks


class DeviceEngine(Engine):
    """T tasks × E episodes as float32 tensors; the noise of an episode is uploaded once.

    It takes and returns tensors: the contents of `StepOutput` are tensors on `device`. Nothing in a
    step waits for the device, so actions are clipped, and discrete ones not checked.
    """

    xp = xp

    @property
    def ends_early(self) -> bool:
        """Whether an episode may end before the horizon."""
        early: bool = self.family.definition.ends_early
        return early

    def __init__(
        self, family: Family, num_tasks: int, num_episodes: int, device: str | torch.device
    ) -> None:
        """Raises ValueError where a count is below 1, or torch has no such device."""
        super().__init__(family, num_tasks, num_episodes)
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError("the device cuda was asked for, but torch finds no CUDA device")
        self._clock = torch.zeros(self.shape, dtype=torch.int64, device=self.device)
        self._bounds: tuple[Tensor, Tensor] | None = None
        space = family.action_space
        if isinstance(space, gymnasium.spaces.Box):
            self._bounds = self.tensor(space.low), self.tensor(space.high)
        self._uploaded: dict[str, Tensor] = {}  # the tasks, [T, 1, …]

    def tensor(self, values: Any) -> Tensor:
        """float32 on the device, or the tensor's own type if it is not a float."""
        tensor = torch.as_tensor(np.asarray(values)) if not isinstance(values, Tensor) else values
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        return tensor.to(self.device, dtype, non_blocking=True)

    def draw_noise(self, rng: np.random.Generator) -> EpisodeNoise:
        """As the family defines it, first for resets, then for all steps."""
        definition = self.family.definition
        reset = self.tensor(definition.draw_reset_noise(rng, self.shape))
        return EpisodeNoise(reset, self._step_noise(rng))  # type: ignore[arg-type]

    def _step_noise(self, rng: np.random.Generator) -> Tensor:
        return torch.zeros((self.horizon, *self.shape, 0), device=self.device)

    def _begin(self, tasks: Tasks, mask: Any) -> Tensor:
        """Set the tasks, restart the masked clocks and return the mask `[T, E]`."""
        if self._set_tasks(tasks, mask):
            self._take(self._given)
        if mask is None:
            chosen = torch.ones(self.shape, dtype=torch.bool, device=self.device)
        else:
            chosen = torch.as_tensor(mask, device=self.device)
        self._clock = torch.where(chosen, 0, self._clock)
        return chosen

    def _on_host(self, mask: Any) -> np.ndarray:
        return torch.as_tensor(mask).cpu().numpy()

    def _take(self, tasks: Tasks) -> None:
        """Upload tasks that the engine has not had."""
        self._uploaded = {name: self.tensor(values) for name, values in self._tasks.items()}

    def _allowed(self, action: Any) -> Tensor:
        """Actions clipped to a `Box`."""
        tensor = self.tensor(action)
        return tensor if self._bounds is None else torch.clamp(tensor, *self._bounds)

    def _out_of_time(self) -> Tensor:
        """Advance the clock by a step; True where the horizon is reached."""
        self._clock = self._clock + 1
        return self._clock >= self.horizon


class TorchArraysEngine(DeviceEngine):
    """Families that need no physics engine, by their own array functions on torch."""

    def __init__(
        self, family: Family, num_tasks: int, num_episodes: int, device: str | torch.device
    ) -> None:
        """Raises ValueError for a family whose definition is not made of array functions."""
        super().__init__(family, num_tasks, num_episodes, device)
        if family.definition.engine != "arrays":
            raise ValueError(
                f"the arrays engine cannot run {family.name}; "
                f"use --engine {family.definition.engine}"
            )
        self._definition = family.definition
        self._state: Any = None

    def _step_noise(self, rng: np.random.Generator) -> Tensor:
        draw, shape = self._definition.draw_step_noise, (self.horizon, *self.shape)
        if self.device.type == "cpu":
            return self.tensor(draw(np, rng, shape))
        return self.tensor(draw(xp, TensorSource(rng, self.device), shape))

    def reset(self, tasks: Tasks, noise: Any, mask: Any = None) -> Tensor:
        """Start episodes where `mask` holds; observations `[T, E, O]`."""
        chosen = self._begin(tasks, mask)
        start = self._definition.start(xp, self._uploaded, self.tensor(noise))
        start = torch.broadcast_to(start, (*self.shape, start.shape[-1])).clone()
        if self._state is not None and mask is not None:
            start = torch.where(chosen[..., None], start, self._state)
        self._state = start
        return self._observe()

    def step(self, action: Any, noise: Any) -> StepOutput:
        """One step of every environment."""
        self._state, reward, terminated, metrics = self._definition.step(
            xp, self._state, self._allowed(action), self._uploaded, self.tensor(noise)
        )
        return StepOutput(self._observe(), reward, terminated, self._out_of_time(), metrics)  # type: ignore[arg-type]

    def _observe(self) -> Tensor:
        obs: Tensor = self._definition.observe(xp, self._state).float()
        return obs


class TensorSource:
    """Draws tensors where they are used, from a seed that a generator gives."""

    def __init__(self, rng: np.random.Generator, device: torch.device) -> None:
        """Args:
        rng: gives the seed.
        device: where the tensors are to be.
        """
        self._generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
        self._device = device

    def random(self, shape: tuple[int, ...]) -> Tensor:
        """U[0, 1)."""
        return torch.rand(shape, generator=self._generator, device=self._device)

    def standard_normal(self, shape: tuple[int, ...]) -> Tensor:
        """N(0, 1)."""
        return torch.randn(shape, generator=self._generator, device=self._device)

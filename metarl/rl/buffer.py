"""Room for the steps of episodes until all of them are over."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from metarl.rl.data import Episodes


class EpisodeBuffer:
    """Storage `[T, E, H, …]`, made when a field's first step arrives."""

    def __init__(self, shape: tuple[int, int], horizon: int, device: torch.device) -> None:
        """Hold nothing yet.

        Args:
            shape: (T, E).
            horizon: H.
            device: where the fields are stored.
        """
        self._shape = (*shape, horizon)
        self._device = device
        self._fields: dict[str, Tensor] = {}

    def put(
        self, t: int, values: Mapping[str, Tensor], *, prefix: str = "", missing: float = 0.0
    ) -> None:
        """Values `[T, E, …]` of step t; floats are `missing` where no step puts any."""
        for key, value in values.items():
            name = prefix + key
            if name not in self._fields:
                shape = (*self._shape, *value.shape[2:])
                fill = missing if value.is_floating_point() else 0
                self._fields[name] = torch.full(shape, fill, dtype=value.dtype, device=self._device)
            self._fields[name][:, :, t] = value

    def _group(self, prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): field
            for name, field in self._fields.items()
            if name.startswith(prefix)
        }

    def episodes(self, final_obs: Tensor) -> Episodes:
        """All that was put, and what the last steps led to."""
        f = self._fields
        return Episodes(
            obs=f["obs"],
            action=f["action"],
            reward=f["reward"],
            mask=f["mask"],
            terminated=f["terminated"],
            truncated=f["truncated"],
            final_obs=final_obs,
            dist=self._group("dist/"),
            metrics=self._group("metrics/"),
        )

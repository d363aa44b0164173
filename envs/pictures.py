"""Pictures of one environment for people: MuJoCo's own, and flat drawings without a library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

SIZE = 400
Colour = tuple[int, int, int]
Point = Sequence[float] | np.ndarray
INK: Colour = (40, 40, 40)
PALE: Colour = (205, 205, 205)
AGENT: Colour = (31, 100, 180)
GOAL: Colour = (44, 150, 60)


class Canvas:
    """A white square picture of the plane around a point, on which shapes are drawn."""

    def __init__(self, center: Point, width: float) -> None:
        """Args:
        center: of the picture, in the environment's units.
        width: of the picture, in the same units.
        """
        self.pixels = np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)
        steps = (np.arange(SIZE) + 0.5) / SIZE - 0.5
        self._x = center[0] + width * steps[None, :]
        self._y = center[1] - width * steps[:, None]  # rows go down

    def disc(self, center: Point, radius: float, colour: Colour) -> None:
        """Fill a disc."""
        self.pixels[np.hypot(self._x - center[0], self._y - center[1]) <= radius] = colour

    def box(self, center: Point, width: float, height: float, colour: Colour) -> None:
        """Fill a rectangle about its centre."""
        columns = np.abs(self._x - center[0]) <= width / 2
        rows = np.abs(self._y - center[1]) <= height / 2
        self.pixels[rows & columns] = colour

    def line(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        """A straight stroke with round ends."""
        (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
        along = ((self._x - x) * dx + (self._y - y) * dy) / max(dx * dx + dy * dy, 1e-12)
        along = np.clip(along, 0.0, 1.0)
        distance = np.hypot(self._x - x - along * dx, self._y - y - along * dy)
        self.pixels[distance <= width / 2] = colour


class MujocoCamera:
    """Gymnasium's offscreen renderer on a model, by one of its cameras."""

    def __init__(self, model: Any, camera: str) -> None:
        """Args:
        model: the compiled model.
        camera: the name of a camera in it.

        Raises:
            ImportError: Gymnasium's renderer lacks a package; says which extra has it.
        """
        try:
            from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer
        except ImportError as error:
            raise ImportError(f'{error}; pip install "metarl[render]" has all it needs') from error
        self._model, self._data = model, mujoco.MjData(model)
        self._renderer = MujocoRenderer(
            self._model, self._data, width=480, height=480, camera_name=camera
        )

    def shoot(self, state: np.ndarray, spec: Any) -> np.ndarray:
        """`[480, 480, 3]` uint8 of a state vector that `spec` describes."""
        mujoco.mj_setState(self._model, self._data, state, spec)
        mujoco.mj_forward(self._model, self._data)
        return np.asarray(self._renderer.render("rgb_array"))

    def close(self) -> None:
        """Free the graphics context."""
        self._renderer.close()  # type: ignore[no-untyped-call]

"""Pictures of one environment for people: MuJoCo's own, and flat drawings without a library."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SIZE = 400
Colour = tuple[int, int, int]
Place = Sequence[float] | np.ndarray
INK: Colour = (40, 40, 40)
PALE: Colour = (205, 205, 205)
AGENT: Colour = (31, 100, 180)
GOAL: Colour = (44, 150, 60)


class Canvas:
    """A white square picture of the plane around a point, on which shapes are drawn."""

    def __init__(self, center: Place, width: float) -> None:
        """Make an empty picture.

        Args:
            center: of the picture, in the environment's units.
            width: of the picture, in the same units.
        """
        self.pixels = np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)
        steps = (np.arange(SIZE) + 0.5) / SIZE - 0.5
        self._x = center[0] + width * steps[None, :]
        self._y = center[1] - width * steps[:, None]  # rows go down

    def disc(self, center: Place, radius: float, colour: Colour) -> None:
        """Fill a disc."""
        self.pixels[np.hypot(self._x - center[0], self._y - center[1]) <= radius] = colour

    def box(self, center: Place, width: float, height: float, colour: Colour) -> None:
        """Fill a rectangle about its centre."""
        columns = np.abs(self._x - center[0]) <= width / 2
        rows = np.abs(self._y - center[1]) <= height / 2
        self.pixels[rows & columns] = colour

    def line(self, start: Place, end: Place, width: float, colour: Colour) -> None:
        """A straight stroke with round ends."""
        (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
        along = ((self._x - x) * dx + (self._y - y) * dy) / max(dx * dx + dy * dy, 1e-12)
        along = np.clip(along, 0.0, 1.0)
        distance = np.hypot(self._x - x - along * dx, self._y - y - along * dy)
        self.pixels[distance <= width / 2] = colour

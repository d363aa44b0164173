"""Gymnasium's offscreen renderer on a MuJoCo model."""

from __future__ import annotations

import mujoco
import numpy as np


class MujocoCamera:
    """Gymnasium's offscreen renderer on a model, by one of its cameras."""

    def __init__(self, model: mujoco.MjModel, camera: str) -> None:
        """Make the renderer of a model.

        Args:
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

    def shoot(self, state: np.ndarray, spec: mujoco.mjtState) -> np.ndarray:
        """`[480, 480, 3]` uint8 of a state vector that `spec` describes."""
        mujoco.mj_setState(self._model, self._data, state, spec)
        mujoco.mj_forward(self._model, self._data)
        return np.asarray(self._renderer.render("rgb_array"))

    def close(self) -> None:
        """Free the graphics context."""
        self._renderer.close()  # type: ignore[no-untyped-call]

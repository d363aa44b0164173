"""MuJoCo models that somebody changes: the constants that MuJoCo computed from them follow.

Masses of subtrees, inverse weights and the like are computed when a model is compiled. A change of
`body_mass` leaves them as they were, until `mj_setConst` computes them again.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

CAUSES = ("body_", "jnt_", "dof_", "qpos", "site_", "tendon_", "wrap_", "actuator_", "eq_")
"""How the fields of a model begin that constants are computed from, or that are constants."""
TOLERANCE = 1e-9


class Compiled:
    """The MuJoCo models of an environment, and what they were like when last looked at."""

    def __init__(self) -> None:
        """No model has been looked at."""
        self._known: dict[int, _Known] = {}

    def look(self, owner: object) -> None:
        """Remember what the models of an object are like."""
        self._known = {id(m): self._known.get(id(m)) or _Known(m) for m in models(owner)}
        for one in self._known.values():
            one.look()

    def follow(self, owner: object) -> None:
        """Compute the constants of every model again that was changed since it was looked at."""
        for model in models(owner):
            if id(model) in self._known:  # a new one has just been compiled
                self._known[id(model)].follow()
        self.look(owner)


class _Known:
    """One model, with views of its memory and room to compute in."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._data: Any = None
        self._causes = [view for name, view in _arrays(model).items() if name.startswith(CAUSES)]
        self._looks = b""

    def look(self) -> None:
        self._looks = self._now()

    def follow(self) -> None:
        if self._now() != self._looks:
            mujoco = sys.modules["mujoco"]
            self._data = self._data or mujoco.MjData(self._model)
            mujoco.mj_setConst(self._model, self._data)

    def _now(self) -> bytes:
        return b"".join(view.tobytes() for view in self._causes)


def models(owner: object) -> list[Any]:
    """The MuJoCo models among the attributes of an object, and among those of its attributes."""
    mujoco = sys.modules.get("mujoco")
    if mujoco is None:  # where nobody has imported it there is no model
        return []
    held = [*_held(owner), *(inner for value in _held(owner) for inner in _held(value))]
    return list({id(one): one for one in held if type(one) is mujoco.MjModel}.values())


def stale_constants(models: Iterable[Any]) -> list[str]:
    """The fields of models that `mj_setConst` would change, such as `body_subtreemass`."""
    stale = []
    for model in models:
        mujoco, right = sys.modules["mujoco"], copy.copy(model)
        mujoco.mj_setConst(right, mujoco.MjData(right))
        after = _arrays(right)
        stale += [
            name
            for name, value in _arrays(model).items()
            if not np.allclose(value, after[name], TOLERANCE, TOLERANCE, equal_nan=True)
        ]
    return stale


def _held(owner: object) -> list[Any]:
    return list(getattr(owner, "__dict__", {}).values())


def _arrays(model: Any) -> dict[str, np.ndarray]:
    """The numbers of a model by name, as views of its memory."""
    found = {name: getattr(model, name) for name in dir(model) if name[0] != "_"}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    }

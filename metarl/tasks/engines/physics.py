"""What may be read of MuJoCo after a control step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Physics(NamedTuple):
    """What may be read of the simulator after a control step; any leading axes."""

    qpos: Any  # […, nq]
    qvel: Any  # […, nv]
    derived: Mapping[str, Any]  # the fields of MjData that a body asks for, flattened: […, n]

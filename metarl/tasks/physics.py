"""What may be read of MuJoCo after a control step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from metarl.tasks.xp import Array


class Physics(NamedTuple):
    """This may be read of the simulator after a control step; any leading axes."""

    qpos: Array  # […, nq]
    qvel: Array  # […, nv]
    derived: Mapping[str, Array]  # the fields of MjData that a body asks for, flattened: […, n]

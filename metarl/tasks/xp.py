"""Types of what a family's functions are made of: an array namespace and its arrays.

The functions keep to the array API, so that numpy, torch (by `array_api_compat.torch`) and
`array_api_strict` all run them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import numpy as np

Xp = ModuleType
"""An array namespace, whose functions make arrays; always called `xp`."""
Array = np.ndarray
"""An array of any namespace: numpy's, or torch's, whose operators are the same."""
TaskArrays = Mapping[str, Array]
"""The values of each task parameter, `[…, *shape]`; the leading axes broadcast to a state's."""
Metrics = dict[str, Array]
"""Numbers that a step tells beside the reward, by name, each `[…]`."""
Shape = tuple[int, ...]

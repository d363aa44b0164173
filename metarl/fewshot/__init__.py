"""Few-shot learning: data, networks, learners, trainings and what they have learned.

`metarl.load_few_shot` loads what a run has learned. What this package shows is imported when it is
first used, since names and configurations need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metarl.fewshot.data.curves import Mixture, Sinusoid
    from metarl.fewshot.data.task import Examples, Source, Split
    from metarl.fewshot.learners.protocol import FewShotLearner
    from metarl.fewshot.networks.conv import Conv4
    from metarl.fewshot.networks.mlp import Mlp
    from metarl.fewshot.networks.network import Network

_HOME = {
    "Conv4": "networks.conv",
    "Examples": "data.task",
    "FewShotLearner": "learners.protocol",
    "Mixture": "data.curves",
    "Mlp": "networks.mlp",
    "Network": "networks.network",
    "Sinusoid": "data.curves",
    "Source": "data.task",
    "Split": "data.task",
}
__all__ = [
    "Conv4",
    "Examples",
    "FewShotLearner",
    "Mixture",
    "Mlp",
    "Network",
    "Sinusoid",
    "Source",
    "Split",
]


def __getattr__(name: str) -> Any:
    """Import what is shown when it is first used."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

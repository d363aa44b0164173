"""Few-shot learning: tasks with support and query sets, networks, and the stocks they come from.

The algorithms are in `metarl.algorithms`; `metarl.load_few_shot` loads what a run has learned.
"""

from __future__ import annotations

from metarl.fewshot.data.curves import Mixture, Sinusoid
from metarl.fewshot.data.task import Examples, Source, Split
from metarl.fewshot.learners.protocol import FewShotLearner
from metarl.fewshot.networks.conv import Conv4
from metarl.fewshot.networks.mlp import Mlp
from metarl.fewshot.networks.network import Network

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

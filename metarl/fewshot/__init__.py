"""Few-shot learning: tasks with support and query sets, networks, and the stocks they come from.

The algorithms are in `metarl.algorithms`; `metarl.load_few_shot` loads what a run has learned.
"""

from __future__ import annotations

from metarl.fewshot.curves import Mixture, Sinusoid
from metarl.fewshot.data import Examples, Source, Split
from metarl.fewshot.learner import FewShotLearner
from metarl.fewshot.networks import Conv4, Mlp, Network

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

"""Few-shot learning, put together: data, network, algorithm and what a run consists of."""

from __future__ import annotations

from typing import Any, NamedTuple

from metarl.experiment.config import nearest
from metarl.fewshot.config import FewShotConfig
from metarl.fewshot.data.sources import tuned_as
from metarl.fewshot.learners.cnp import Cnp
from metarl.fewshot.learners.configs import (
    CnpConfig,
    FilmConfig,
    ImamlConfig,
    LearnedOptimizerConfig,
    MamlConfig,
    MatchingNetConfig,
    ProtoNetConfig,
    R2D2Config,
    ReptileConfig,
    SnailConfig,
)
from metarl.fewshot.learners.film import Film
from metarl.fewshot.learners.imaml import Imaml
from metarl.fewshot.learners.learned_optimizer import LearnedOptimizer
from metarl.fewshot.learners.maml import Maml, Scratch
from metarl.fewshot.learners.matching_net import MatchingNet
from metarl.fewshot.learners.protonet import ProtoNet
from metarl.fewshot.learners.r2d2 import R2D2
from metarl.fewshot.learners.reptile import Reptile
from metarl.fewshot.learners.snail import Snail
from metarl.fewshot.presets import overrides

EVAL_TASKS = 600


class FewShotAlgorithm(NamedTuple):
    """A learner, its configuration, and the options that its name stands for."""

    learner: Any  # (config, kind, network) -> FewShotLearner
    config: type[FewShotConfig]
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed


# trained for the steps in which learned rates diverge, shortened beyond them
_LASTING: dict[str, Any] = {"multi_step_loss": True, "inner_clip": 60.0, "later_inner_lr": 0.1}

ALGORITHMS: dict[str, FewShotAlgorithm] = {
    "maml": FewShotAlgorithm(Maml, MamlConfig),
    "fomaml": FewShotAlgorithm(Maml, MamlConfig, {"first_order": True}),
    "anil": FewShotAlgorithm(Maml, MamlConfig, {"adapts": "head"}),
    "boil": FewShotAlgorithm(Maml, MamlConfig, {"adapts": "body"}),
    "meta-sgd": FewShotAlgorithm(
        Maml, MamlConfig, {"rates": "weight", "inner_steps": 3, **_LASTING}
    ),
    "maml++": FewShotAlgorithm(
        Maml, MamlConfig, {"rates": "layer-step", "inner_steps": 5, **_LASTING}
    ),
    "reptile": FewShotAlgorithm(Reptile, ReptileConfig),
    "protonet": FewShotAlgorithm(ProtoNet, ProtoNetConfig),
    "matching-net": FewShotAlgorithm(MatchingNet, MatchingNetConfig),
    "r2d2": FewShotAlgorithm(R2D2, R2D2Config),
    "cnp": FewShotAlgorithm(Cnp, CnpConfig),
    "snail": FewShotAlgorithm(Snail, SnailConfig),
    "film": FewShotAlgorithm(Film, FilmConfig),
    "imaml": FewShotAlgorithm(Imaml, ImamlConfig),
    "learned-optimizer": FewShotAlgorithm(LearnedOptimizer, LearnedOptimizerConfig),
    "pretrain": FewShotAlgorithm(Maml, MamlConfig, {"inner_steps": 0}),
    "scratch": FewShotAlgorithm(
        Scratch, MamlConfig, {"inner_steps": 0, "eval_steps": (0, 10, 100)}
    ),
}
"""The algorithms by name. A new one is a line here."""


def get_algorithm(algo: str) -> FewShotAlgorithm:
    """The algorithm of a name.

    Raises:
        ValueError: an unknown one (names the nearest).
    """
    if algo not in ALGORITHMS:
        raise ValueError(f"unknown algo {algo!r}; {nearest(algo, ALGORITHMS)}")
    return ALGORITHMS[algo]


def preset_config(algo: str, preset: str, data: str) -> FewShotConfig:
    """The hyper-parameters of `preset` for an algorithm on data; own images have omniglot's.

    Raises:
        ValueError: an unknown algorithm or preset, or a preset that says nothing about the two.
    """
    chosen = get_algorithm(algo)
    return chosen.config(**{**overrides(preset, algo, tuned_as(data)), **chosen.options})

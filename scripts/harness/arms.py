"""The arms that `bits.py` compares: tiny trainings that between them run every path of a result.

Their options must be known to both trees, so that nothing is left to a measurement (`--how`,
`--compile`, `--device`) and names of options are those that have been there for long.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np


class Arm(NamedTuple):
    """One training, and what is done with it."""

    name: str
    what: str  # is trained: metarl or fewshot
    options: tuple[str, ...]  # {data} is the folder of `write_data`
    evaluation: tuple[str, ...]
    stacked: bool = False  # let MAML-TRPO treat its tasks stacked, as on a GPU


_SHARED = "--seed 1 --device cpu --threads 2 --eval-every 0 --checkpoint-every 1"
_RL = "--episodes 2 --horizon 6 --compile off"
_FEW = "--tasks 3 --shots 4 --queries 3 --hidden 8 8 --how vmap --compile off"
_CHEETAH = "--env half-cheetah-vel --preset finn2017"


def _maml_trpo(name: str, options: str, *, evaluation: str = "", stacked: bool = False) -> Arm:
    trained = f"--algo maml-trpo --tasks 3 --hidden 8 8 {_SHARED} {_RL} {options}"
    evaluated = f"--tasks 3 --updates 2 --episodes 3 --threads 2 {evaluation}"
    return Arm(f"maml-trpo-{name}", "metarl", _words(trained), _words(evaluated), stacked)


def _rl2(name: str, options: str, *, evaluation: str = "") -> Arm:
    small = "--tasks 4 --hidden 8 --minibatches 2 --epochs 2"
    trained = f"--algo rl2 {small} {_SHARED} {_RL} {options}"
    evaluated = f"--tasks 4 --episodes 3 --threads 2 {evaluation}"
    return Arm(f"rl2-{name}", "metarl", _words(trained), _words(evaluated))


def _few_shot(name: str, options: str = "", *, algo: str = "") -> Arm:
    trained = f"--algo {algo or name} {_SHARED} {_FEW} {options}"
    return Arm(f"few-shot-{name}", "fewshot", _words(trained), _words("--tasks 20 --threads 2"))


def _words(options: str) -> tuple[str, ...]:
    return tuple(options.split())


_ROWS = "--data npz:{data}/rows.npz --ways 3"
_IMAGES = "--data npz:{data}/images.npz --ways 3 --filters 4 --how threads"
_TABLE = "--data csv:{data}/table.csv --target y --task group"

ARMS = (
    _maml_trpo("half-cheetah", _CHEETAH),
    _maml_trpo("point-nav", "--env point-nav --horizon 10"),
    _maml_trpo("learned-rates", f"{_CHEETAH} --learn-inner-lr"),
    _maml_trpo("three-steps", f"{_CHEETAH} --inner-steps 3 --inner-lr-decay 0.5"),
    _maml_trpo("multi-step", f"{_CHEETAH} --inner-steps 2 --multi-step-loss"),
    _maml_trpo("dice", f"{_CHEETAH} --inner-loss dice"),
    _maml_trpo("first-order", f"{_CHEETAH} --first-order --inner-advantage-clip 2"),
    _maml_trpo("bootstrap", f"{_CHEETAH} --bootstrap-at-horizon --gae-lambda 0.9"),
    _maml_trpo("normalized-observations", f"{_CHEETAH} --normalize-observations"),
    _maml_trpo("early-ends", "--env cartpole --horizon 40"),
    _maml_trpo("physics", "--env hopper-params"),
    _maml_trpo("discrete", "--env bandit-k5"),
    _maml_trpo("vector", "--env point-nav --engine vector --workers 2", evaluation="--workers 2"),
    _maml_trpo("own-environment", "--env Pendulum-v1 --vary g=uniform(6,14)"),
    _maml_trpo("compiled", f"{_CHEETAH} --compile on"),
    _maml_trpo("stacked", f"{_CHEETAH} --learn-inner-lr --inner-steps 2", stacked=True),
    _maml_trpo("stacked-multi-step", "--env point-nav", stacked=True),
    _rl2("gru", "--env half-cheetah-vel --cell gru --no-normalize-rewards"),
    _rl2("lstm", "--env point-nav --cell lstm"),
    _rl2("transformer", "--env tabular-mdp --policy transformer --layers 1 --heads 2"),
    _rl2("bootstrap", "--env point-nav --bootstrap-at-end --value-per-step"),
    _rl2("normalized-rewards", f"{_CHEETAH} --preset default --normalize-rewards"),
    _rl2("early-ends", "--env cartpole --horizon 40"),
    _rl2("discrete", "--env bandit-k5"),
    _rl2(
        "separate-critic",
        "--env point-nav-sparse --separate-critic --layer-norm --embeddings 4 4 4 --head 8 "
        "--bptt-steps 5 --transitions --max-kl 0.5",
    ),
    _rl2("vector", "--env point-nav --engine vector --workers 2", evaluation="--workers 2"),
    _few_shot("maml"),
    _few_shot("maml-loop", "--how loop", algo="maml"),
    _few_shot("maml-threads", "--how threads", algo="maml"),
    _few_shot("maml-compiled", "--compile on --hidden 8", algo="maml"),
    _few_shot("maml-table", _TABLE, algo="maml"),
    _few_shot("maml-joint", f"{_ROWS} --query-weight 0.5", algo="maml"),
    _few_shot("maml-images", f"{_IMAGES} --norm batch --support-shift 1", algo="maml"),
    _few_shot("maml-dropout", "--dropout 0.2 --norm layer --inner-momentum 0.5", algo="maml"),
    _few_shot("fomaml"),
    _few_shot("anil"),
    _few_shot("boil"),
    _few_shot("meta-sgd"),
    _few_shot("maml++"),
    _few_shot("reptile"),
    _few_shot("imaml", "--how threads --inner-steps 8"),
    _few_shot("learned-optimizer", "--units 4"),
    _few_shot("protonet", _ROWS),
    _few_shot("protonet-images", f"{_IMAGES} --norm group --pooling max", algo="protonet"),
    _few_shot("matching-net", _ROWS),
    _few_shot("r2d2"),
    _few_shot("r2d2-classes", _ROWS, algo="r2d2"),
    _few_shot("cnp", "--hidden 40 40 --code 8 --encoder 8 --decoder 8"),
    _few_shot("snail", "--hidden 40 40 --channels 4 --keys 4 --blocks 1"),
    _few_shot("film", "--code 8 --encoder 8"),
    _few_shot("pretrain"),
    _few_shot("scratch"),
)
"""Of an option given twice the last one holds."""


def write_data(folder: Path) -> None:
    """Write the examples that some arms learn from: always the same ones."""
    noise = np.random.default_rng(0)
    classes = np.repeat(np.arange(15), 8)
    rows = classes[:, None] + noise.normal(size=(len(classes), 5))
    images = noise.integers(0, 256, size=(len(classes), 16, 16), dtype=np.uint8)
    np.savez(folder / "rows.npz", x=rows.astype(np.float32), y=classes)
    np.savez(folder / "images.npz", x=images, y=classes)
    lines = [f"{k},{v:.6f},{np.sin(v + k):.6f}" for k in range(12) for v in noise.normal(size=20)]
    (folder / "table.csv").write_text("\n".join(["group,x,y", *lines]) + "\n")

"""What a regression learner is compared with: each task on its own, without meta-learning."""

from __future__ import annotations

import torch
from torch import Tensor

from metarl.fewshot.data import Split

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)


def ridge_predictions(tasks: Split, strength: float) -> Tensor:
    """Ridge regression of every task's support set, judged on its queries: `[T, Q, C]`.

    The intercept is not penalised: with a great strength the prediction is the support set's mean.

    Args:
        tasks: inputs `[T, N, D]`, targets `[T, N, C]`.
        strength: of the penalty, for inputs of any scale.
    """
    x, y = tasks.support.x.flatten(2), tasks.support.y
    mean_x, mean_y = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    centred = x - mean_x
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    gram = centred.mT @ centred + strength * eye
    weights: Tensor = torch.linalg.solve(gram, centred.mT @ (y - mean_y))
    return (tasks.query.x.flatten(2) - mean_x) @ weights + mean_y


def baseline_errors(held_out: Split, train: Split) -> dict[str, Tensor]:
    """Squared errors `[T]` of held-out tasks.

    Args:
        held_out: what they are judged on.
        train: tasks that the strength of the ridge is chosen on.

    Returns:
        "mean of the shots", and "ridge per task" with the best strength of `STRENGTHS`.
    """

    def errors(tasks: Split, strength: float) -> Tensor:
        return (ridge_predictions(tasks, strength) - tasks.query.y).square().mean((1, 2))

    best = min(STRENGTHS, key=lambda strength: float(errors(train, strength).mean()))
    mean = held_out.support.y.mean(1, keepdim=True)
    return {
        "mean of the shots": (mean - held_out.query.y).square().mean((1, 2)),
        f"ridge per task, strength {best:g}": errors(held_out, best),
    }

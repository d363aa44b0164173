"""The adaptation curve: how well a learner does after 0, 1, 2, … updates on given tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from metarl.rl.data import BatchedEnv, Episodes, Tasks
from metarl.rl.rollout import ActionScaling, Learner, rollout

State = TypeVar("State")


class CurvePoint(NamedTuple):
    """Mean return over tasks after `updates` updates."""

    updates: int
    mean: float
    ci95: float  # half-width of the 95 % interval of the mean over tasks (1.96 standard errors)


class Reference(NamedTuple):
    """Mean return over the same tasks of a policy that needs no training."""

    name: str
    mean: float
    ci95: float


class Evaluation(NamedTuple):
    """How well a learner does on some tasks."""

    curve: list[CurvePoint]
    references: list[Reference]

    def to_json(self) -> dict[str, Any]:
        """Lists of plain numbers."""
        return {name: [row._asdict() for row in rows] for name, rows in self._asdict().items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """The inverse of `to_json`; other keys are passed over."""
        return cls(
            [CurvePoint(**row) for row in data["curve"]],
            [Reference(**row) for row in data["references"]],
        )


def episode_returns(episodes: Episodes) -> torch.Tensor:
    """Undiscounted return of every episode, `[T, E]`."""
    return torch.where(episodes.mask, episodes.reward, 0.0).sum(-1)


def adaptation_curve(
    learner: Learner[State],
    env: BatchedEnv,
    tasks: Tasks,
    *,
    updates: int,
    rng_for: Callable[[int], np.random.Generator],
    scaling: ActionScaling,
    device: torch.device,
) -> np.ndarray:
    """Returns per task after 0 … `updates` updates, each measured on fresh episodes.

    The policy acts stochastically. The episodes that measure k updates are those that update
    k + 1 learns from, never those that it has learnt from.

    Args:
        learner: who acts and adapts.
        env: T tasks × E episodes.
        tasks: held-out tasks, each parameter `[T, …]`.
        updates: K ≥ 0.
        rng_for: the generator of the k-th phase.
        scaling: the policy's units to the environment's.
        device: where episodes are stored.

    Returns:
        `[K + 1, T]`, the mean over the E episodes of each task.
    """
    state = learner.start(env.num_tasks)
    rows = []
    for k in range(updates + 1):
        episodes, state = rollout(
            learner, state, env, tasks, rng_for(k), scaling=scaling, device=device
        )
        rows.append(episode_returns(episodes).mean(-1).double().cpu().numpy())
        if k < updates:
            state = learner.adapt(state, episodes)
    return np.stack(rows)


def summarize(curve: np.ndarray, references: Mapping[str, np.ndarray]) -> Evaluation:
    """Means and 95 % intervals over tasks.

    With a single task an interval is not defined: it is reported as nan.

    Args:
        curve: `[K + 1, T]`.
        references: `[T]` each, by name.
    """
    return Evaluation(
        [CurvePoint(k, *_mean_and_ci95(row)) for k, row in enumerate(curve)],
        [Reference(name, *_mean_and_ci95(row)) for name, row in references.items()],
    )


def _mean_and_ci95(row: np.ndarray) -> tuple[float, float]:
    error = row.std(ddof=1) / np.sqrt(len(row)) if len(row) > 1 else np.nan
    return float(row.mean()), float(1.96 * error)

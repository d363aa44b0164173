"""The adaptation curve: how well a learner does after 0, 1, 2, … updates on given tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

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


def summarize(curve: np.ndarray) -> list[CurvePoint]:
    """Mean and 95 % interval over tasks of a curve `[K + 1, T]`.

    With a single task the interval is not defined: it is reported as nan.
    """
    num_tasks = curve.shape[1]
    points = []
    for k, row in enumerate(curve):
        error = row.std(ddof=1) / np.sqrt(num_tasks) if num_tasks > 1 else np.nan
        points.append(CurvePoint(k, float(row.mean()), float(1.96 * error)))
    return points

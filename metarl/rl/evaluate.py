"""How well a learner does on given tasks: after 0, 1, 2, … updates, or in episode 1, 2, 3, …"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from metarl.core.mapping import Workers
from metarl.core.one_thread import one_thread
from metarl.rl.data import BatchedEnv, Episodes, Tasks
from metarl.rl.intervals import interval
from metarl.rl.rollout import ActionScaling, Learner, rollout

State = TypeVar("State")

SUCCESS = "success"
"""The metric of environments that say whether a step has solved the task (above 0) or not."""


class CurvePoint(NamedTuple):
    """Mean return (or rate of success) over tasks after `updates` updates."""

    updates: int
    mean: float
    ci95: float  # half-width of the 95 % interval of the mean over tasks (1.96 standard errors)

    @property
    def when(self) -> str:
        """The name of its scalar ends with this."""
        return f"after_{self.updates}"


class EpisodePoint(NamedTuple):
    """Mean return (or rate of success) over tasks in one episode of a trial."""

    episode: int  # from 1
    mean: float
    ci95: float  # as of `CurvePoint`

    @property
    def when(self) -> str:
        """The name of its scalar ends with this."""
        return f"episode_{self.episode}"


Point = CurvePoint | EpisodePoint


def read_point(data: dict[str, Any]) -> Point:
    """The point that `_asdict` wrote; nan was written as None."""
    data = {name: np.nan if value is None else value for name, value in data.items()}
    return EpisodePoint(**data) if "episode" in data else CurvePoint(**data)


class Reference(NamedTuple):
    """Mean return over the same tasks of a policy that needs no training."""

    name: str
    mean: float
    ci95: float


class Evaluation(NamedTuple):
    """An evaluation says how well an agent does on some tasks."""

    curve: list[Point]  # of returns
    references: list[Reference]
    success: list[Point]  # of rates of success; empty where the environment does not tell

    def to_json(self) -> dict[str, Any]:
        """Lists of plain numbers; `success` only where it is known."""
        lists = {name: [row._asdict() for row in rows] for name, rows in self._asdict().items()}
        return lists if self.success else {k: v for k, v in lists.items() if k != "success"}

    def scalars(self) -> dict[str, float]:
        """Return the means by name, such as `return_after_1` or `success_episode_2`."""
        returns = {f"return_{point.when}": point.mean for point in self.curve}
        return returns | {f"success_{point.when}": point.mean for point in self.success}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """The inverse of `to_json`; other keys are passed over."""
        return cls(
            [read_point(row) for row in data["curve"]],
            [Reference(**row) for row in data["references"]],
            [read_point(row) for row in data.get("success", [])],
        )


class Outcome(NamedTuple):
    """T tasks came to this at every point of a curve, each the mean over a task's episodes."""

    returns: np.ndarray  # [points, T]
    success: np.ndarray  # [points, T]; nan at points where no task's environment told of any

    @classmethod
    def join(cls, parts: Iterable[Outcome]) -> Outcome:
        """Join the tasks of all parts, in their order."""
        return cls(*(np.concatenate(each, 1) for each in zip(*parts, strict=True)))

    def rates(self) -> np.ndarray:
        """Rates of success `[points, T]`; `[0, T]` where no environment ever told of any.

        Environments may tell of it only in the step that solves the task: where one of them has,
        those that were silent have not succeeded.
        """
        silent = np.isnan(self.success)
        return self.success[:0] if silent.all() else np.where(silent, 0.0, self.success)


def episode_returns(episodes: Episodes) -> torch.Tensor:
    """Undiscounted return of every episode, `[T, E]`."""
    return torch.where(episodes.mask, episodes.reward, 0.0).sum(-1)


def episode_success(episodes: Episodes) -> torch.Tensor:
    """Say which episodes succeeded, `[T, E]` bool: those of which any step said so."""
    told = episodes.metrics.get(SUCCESS)
    if told is None:
        return torch.zeros_like(episodes.mask[..., 0])
    return ((told > 0) & episodes.mask).any(-1)


def tells_success(episodes: Episodes) -> bool:
    """Say whether any step told if it solved its task, or did not."""
    return SUCCESS in episodes.metrics


def success_rates(episodes: Episodes) -> np.ndarray:
    """The share of each task's episodes that succeeded, `[T]`; nan where no step told."""
    rates: np.ndarray = episode_success(episodes).double().mean(-1).cpu().numpy()
    return rates if tells_success(episodes) else np.full_like(rates, np.nan)


@one_thread()
def adaptation_curve(
    learner: Learner[State],
    env: BatchedEnv,
    tasks: Tasks,
    *,
    updates: int,
    rng_for: Callable[[int], np.random.Generator],
    scaling: ActionScaling,
    device: torch.device,
    workers: Workers | None = None,
) -> Outcome:
    """Measure returns and success per task after 0 … `updates` updates, each on fresh episodes.

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
        workers: see `rollout`.

    Returns:
        `[K + 1, T]` each, the mean over the E episodes of each task.
    """
    state = learner.start(env.num_tasks)
    returns, success = [], []
    for k in range(updates + 1):
        episodes, state = rollout(
            learner,
            state,
            env,
            tasks,
            rng_for(k),
            scaling=scaling,
            device=device,
            workers=workers,
        )
        returns.append(episode_returns(episodes).mean(-1).double().cpu().numpy())
        success.append(success_rates(episodes))
        if k < updates:
            state = learner.adapt(state, episodes)
    return Outcome(np.stack(returns), np.stack(success))


@one_thread()
def trial_outcome(trials: Episodes, episodes: int, score: str = "") -> Outcome:
    """Return and success of every episode of trials, `[K, T]`, the mean over a task's trials.

    Where the environment tells the expectation of each reward, that is summed instead of the
    reward: the same on average, with less noise.

    Args:
        trials: T tasks × E trials of K episodes, with the metric `episode`.
        episodes: K.
        score: the metric that is that expectation; empty where none is.
    """
    reward = trials.metrics[score] if score else trials.reward
    number = trials.metrics["episode"]
    masks = [trials.mask & (number == k) for k in range(episodes)]
    rows = [torch.where(mask, reward, 0.0).sum(-1) for mask in masks]
    returns = torch.stack(rows).double().mean(-1).cpu().numpy()
    return Outcome(returns, np.stack([success_rates(trials._replace(mask=mask)) for mask in masks]))


def summarize(curve: np.ndarray) -> list[CurvePoint]:
    """Mean and 95 % interval over tasks of a curve `[K + 1, T]`.

    With a single task an interval is not defined: it is reported as nan.
    """
    return [CurvePoint(k, *interval(row)) for k, row in enumerate(curve)]


def summarize_episodes(returns: np.ndarray) -> list[EpisodePoint]:
    """The same of the returns of K episodes, `[K, T]`."""
    return [EpisodePoint(k + 1, *interval(row)) for k, row in enumerate(returns)]


def references(returns: Mapping[str, np.ndarray]) -> list[Reference]:
    """The same of returns `[T]` by name."""
    return [Reference(name, *interval(row)) for name, row in returns.items()]

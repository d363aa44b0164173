"""Collect trials for RL²: all of them step together, time-major.

A trial is an environment of its own here: one "episode" of an environment whose observations are
the views `[observation | previous action | previous reward | previous done]` and whose metric
`episode` says which of the trial's K episodes a step belongs to.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from metarl.core.one_thread import one_thread
from metarl.core.precision import products
from metarl.rl.cells import Memory
from metarl.rl.data import BatchedEnv, Tasks
from metarl.rl.evaluate import SUCCESS
from metarl.rl.policy import Dist, sample
from metarl.rl.recurrent import Output
from metarl.rl.returns import gae
from metarl.rl.rollout import ActionScaling, may_ask, require_finite

EPISODE = "episode"
"""The metric of a trial environment that counts a trial's episodes from 0."""


class Trials(NamedTuple):
    """Raw experience, `[S, N, …]`: S steps of N = T · E trials; padding where `mask` is False."""

    views: Tensor  # [S, N, D]
    action: Tensor  # [S, N, A] in the policy's units, or [S, N] or [S, N, K] int64
    dist: Dist  # parameters of the behaviour distribution, each [S, N, …]
    value: Tensor  # [S, N], of the critic while acting
    reward: Tensor  # [S, N]
    mask: Tensor  # [S, N] bool; real steps come first
    episode: Tensor  # [S, N] int64, from 0
    final_value: Tensor  # [N], what the value after the last step is taken to be
    metrics: dict[str, Tensor]  # `success` [S, N], of environments that tell it


class TrialAgent(Protocol):
    """Who acts in trials."""

    def fresh(self, num_trials: int) -> Memory:
        """The memory before a trial's first step."""

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
        """The noise of actions, `shape` + the noise of one."""

    def output(self, memory: Memory, views: Tensor) -> Output:
        """Return what the policy says of views `[N, D]` that follow `memory`."""


@one_thread()
@products("float32")
def collect_trials(
    agent: TrialAgent,
    env: BatchedEnv,
    tasks: Tasks,
    rng: np.random.Generator,
    *,
    scaling: ActionScaling,
    device: torch.device,
    bootstrap: bool = False,
) -> Trials:
    """Run every environment for one trial, from an empty memory.

    Args:
        agent: who acts.
        env: T tasks × E parallel trials.
        tasks: one value of every parameter per task, each `[T, …]`.
        rng: draws, in this order, the environments' noise and the agent's.
        scaling: the policy's units to the environment's.
        device: where the policy lives.
        bootstrap: ask the critic for the value after each trial's end; zero otherwise.

    Raises:
        NonFiniteError: names the task, the trial and the step.
    """
    shape = (env.num_tasks, env.num_episodes)
    trials = shape[0] * shape[1]
    env_noise = env.draw_noise(rng)
    action_noise = agent.noise(rng, (env.horizon, trials)).to(device)
    memory = agent.fresh(trials)
    rows = _Rows()
    start = env.reset(tasks, env_noise.reset)
    scale, asks = scaling.like(start), may_ask(start)
    told, nothing = False, torch.zeros(trials, device=device)
    views = _flat(start, device)
    running = torch.ones(trials, dtype=torch.bool, device=device)
    last = memory, views  # of every trial when it ended
    with torch.no_grad():
        for t in range(env.horizon):
            dist, value, memory = agent.output(memory, views)
            action = sample(dist, action_noise[t])
            following, reward, terminated, truncated, metrics = env.step(
                scale(action).reshape(*shape, *action.shape[1:]), env_noise.step[t]
            )
            rows.put(views=views, action=action, value=value, mask=running)
            rows.put(reward=_flat(reward, device).float(), episode=_flat(metrics[EPISODE], device))
            rows.put("dist/", **dist)
            success = nothing
            if SUCCESS in metrics:  # some environments tell it at some steps only
                told, success = True, _flat(metrics[SUCCESS], device).float()
            rows.put("metrics/", **{SUCCESS: success})
            views = _flat(following, device)
            over = _flat(terminated | truncated, device)
            ended = running & over
            if bootstrap and not (asks and not bool(ended.any())):
                last = _where(ended, (memory, views), last)
            running = running & ~over
            if asks and not bool(running.any()):
                break
        final_value = torch.zeros(trials, device=device)
        if bootstrap:
            final_value = agent.output(*last).value
    lived = rows.trials(final_value)
    if not told:
        lived.metrics.clear()
    seen = torch.isfinite(lived.views).all(-1)
    finite = torch.isfinite(lived.reward) & seen | ~lived.mask
    acted = torch.isfinite(lived.action.reshape(*seen.shape, -1)).all(-1) | ~seen
    finite, acted = (x.view(-1, *shape).permute(1, 2, 0) for x in (finite, acted))
    require_finite(finite, acted, tasks)
    env.require_intact()
    return lived


def trial_advantages(trials: Trials, reward: Tensor, *, discount: float, lam: float) -> Tensor:
    """GAE over whole trials `[S, N]`: values cross the ends of episodes (arXiv 1611.02779).

    Args:
        trials: for values, after the last step too, and mask.
        reward: `[S, N]`, what is maximised.
        discount: γ.
        lam: λ.
    """
    value, after, mask = trials.value.T, trials.final_value, trials.mask.T
    return gae(reward.T, value, after, mask, discount, lam).T


def returns_by_episode(reward: Tensor, mask: Tensor, episode: Tensor, episodes: int) -> Tensor:
    """Undiscounted return of every episode of every trial, `[K, N]`.

    Args:
        reward: `[S, N]`.
        mask: `[S, N]` bool.
        episode: `[S, N]` int64, from 0.
        episodes: K.
    """
    real = torch.where(mask, reward, 0.0)
    total = torch.zeros(episodes, reward.shape[1], dtype=reward.dtype, device=reward.device)
    return total.scatter_add_(0, episode.clamp(max=episodes - 1), real)


def success_by_episode(trials: Trials, episodes: int) -> Tensor:
    """Say which of the K episodes of every trial succeeded, `[K, N]` bool: any step of them did.

    Args:
        trials: with the metric `success`.
        episodes: K.
    """
    solved = (trials.metrics[SUCCESS] > 0).to(trials.reward.dtype)
    return returns_by_episode(solved, trials.mask, trials.episode, episodes) > 0


def forward_returns(reward: Tensor, mask: Tensor, discount: float) -> Tensor:
    """R_t = γ R_{t−1} + r_t, `[S, N]`: what rewards are scaled by, as in VecNormalize."""
    total = torch.zeros_like(reward[0])
    rows = []
    for r in torch.where(mask, reward, 0.0):
        total = discount * total + r
        rows.append(total)
    return torch.stack(rows)


def steps_left(horizon: int, discount: float, *, endless: bool) -> Tensor:
    """Σ γ^k over the steps that are left, this one included, `[horizon]`: the return of ones.

    Args:
        horizon: S.
        discount: γ.
        endless: trials are valued as if they went on for ever; needs γ < 1.
    """
    left = torch.arange(horizon, 0, -1, dtype=torch.float64)
    if endless:
        left = torch.full_like(left, torch.inf)
    elif discount == 1:
        return left.float()
    return ((1 - discount**left) / (1 - discount)).float()


class _Rows:
    """Columns of rows, one row per step."""

    def __init__(self) -> None:
        self._columns: dict[str, list[Tensor]] = {}

    def put(self, prefix: str = "", /, **values: Tensor) -> None:
        for name, value in values.items():
            self._columns.setdefault(prefix + name, []).append(value)

    def trials(self, final_value: Tensor) -> Trials:
        groups: dict[str, dict[str, Tensor]] = {"": {}, "dist": {}, "metrics": {}}
        for name, rows in self._columns.items():
            group, _, field = name.rpartition("/")
            groups[group][field] = torch.stack(rows)
        plain, dist, metrics = groups.values()
        return Trials(**plain, dist=dist, metrics=metrics, final_value=final_value)


def _flat(array: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """`[T, E, …]` to `[N, …]` on the device."""
    rows = array if isinstance(array, Tensor) else torch.from_numpy(np.ascontiguousarray(array))
    return rows.to(device).flatten(0, 1)


def _where(
    chosen: Tensor, new: tuple[Memory, Tensor], old: tuple[Memory, Tensor]
) -> tuple[Memory, Tensor]:
    """Memory and view, `new` where `chosen` `[N]` holds."""

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(chosen.view(-1, *[1] * (a.dim() - 1)), a, b)

    memory = tuple(pick(a, b) for a, b in zip(new[0], old[0], strict=True))
    return memory, pick(new[1], old[1])


__all__ = [
    "EPISODE",
    "TrialAgent",
    "Trials",
    "collect_trials",
    "forward_returns",
    "returns_by_episode",
    "steps_left",
    "success_by_episode",
    "trial_advantages",
]

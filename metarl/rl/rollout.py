"""Collect episodes: all tasks and episodes of a batched environment, or of its parts, at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import gymnasium
import numpy as np
import torch
from torch import Tensor

from metarl.core.mapping import Workers, join_tasks, some_tasks
from metarl.core.one_thread import one_thread
from metarl.core.precision import products
from metarl.rl.buffer import EpisodeBuffer
from metarl.rl.data import BatchedEnv, Episodes, StepInput, Tasks

State = TypeVar("State")


class Action(NamedTuple):
    """An agent does this in one step, drawn from the distribution beside it."""

    action: (
        Tensor  # [T, E, A], or [T, E] or [T, E, K] int64 for discrete ones; in the policy's units
    )
    dist: dict[str, Tensor]  # parameters of the distribution, each [T, E, …]


class Learner(Protocol[State]):
    """An agent that learns a task from episodes: MAML by gradient steps, RL² in its state."""

    def start(self, num_tasks: int) -> State:
        """The state before the first episode, for `num_tasks` tasks."""

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
        """The noise that acting needs, `shape` + the noise of one action."""

    def act(self, state: State, inputs: StepInput, noise: Tensor) -> tuple[Action, State]:
        """One action for each environment, and the state after it."""

    def adapt(self, state: State, episodes: Episodes) -> State:
        """The state after learning from `episodes`."""


class NonFiniteError(RuntimeError):
    """An observation, a reward or an action is not finite."""


class ActionScaling(NamedTuple):
    """Maps the policy's actions to the environment's: `center + scale · a` for bounded boxes.

    A policy's unit action is `action_scale` times half the range of the actuator. A dimension with
    one finite bound has a range of 2 that begins or ends there, so that a new policy acts inside;
    one without bounds is only multiplied by `action_scale`; discrete actions stay.
    """

    center: np.ndarray  # [A]
    scale: np.ndarray  # [A]
    discrete: bool

    @classmethod
    def of(cls, space: gymnasium.spaces.Space[Any], action_scale: float) -> ActionScaling:
        """The scaling of `space`, a `Box`, a `Discrete` or a `MultiDiscrete`."""
        if not isinstance(space, gymnasium.spaces.Box):
            return cls(np.zeros(0), np.zeros(0), True)
        low = space.low.astype(np.float64)
        high = space.high.astype(np.float64)
        low = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high - 2.0, -1.0))
        high = np.where(np.isfinite(high), high, low + 2.0)
        return cls((low + high) / 2, (high - low) / 2 * action_scale, False)

    def like(self, obs: Any) -> Callable[[Tensor], Any]:
        """The mapping for an environment with such observations: to tensors there, or to arrays."""
        if not isinstance(obs, Tensor):
            return self.__call__
        if self.discrete:
            return lambda action: action
        center, scale = (torch.as_tensor(x, device=obs.device).float() for x in self[:2])
        return lambda action: center + scale * action.to(center.device)

    def __call__(self, action: Tensor) -> np.ndarray:
        """The environment's action, unclipped (the environment clips)."""
        raw: np.ndarray = action.cpu().numpy()
        return raw if self.discrete else self.center + self.scale * raw


@one_thread()
@products("float32")
def rollout(
    learner: Learner[State],
    state: State,
    env: BatchedEnv,
    tasks: Tasks,
    rng: np.random.Generator,
    *,
    scaling: ActionScaling,
    device: torch.device,
    workers: Workers | None = None,
) -> tuple[Episodes, State]:
    """Run every environment for one episode.

    Args:
        learner: who acts.
        state: the learner's state before the episode; with workers a tree of tensors `[T, …]`.
        env: T tasks × E episodes.
        tasks: one value of every parameter per task, each `[T, …]`.
        rng: draws, in this order, the environments' noise and the learner's.
        scaling: the policy's units to the environment's.
        device: where the episodes are stored.
        workers: step the environment's parts, if it has any, each in a thread of its own.

    Returns:
        The episodes `[T, E, H, …]` (entries after an episode's end are masked) and the learner's
        state after them.

    Raises:
        NonFiniteError: names the task, the episode and the step.
        ValueError: tasks that are not T.
    """
    noise = env.draw_noise(rng)
    acting = learner.noise(rng, (env.horizon, env.num_tasks, env.num_episodes)).to(device)
    whole = _Half(env, state, tasks, noise.reset, noise.step, acting)
    stopping = Event()

    def live(half: _Half[State]) -> tuple[Episodes, State]:
        return _live(learner, half, scaling, device, stopping)

    if workers is None or not env.parts:
        episodes, state = live(whole)
    else:
        episodes, state = join_tasks(workers.map(live, whole.split(env.parts), stopping=stopping))
    last = episodes.terminated | episodes.truncated
    final = torch.isfinite(episodes.final_obs).all(-1, keepdim=True)
    seen = torch.isfinite(episodes.obs).all(-1)
    finite = torch.isfinite(episodes.reward) & seen & (final | ~last)
    acted = torch.isfinite(episodes.action.reshape(*seen.shape, -1)).all(-1) | ~seen
    require_finite(finite | ~episodes.mask, acted, tasks)
    env.require_intact()
    return episodes, state


class _Half(NamedTuple, Generic[State]):
    """Environments, the learner's state for their tasks, and all their randomness."""

    env: BatchedEnv
    state: State
    tasks: Tasks
    reset: Any  # noise [T, E, …]
    step: Any  # noise [H, T, E, …]
    acting: Tensor  # noise [H, T, E, …]

    def split(self, parts: Sequence[BatchedEnv]) -> list[_Half[State]]:
        """Cut it into what belongs to each part of the environments."""
        for name, values in self.tasks.items():
            if len(values) != self.env.num_tasks:
                raise ValueError(
                    f"{self.env.num_tasks} tasks have as many values of {name!r}, got {len(values)}"
                )
        shares, first = [], 0
        for part in parts:
            rows = slice(first, first + part.num_tasks)
            shares.append(
                _Half(
                    part,
                    some_tasks(self.state, rows),
                    {name: values[rows] for name, values in self.tasks.items()},
                    self.reset[rows],
                    self.step[:, rows],
                    self.acting[:, rows],
                )
            )
            first = rows.stop
        return shares


def _live(
    learner: Learner[State],
    half: _Half[State],
    scaling: ActionScaling,
    device: torch.device,
    stopping: Event,
) -> tuple[Episodes, State]:
    """Run the environments of some tasks for one episode, or until nobody wants it any more."""
    env, state = half.env, half.state
    shape = (env.num_tasks, env.num_episodes)
    buffer = EpisodeBuffer(shape, env.horizon, device)
    obs = env.reset(half.tasks, half.reset)
    scale = scaling.like(obs)
    asks = may_ask(obs)
    running = torch.ones(shape, dtype=torch.bool, device=device)
    inputs = _first_input(env, obs, device)
    final_obs = inputs.obs
    for t in range(env.horizon):
        action, state = learner.act(state, inputs, half.acting[t])
        found = env.step(scale(action.action), half.step[t])
        obs, reward, terminated, truncated = (_tensor(x, device) for x in found[:4])
        done = terminated | truncated
        step = {
            "obs": inputs.obs,
            "action": action.action,
            "reward": reward,
            "mask": running,
            "terminated": terminated & running,
            "truncated": truncated & running,
        }
        buffer.put(t, step)
        buffer.put(t, action.dist, prefix="dist/")
        metrics = {name: _tensor(values, device) for name, values in found[4].items()}
        buffer.put(t, metrics, prefix="metrics/", missing=torch.nan)
        inputs = StepInput(obs, action.action, reward, done)
        final_obs = torch.where((running & done).unsqueeze(-1), obs, final_obs)
        running = running & ~done
        if (asks and not running.any()) or stopping.is_set():
            break
    final_obs = torch.where(running.unsqueeze(-1), inputs.obs, final_obs)
    return buffer.episodes(final_obs), state


def may_ask(obs: np.ndarray | Tensor) -> bool:
    """Say whether an environment's output may decide what runs; a GPU would be waited for."""
    return not isinstance(obs, Tensor) or obs.device.type == "cpu"


def _tensor(array: np.ndarray | Tensor, device: torch.device) -> Tensor:
    tensor = array if isinstance(array, Tensor) else torch.from_numpy(np.ascontiguousarray(array))
    return tensor.to(device, torch.float32 if tensor.is_floating_point() else tensor.dtype)


def _first_input(env: BatchedEnv, obs: np.ndarray, device: torch.device) -> StepInput:
    shape = (env.num_tasks, env.num_episodes)
    is_box = isinstance(env.action_space, gymnasium.spaces.Box)
    no_action = torch.zeros(
        (*shape, *(env.action_space.shape or ())),
        dtype=torch.float32 if is_box else torch.int64,
        device=device,
    )
    zeros = torch.zeros(shape, device=device)
    return StepInput(_tensor(obs, device), no_action, zeros, zeros.bool())


def require_finite(finite: Tensor, acted: Tensor, tasks: Tasks) -> None:
    """Refuse experience of which some steps are not finite.

    Args:
        finite: `[T, E, H]` bool, True where nothing is wrong.
        acted: `[T, E, H]` bool, False where a finite observation led to an action that is not.
        tasks: one value of every parameter per task.

    Raises:
        NonFiniteError: names the first task, episode and step, and who is to blame.
    """
    if bool(finite.all()):
        return
    task, episode, step = (int(i) for i in (~finite).nonzero()[0])
    named = {name: np.asarray(values)[[task]].tolist()[0] for name, values in tasks.items()}
    what = "the environment returned a reward or an observation"
    if not bool(acted[task, episode, : step + 1].all()):
        what = "a step of learning went so far that the agent took an action"
    raise NonFiniteError(
        f"{what} that is not finite: task {task} ({named}), episode {episode}, step {step}"
    )

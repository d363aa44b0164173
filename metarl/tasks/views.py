"""What an agent sees at every step of a trial, as one flat vector, and how actions look in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import array_api_compat.numpy as _xp
import gymnasium
import numpy as np

from metarl.tasks.xp import Array, Xp


class History(NamedTuple):
    """An agent is shown this of the step before."""

    action: Array  # […, A], see `ActionCode`
    reward: Array  # […]
    done: Array  # […]


def action_size(space: gymnasium.Space[Any]) -> int:
    """Length of an encoded action.

    Raises:
        ValueError: a space that is neither a flat `Box` nor a `Discrete` or a flat
            `MultiDiscrete` from 0.
    """
    if isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1:
        return space.shape[0]
    return sum(_choices(space))


def _choices(space: gymnasium.Space[Any]) -> tuple[int, ...]:
    """Count the values of every part of a discrete action."""
    if isinstance(space, gymnasium.spaces.Discrete) and space.start == 0:
        return (int(space.n),)
    multi = gymnasium.spaces.MultiDiscrete
    if isinstance(space, multi) and len(space.shape) == 1 and not space.start.any():
        return tuple(int(n) for n in space.nvec)
    raise ValueError(
        "a trial needs actions in a flat Box, or in a Discrete or a flat MultiDiscrete from 0, "
        f"got {space}"
    )


class ActionCode:
    """Actions as the agent sees them in the next step, `[…, A]` float32.

    Discrete actions are one-hot, those of several parts one part after the other. The others are
    clipped to the space, as environments do, and its bounds mapped to ±1; where one is missing the
    other one is mapped, and 2 beyond it; where both are, actions stay.
    """

    def __init__(self, space: gymnasium.Space[Any], xp: Xp = _xp, device: object = "cpu") -> None:
        """Say how actions of a space are shown.

        Args:
            space: of the actions.
            xp: the array namespace of the actions.
            device: where they live.

        Raises:
            ValueError: a space that `action_size` refuses.
        """
        self._xp = xp
        self._bounds: tuple[Array, ...] | None = None
        self._several = isinstance(space, gymnasium.spaces.MultiDiscrete)
        if isinstance(space, gymnasium.spaces.Box):
            low, high = space.low.astype(np.float64), space.high.astype(np.float64)
            # as the policy's unit actions are mapped: one bound alone is an end of a range of 2
            first = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high - 2.0, -1.0))
            last = np.where(np.isfinite(high), high, first + 2.0)
            rows = low, high, (first + last) / 2, (last - first) / 2
            self._bounds = tuple(xp.asarray(row, device=device) for row in rows)
        else:
            choices = _choices(space)
            part = np.repeat(np.arange(len(choices)), choices)
            number = np.concatenate([np.arange(n) for n in choices])
            # of every entry of the code: the part of the action, and the value that sets it
            self._part, self._number = (xp.asarray(x, device=device) for x in (part, number))

    def __call__(self, action: Array) -> Array:
        """Encode actions `[…, A]`, `[…]` discrete ones, or `[…, K]` discrete ones of K parts."""
        xp = self._xp
        if self._bounds is None:
            row = xp.take(action, self._part, axis=-1) if self._several else action[..., None]
            code: Array = xp.astype(row == self._number, xp.float32)
            return code
        low, high, center, half = self._bounds
        clipped = xp.clip(xp.astype(action, xp.float64), low, high)
        code = xp.astype((clipped - center) / half, xp.float32)
        return code


def trial_space(
    observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
) -> gymnasium.spaces.Box:
    """The space of `[observation | previous action | previous reward | previous done]`.

    Raises:
        ValueError: names the space that does not fit.
    """
    if not isinstance(observation_space, gymnasium.spaces.Box) or len(observation_space.shape) != 1:
        raise ValueError(
            f"a trial needs observations in a flat Box, got {observation_space}; flatten them "
            "with gymnasium.wrappers.FlattenObservation, or encode images before they are seen"
        )
    size = observation_space.shape[0] + action_size(action_space) + 2
    return gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)


def join(xp: Xp, obs: Array, history: History) -> Array:
    """The agent's view `[…, O + A + 2]` float32 of observations `[…, O]`."""
    reward, done = history.reward[..., None], history.done[..., None]
    parts = (obs, history.action, reward, done)
    view: Array = xp.concat([xp.astype(part, xp.float32) for part in parts], axis=-1)
    return view

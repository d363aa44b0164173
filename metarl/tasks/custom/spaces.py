"""What an environment of any spaces looks like to an agent: flat observations, plain actions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.tasks.custom.setters import Env

Space = gymnasium.Space[Any]
OBSERVATIONS = "Box, Discrete, MultiBinary, MultiDiscrete, Tuple and Dict"
ACTIONS = "a Box of floats, Discrete or a MultiDiscrete vector"


def flat_observations(space: Space) -> tuple[spaces.Box, Callable[[Any], np.ndarray]]:
    """The flat `Box` of an observation space, and what maps an observation `[O]` float32 into it.

    Flattened as `gymnasium.spaces.flatten` does: discrete parts become one-hot. Where there is
    nothing to see, the observation is a single 0.

    Raises:
        ValueError: an image, or a space that is none of those that can be flattened.
    """
    _refuse_images(space)
    if _shows_nothing(space):
        blank = spaces.Box(0.0, 0.0, (1,), np.float32)
        return blank, lambda obs: np.zeros(1, np.float32)
    seen, pick = _showing(space)
    flat = spaces.flatten_space(seen)
    if isinstance(seen, spaces.Box) and len(seen.shape) == 1 and seen.dtype == np.float32:
        flat = seen  # as it is, so that it equals the environment's own
    elif isinstance(flat, spaces.Box):
        flat = spaces.Box(flat.low.astype(np.float32), flat.high.astype(np.float32))
    assert isinstance(flat, spaces.Box)
    box = flat

    def flatten(obs: Any) -> np.ndarray:
        row = np.asarray(spaces.flatten(seen, pick(obs)), dtype=np.float32)
        if row.shape != box.shape:
            raise ValueError(
                f"an observation of shape {np.shape(obs)} is not in the observation space {space}"
            )
        return row

    return box, flatten


def _shows_nothing(space: Space) -> bool:
    """Say whether observations have no number in them, as those of `Box((0,))` or `Dict({})`."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return all(_shows_nothing(part) for _, part in _parts(space))
    return space.shape is not None and 0 in space.shape


def _showing(space: Space) -> tuple[Space, Callable[[Any], Any]]:
    """A space without its parts that show nothing, and what leaves them out of an observation."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return space, lambda obs: obs
    kept = {k: _showing(part) for k, part in _parts(space) if not _shows_nothing(part)}
    if [part for part, _ in kept.values()] == [part for _, part in _parts(space)]:
        return space, lambda obs: obs
    if isinstance(space, spaces.Dict):
        named = spaces.Dict(OrderedDict((name, part) for name, (part, _) in kept.items()))
        return named, lambda obs: {name: pick(obs[name]) for name, (_, pick) in kept.items()}
    listed: Space = spaces.Tuple([part for part, _ in kept.values()])
    return listed, lambda obs: tuple(pick(obs[i]) for i, (_, pick) in kept.items())


def _parts(space: Any) -> list[tuple[Any, Space]]:
    """The parts of a `Dict` by name, of a `Tuple` by place."""
    parts = space.spaces
    return list(parts.items()) if isinstance(parts, dict) else list(enumerate(parts))


def _refuse_images(space: Space) -> None:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for _, part in _parts(space):
            _refuse_images(part)
    elif isinstance(space, spaces.Box):
        if len(space.shape) > 2 or (len(space.shape) == 2 and space.dtype == np.uint8):
            raise ValueError(
                f"observations are images ({space}); wrap the environment in an encoder of yours "
                "that turns them into vectors (gymnasium.wrappers.TransformObservation), and make "
                "the family from the wrapped environment"
            )
    elif not isinstance(space, spaces.Discrete | spaces.MultiBinary | spaces.MultiDiscrete):
        raise ValueError(f"observations may be {OBSERVATIONS}, got {space}")


def plain_actions(space: Space) -> tuple[Space, Callable[[Any], Any]]:
    """A flat `Box`, a `Discrete` or a `MultiDiscrete` from 0, and what maps its actions back.

    Raises:
        ValueError: a space of another kind.
    """
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        shape, dtype = space.shape, space.dtype
        if len(shape) == 1:
            return space, lambda action: np.asarray(action, dtype)
        low, high = space.low.reshape(-1), space.high.reshape(-1)
        flat = spaces.Box(low, high, dtype=dtype.type)
        return flat, lambda action: np.asarray(action, dtype).reshape(shape)
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return (spaces.Discrete(space.n) if start else space), lambda action: int(action) + start
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) == 1:
        starts = space.start
        plain = spaces.MultiDiscrete(space.nvec) if starts.any() else space
        return plain, lambda action: np.asarray(action, space.dtype) + starts
    raise ValueError(f"actions may be {ACTIONS}, got {space}")


def plain_reward(reward: Any) -> float:
    """The reward of a step as a float.

    Raises:
        TypeError: it is no number.
    """
    try:
        if np.ndim(reward) == 0:
            return float(reward)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"step must return the reward as a number, got {reward!r}")


class PlainEnv(gymnasium.Wrapper[np.ndarray, Any, Any, Any]):
    """An environment as a family shows it: flat observations, plain actions."""

    def __init__(self, env: Env) -> None:
        """Wrap an environment.

        Args:
            env: of any supported spaces.

        Raises:
            ValueError: its spaces are not supported.
        """
        super().__init__(env)
        self.observation_space, self._flatten = flat_observations(env.observation_space)
        self.action_space, self._act = plain_actions(env.action_space)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset the environment behind it, and flatten what it shows."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._flatten(obs), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Step the environment behind it."""
        obs, reward, terminated, truncated, info = self.env.step(self._act(action))
        return self._flatten(obs), plain_reward(reward), terminated, truncated, info

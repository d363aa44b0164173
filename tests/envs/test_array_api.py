"""A family is written once, as functions that keep to the array API."""

from typing import Any

import array_api_compat.torch as torch_api
import array_api_strict
import gymnasium
import numpy as np
import pytest
import torch

import envs
from envs.family import TaskFamily

FAMILIES = [envs.make_family(name) for name in envs.family_names()]
ON_ARRAYS = [family for family in FAMILIES if family.definition.engine == "arrays"]
NAMESPACES = ((torch_api, torch.from_numpy), (array_api_strict, array_api_strict.asarray))


def episode(family: TaskFamily, xp: Any, asarray: Any) -> list[np.ndarray]:
    """Everything that five steps of three tasks × two episodes give, as numpy arrays."""
    d, rng, shape = family.definition, np.random.default_rng(0), (3, 2)
    task = {name: asarray(v[:, None]) for name, v in family.sample(3, rng).items()}
    state = d.start(xp, task, asarray(d.draw_reset_noise(rng, shape)))
    state = xp.broadcast_to(state, (*shape, state.shape[-1]))
    found = [d.observe(xp, state)]
    space = family.action_space
    for _ in range(5):
        if isinstance(space, gymnasium.spaces.Discrete):
            action = rng.integers(space.n, size=shape)
        else:
            action = rng.uniform(space.low, space.high, (*shape, *space.shape))
        noise = asarray(d.draw_step_noise(rng, shape))
        state, reward, terminated, metrics = d.step(xp, state, asarray(action), task, noise)
        found += [d.observe(xp, state), reward, terminated, *metrics.values()]
    return [np.asarray(array) for array in found]


@pytest.mark.parametrize("family", ON_ARRAYS, ids=lambda f: f.name)
def test_numpy_torch_and_the_strict_array_api_agree(family: TaskFamily) -> None:
    """The same numbers, shapes and types from each namespace."""
    expected = episode(family, np, np.asarray)
    for xp, asarray in NAMESPACES:
        for mine, theirs in zip(episode(family, xp, asarray), expected, strict=True):
            assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)

"""A family is written once, as functions that keep to the array API."""

from collections.abc import Callable
from typing import Any

import array_api_compat.torch as torch_api
import array_api_strict
import gymnasium
import mujoco
import numpy as np
import pytest
import torch

from metarl.tasks import family_names, make_family
from metarl.tasks.family import TaskFamily
from metarl.tasks.physics import Physics

FAMILIES = [make_family(name) for name in family_names()]
ON_ARRAYS = [family for family in FAMILIES if family.definition.engine == "arrays"]
ON_THREADS = [family for family in FAMILIES if family.definition.engine == "threads"]
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
        noise = asarray(d.draw_step_noise(np, rng, shape))
        state, reward, terminated, metrics = d.step(xp, state, asarray(action), task, noise)
        found += [d.observe(xp, state), reward, terminated, *metrics.values()]
    return [np.asarray(array) for array in found]


@pytest.mark.parametrize("family", ON_ARRAYS, ids=lambda f: f.name)
def test_numpy_torch_and_the_strict_array_api_agree(family: TaskFamily) -> None:
    """The same numbers, shapes and types from each namespace."""
    agree(episode, family)


def step(family: TaskFamily, xp: Any, asarray: Any) -> list[np.ndarray]:
    """Everything that is computed of one control step of three tasks × two episodes."""
    d, rng, shape = family.definition, np.random.default_rng(0), (3, 2)
    m = d.model
    sizes = {name: getattr(mujoco.MjData(m), name).size for name in d.derived}

    def state() -> Physics:
        derived = {k: asarray(rng.standard_normal((*shape, n))) for k, n in sizes.items()}
        qpos, qvel = (asarray(rng.standard_normal((*shape, n))) for n in (m.nq, m.nv))
        return Physics(qpos, qvel, derived)

    task = {name: asarray(v[:, None]) for name, v in family.sample(3, rng).items()}
    before, after = state(), state()
    action = asarray(rng.uniform(-1, 1, (*shape, m.nu)))
    reward, metrics = d.reward(xp, before, action, after, task)
    found = [d.observe(xp, after), d.terminated(xp, after), reward, *metrics.values()]
    assert found[0].shape == (*shape, *family.observation_space.shape)
    assert found[1].shape == reward.shape == shape
    return [np.asarray(array) for array in found]


@pytest.mark.parametrize("family", ON_THREADS, ids=lambda f: f.name)
def test_what_is_computed_of_mujocos_states_agrees_too(family: TaskFamily) -> None:
    """Observation, reward, termination and metrics."""
    agree(step, family)


def agree(compute: Callable[[TaskFamily, Any, Any], list[np.ndarray]], family: TaskFamily) -> None:
    expected = compute(family, np, np.asarray)
    for xp, asarray in NAMESPACES:
        for mine, theirs in zip(compute(family, xp, asarray), expected, strict=True):
            assert (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)

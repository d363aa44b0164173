"""Point navigation against its definition."""

import array_api_strict
import numpy as np
import torch

import envs


def test_the_point_moves_by_the_clipped_action_and_ends_at_the_goal() -> None:
    """The reward is minus the distance; within .01 in both axes the task is done."""
    engine = envs.make_engine(envs.make_family("point-nav"), 1, 1)
    noise = engine.draw_noise(np.random.default_rng(0))
    engine.reset({"goal": np.array([[0.15, 0.0]])}, noise.reset)
    out = engine.step(np.array([[[5.0, 0.0]]]), noise.step[0])
    np.testing.assert_allclose(out.obs[0, 0], [0.1, 0.0], atol=1e-7)
    np.testing.assert_allclose(out.reward[0, 0], -0.05, atol=1e-7)
    assert not out.terminated.item()
    out = engine.step(np.array([[[0.05, 0.0]]]), noise.step[1])
    assert out.terminated.item()
    assert not out.truncated.item()


def test_the_functions_run_on_numpy_torch_and_the_strict_array_api() -> None:
    """The same numbers from each namespace."""
    definition = envs.make_family("point-nav").definition
    state, action = np.array([[0.1, 0.2]]), np.array([[0.05, -0.05]])
    goal = np.array([[0.3, 0.3]])
    expected = definition.step(np, state, action, {"goal": goal}, None)
    t, s = torch.from_numpy, array_api_strict.asarray
    in_torch = definition.step(torch, t(state), t(action), {"goal": t(goal)}, None)
    strict = definition.step(array_api_strict, s(state), s(action), {"goal": s(goal)}, None)
    for i in range(3):
        np.testing.assert_allclose(in_torch[i].numpy(), expected[i])
        np.testing.assert_allclose(np.asarray(strict[i]), expected[i])

"""Point navigation against its definition."""

import numpy as np

from metarl.tasks import make_engine, make_family


def test_the_point_moves_by_the_clipped_action_and_ends_at_the_goal() -> None:
    """The reward is minus the distance; within .01 in both axes the task is done."""
    engine = make_engine(make_family("point-nav"), 1, 1)
    noise = engine.draw_noise(np.random.default_rng(0))
    engine.reset({"goal": np.array([[0.15, 0.0]])}, noise.reset)
    out = engine.step(np.array([[[5.0, 0.0]]]), noise.step[0])
    np.testing.assert_allclose(out.obs[0, 0], [0.1, 0.0], atol=1e-7)
    np.testing.assert_allclose(out.reward[0, 0], -0.05, atol=1e-7)
    assert not out.terminated.item()
    out = engine.step(np.array([[[0.05, 0.0]]]), noise.step[1])
    assert out.terminated.item()
    assert not out.truncated.item()


def test_the_sparse_point_is_paid_within_a_fifth_of_the_goal_and_goes_on() -> None:
    """1 − distance inside, 0 outside, the edge included; the goal does not end the episode."""
    engine = make_engine(make_family("point-nav-sparse"), 1, 1)
    noise = engine.draw_noise(np.random.default_rng(0))
    engine.reset({"goal": np.array([[0.0, 1.0]])}, noise.reset)
    outs = [engine.step(np.array([[[0.0, 0.1]]]), z) for z in noise.step[:12]]
    distance = np.abs(np.arange(1, 13) / 10 - 1)
    paid = np.where(distance <= 0.2 + 1e-9, 1 - distance, 0.0)
    rewards = np.array([out.reward.item() for out in outs])
    inside = ~np.isclose(distance, 0.2)  # rounding decides on the edge itself
    np.testing.assert_allclose(rewards[inside], paid[inside], atol=1e-9)
    assert not any(out.terminated.item() for out in outs)


def test_the_best_place_is_the_goal() -> None:
    """Of a grid of moves, the one onto the goal pays most, in both families."""
    steps = np.linspace(-0.1, 0.1, 5)
    moves = np.stack(np.meshgrid(steps, steps), -1).reshape(1, -1, 2)
    for name in ("point-nav", "point-nav-sparse"):
        engine = make_engine(make_family(name), 1, 25)
        noise = engine.draw_noise(np.random.default_rng(0))
        engine.reset({"goal": np.array([[0.05, -0.1]])}, noise.reset)
        paid = engine.step(moves, noise.step[0]).reward[0]
        np.testing.assert_allclose(moves[0, paid.argmax()], [0.05, -0.1])

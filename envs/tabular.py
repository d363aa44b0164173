"""Small random Markov decision processes (RL², arXiv 1611.02779; Osband et al. 2013)."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from envs.distributions import Dirichlet, Distribution, Normal
from envs.family import Task, TaskFamily, Tasks

STATES, ACTIONS = 10, 5


class TabularMdp:
    """From s, action a leads to s' ~ transitions[s, a] and pays N(rewards[s, a], 1).

    The state is one-hot, so that it is its own observation; an episode starts in state 0.
    """

    engine = "arrays"
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (STATES,), np.float32)
    action_space = gymnasium.spaces.Discrete(ACTIONS)

    def __init__(self, default_task: Task) -> None:
        """Args: default_task: what a plain reset() takes."""
        self.default_task = default_task

    def draw_reset_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """`[*shape, 0]`: every episode starts in state 0."""
        return np.zeros((*shape, 0))

    def draw_step_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """`[*shape, 2]`: where a step leads, U(0, 1), and its reward's N(0, 1)."""
        return np.stack([rng.random(shape), rng.standard_normal(shape)], -1)

    def start(self, xp: Any, task: Any, noise: Any) -> Any:
        """State 0, one-hot `[…, S]`."""
        none = task["transitions"][..., 0, 0, :] * 0.0
        return xp.concat([none[..., :1] + 1.0, none[..., 1:]], axis=-1)

    def observe(self, xp: Any, state: Any) -> Any:
        """`[…, S]`."""
        return state

    def step(self, xp: Any, state: Any, action: Any, task: Any, noise: Any) -> Any:
        """Next state, reward, terminated and metrics; `mean` is the reward's expectation."""
        at = xp.argmax(state, axis=-1) * ACTIONS + action  # a row of the flattened tables
        flat = (*task["rewards"].shape[:-2], STATES * ACTIONS)
        rewards = xp.broadcast_to(xp.reshape(task["rewards"], flat), (*at.shape, flat[-1]))
        mean = xp.take_along_axis(rewards, at[..., None], axis=-1)[..., 0]
        rows = xp.reshape(task["transitions"], (*flat, STATES))
        rows = xp.broadcast_to(rows, (*at.shape, flat[-1], STATES))
        index = xp.broadcast_to(at[..., None, None], (*at.shape, 1, STATES))
        probabilities = xp.take_along_axis(rows, index, axis=-2)[..., 0, :]
        below = xp.cumulative_sum(probabilities, axis=-1)[..., :-1] <= noise[..., :1]
        # true for the states before the next one: it is where true turns into false
        passed = xp.astype(below, mean.dtype)
        first = passed[..., :1]
        state = xp.concat(
            [1.0 - first, passed[..., :-1] - passed[..., 1:], passed[..., -1:]], axis=-1
        )
        never = first[..., 0] < 0.0
        return state, mean + noise[..., 1], never, {"mean": mean}


def value_iteration(tasks: Tasks, horizon: int) -> dict[str, np.ndarray]:
    """Expected return `[T]` of the best policy of each known MDP, by backward induction.

    V_0 = 0 and V_{n+1}(s) = max_a r(s, a) + Σ_s' p(s' | s, a) V_n(s').
    """
    value = np.zeros(tasks["rewards"].shape[:2])
    for _ in range(horizon):
        later = np.einsum("tsan,tn->tsa", tasks["transitions"], value)
        value = (tasks["rewards"] + later).max(-1)
    return {"value iteration": value[:, 0]}


_PARAMETERS: dict[str, Distribution] = {
    "transitions": Dirichlet(STATES, size=(STATES, ACTIONS)),
    "rewards": Normal(1.0, 1.0, size=(STATES, ACTIONS)),
}


def _fixed_task() -> Task:
    """The first task that the parameters' distributions give from seed 0."""
    rng = np.random.default_rng(0)
    return {name: d.sample(1, rng)[0].tolist() for name, d in _PARAMETERS.items()}


TABULAR_MDP = TaskFamily(
    name="tabular-mdp",
    env_id="metarl/TabularMdp-v0",
    definition=TabularMdp(_fixed_task()),
    parameters=_PARAMETERS,
    meaning={
        "transitions": "to each state, by state and action",
        "rewards": "their means, by state and action",
    },
    horizon=10,
    references=value_iteration,
    presets={"rl2_2016": {"horizon": 10}},
)

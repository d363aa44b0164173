"""Small random Markov decision processes (RL², arXiv 1611.02779; Osband et al. 2013)."""

from __future__ import annotations

import math
from typing import Literal

import gymnasium
import numpy as np

from metarl.tasks.distributions import Dirichlet, Distribution, Normal
from metarl.tasks.family import TaskFamily
from metarl.tasks.models import Mdp
from metarl.tasks.protocols import NoiseSource, Stepped
from metarl.tasks.task import Task, Tasks
from metarl.tasks.xp import Array, Shape, TaskArrays, Xp

STATES, ACTIONS = 10, 5


class TabularMdp:
    """From s, action a leads to s' ~ transitions[s, a] and pays N(rewards[s, a], 1).

    The state is observed one-hot; an episode starts in state 0.
    """

    engine: Literal["arrays"] = "arrays"
    ends_early = False
    score = "mean"
    observation_space = gymnasium.spaces.Box(0.0, 1.0, (STATES,), np.float32)
    action_space = gymnasium.spaces.Discrete(ACTIONS)

    def __init__(self, default_task: Task) -> None:
        """Make the definition.

        Args:
            default_task: what a plain reset() takes.
        """
        self.default_task = default_task

    def draw_reset_noise(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        """`[*shape, 0]`: every episode starts in state 0."""
        return np.zeros((*shape, 0))

    def draw_step_noise(self, xp: Xp, rng: NoiseSource, shape: Shape) -> Array:
        """`[*shape, 2]`: where a step leads, U(0, 1), and its reward's N(0, 1)."""
        noise: Array = xp.stack([rng.random(shape), rng.standard_normal(shape)], axis=-1)
        return noise

    def start(self, xp: Xp, task: TaskArrays, noise: Array) -> Array:
        """State 0, one-hot and as a number, and the number of the task: `[…, S + 2]`.

        The tables of all tasks are one table then, of which a step takes rows.

        Raises:
            ValueError: more tasks than the numbers of the state can count.
        """
        none = task["transitions"][..., 0, 0, :] * 0.0
        tables, most = math.prod(none.shape[:-1]), int(2 / xp.finfo(none.dtype).eps)
        if tables > most:
            raise ValueError(f"at most {most:,} tasks of tabular-mdp at once, got {tables:,}")
        counted = xp.arange(tables, dtype=none.dtype, device=none.device)
        number = xp.reshape(counted, (*none.shape[:-1], 1))
        state: Array = xp.concat(
            [none[..., :1] + 1.0, none[..., 1:], none[..., :1], number], axis=-1
        )
        return state

    def observe(self, xp: Xp, state: Array) -> Array:
        """`[…, S]`."""
        return state[..., :STATES]

    def step(self, xp: Xp, state: Array, action: Array, task: TaskArrays, noise: Array) -> Stepped:
        """Next state, reward, terminated and metrics; `mean` is the reward's expectation."""
        number, first = (xp.astype(state[..., STATES + i], xp.int64) for i in (0, 1))
        row = (first * STATES + number) * ACTIONS + action
        rows = xp.reshape(row, (-1,))
        mean = xp.reshape(xp.take(xp.reshape(task["rewards"], (-1,)), rows, axis=0), row.shape)
        table = xp.reshape(task["transitions"], (-1, STATES))
        probabilities = xp.reshape(xp.take(table, rows, axis=0), (*row.shape, STATES))
        below = xp.cumulative_sum(probabilities, axis=-1)[..., :-1] <= noise[..., :1]
        # true for the states before the next one: it is where true turns into false
        passed = xp.astype(below, mean.dtype)
        first = passed[..., :1]
        number = xp.sum(passed, axis=-1, keepdims=True)
        state = xp.concat(
            [
                1.0 - first,
                passed[..., :-1] - passed[..., 1:],
                passed[..., -1:],
                number,
                state[..., -1:],
            ],
            axis=-1,
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
    model=Mdp(),
    presets={"rl2_2016": {"horizon": 10}},
)

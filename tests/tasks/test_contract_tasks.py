"""The checker's rules about tasks: what is dead, what is rare, and what is seen."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from metarl.tasks import Choice, TaskFamily, Uniform, load_family
from metarl.tasks.contract.derived import unread
from metarl.tasks.contract.rules import Verdict, check_family
from tests.tasks import broken
from tests.tasks.gallery import Walk

MATTERS = "the task changes what happens"
BOTH = {"target": Uniform(-1, 1), "gravity": Uniform(1, 20)}


def matters(family: TaskFamily) -> Verdict:
    (found,) = [v for v in check_family(family) if v.rule == MATTERS]
    return found


def test_a_dead_parameter_beside_a_live_one_is_found() -> None:
    """Gymnasium's acrobot has a second length that it only draws."""
    vary = ["LINK_LENGTH_1=uniform(.5,2)", "LINK_LENGTH_2=uniform(.5,2)"]
    (wrong,) = [v for v in check_family(load_family("Acrobot-v1", vary=vary)) if not v.passed]
    assert wrong.rule == MATTERS
    assert wrong.advice.startswith("LINK_LENGTH_2 is read by nothing that reset and step do")


@pytest.mark.parametrize(
    ("env", "advice"),
    [
        (broken.HalfDead, "gravity is read by nothing that reset and step do"),
        (broken.Overwrites, "gravity changed nothing in 200 whole episodes.*fewer than 1.5 %"),
    ],
)
def test_each_parameter_is_tried_alone(env: Any, advice: str) -> None:
    """One that nothing reads, and one that a reset overwrites."""
    verdict = matters(TaskFamily(env=env, parameters=BOTH, horizon=5))
    assert verdict.passed is False
    with pytest.raises(AssertionError, match=advice):
        raise AssertionError(verdict.advice)


class Corner(gymnasium.Env):
    """A grid with one cell that pays and ends the episode."""

    observation_space = spaces.MultiDiscrete([8, 8])
    action_space = spaces.Discrete(4)
    corner, cost = 0, 0.0
    cells = ((5, 5), (6, 3), (3, 6))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = np.zeros(2, int)
        return self.at.copy(), {}

    def step(self, action):
        move = [(1, 0), (-1, 0), (0, 1), (0, -1)][int(action)]
        self.at = np.clip(self.at + move, 0, 7)
        found = tuple(self.at) == self.cells[int(self.corner)]
        return self.at.copy(), float(found) - self.cost * int(action), found, False, {}


class Costly(Corner):
    cost = 0.1


CORNERS = {"corner": Choice((0, 1, 2))}


@pytest.mark.parametrize("env", [Corner, Costly])
def test_a_reward_that_random_play_seldom_finds_is_found(env: Any) -> None:
    """In one of many whole episodes."""
    assert matters(TaskFamily(env=env, parameters=CORNERS, horizon=30)).passed


@pytest.mark.parametrize("env", [Corner, Costly])
def test_a_reward_that_no_episode_reaches_is_not_said_to_be_dead(env: Any) -> None:
    """It could not be shown; a cost of actions says nothing of the task."""
    verdict = matters(TaskFamily(env=env, parameters=CORNERS, horizon=8))
    assert (verdict.passed, verdict.shown) == (None, False)
    assert "in fewer than 1.5 % of them" in verdict.advice
    assert "reaches nothing" not in verdict.advice
    assert ("too rare" in verdict.advice) == (env is Corner)  # a cost of actions is not rare
    assert "other parameters" not in verdict.advice  # there are none


class Lever(gymnasium.Env):
    """Pays by the action alone, and shows nothing."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(3)
    live = dead = 1.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), self.paid(int(action)), False, False, {}

    def paid(self, action):
        return action * self.live + self.dead * 0


class Places(Lever):
    """Shows the time."""

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return super().reset(seed=seed)

    def step(self, action):
        self.time += 1
        return np.full(1, self.time / 10, np.float32), self.paid(int(action)), False, False, {}


class Late(Lever):
    def paid(self, action):
        return action * self.live if self.dead > 0.9 else 0.0


class Between(Lever):
    def paid(self, action):
        return action * self.live if 0.5 < self.dead < 0.51 else 0.0


ALONE = {"dead": Uniform(0, 1)}
BESIDE = {"live": Uniform(0, 1), "dead": Uniform(0, 1)}


@pytest.mark.parametrize(("env", "declared"), [(Lever, ALONE), (Lever, BESIDE), (Places, BESIDE)])
def test_a_parameter_that_changes_no_dense_reward_is_dead(env: Any, declared: Any) -> None:
    """Be they paid by the action alone."""
    verdict = matters(TaskFamily(env=env, parameters=declared, horizon=8))
    assert verdict.passed is False
    assert verdict.advice.startswith("dead changed nothing in 200 whole episodes")
    assert "too rare" not in verdict.advice


def test_a_parameter_is_tried_at_the_ends_of_the_others_too() -> None:
    """It may matter there alone."""
    assert matters(TaskFamily(env=Late, parameters=BESIDE, horizon=5)).passed


def test_a_parameter_that_may_matter_beside_other_values_is_not_said_to_be_dead() -> None:
    """It could not be shown, and the reason says so."""
    verdict = matters(TaskFamily(env=Between, parameters=BESIDE, horizon=5))
    assert (verdict.passed, verdict.shown) == (None, False)
    assert "perhaps only at other values of the other parameters" in verdict.advice


class Hands(Walk):
    """Gives itself to something else, which may read it."""

    def __init__(self):
        super().__init__()
        self.helper = dict.fromkeys([self])


def test_what_cannot_be_known_is_not_said_to_be_unread() -> None:
    """A path, an environment that hands itself on, and a source that is not at hand."""
    assert unread(broken.HalfDead, "gravity")
    assert not unread(broken.HalfDead, "target")
    assert not unread(broken.HalfDead, "model.wind")
    assert not unread(Hands, "gravity")
    assert not unread(type("Written", (Walk,), {"step": eval("lambda self, a: None")}), "gravity")


def test_a_place_that_a_task_leads_to_is_no_task_that_is_seen() -> None:
    """Two values and one cell of many agree by chance, in one episode and not in all."""
    vary = ["is_slippery=choice(true,false)"]
    lake = load_family("FrozenLake-v1", vary=vary, apply="constructor")
    assert [v for v in check_family(lake) if not v.passed] == []

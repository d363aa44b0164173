"""Environments with habits that an engine must not fall for."""

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.tasks import TaskFamily, Uniform


class Told(gymnasium.Env):
    """A step pays minus its action's distance to `target`; `tell(solved)` is what its info says."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    target = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        far = abs(float(action[0]) - self.target)
        return np.zeros(1, np.float32), -far, False, False, self.tell(far < 0.02)


class OnlyWhenSolved(Told):
    def tell(self, solved):
        return {"success": True} if solved else {}


class SecondEpisode(Told):
    """It is solved in an episode of that number, and says nothing in others."""

    number, episodes = 2, 0

    def reset(self, *, seed=None, options=None):
        self.episodes += 1
        return super().reset(seed=seed)

    def tell(self, solved):
        return {"success": 1.0} if self.episodes == self.number else {}


class FourthEpisode(SecondEpisode):
    number = 4


class Named(Told):
    """Its infos have the names of the package's own metrics, and of arguments."""

    NAMES = "mean", "score", "episode", "reward", "obs", "mask", "t", "prefix", "self", "missing"

    def tell(self, solved):
        return {**dict.fromkeys(self.NAMES, 100.0), 7: 1.0, "huge": 10**400, "text": "no"}


class InPlace(gymnasium.Env):
    """Its observation is its own state, which the next step changes; so it does with actions."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Box(-1, 1, (2,), np.float32)
    target, copies = 0.5, False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.standard_normal(2).astype(np.float32)
        return self.shown(), {}

    def shown(self):
        return self.state.copy() if self.copies else self.state

    def step(self, action):
        self.state += action
        if not self.copies:
            action[:] = 9.0
        return self.shown(), -float(abs(self.state - self.target).sum()), False, False, {}


class ButtonsInPlace(InPlace):
    action_space = spaces.MultiDiscrete([2, 2])


def family(env, horizon=5):
    return TaskFamily(env=env, parameters={"target": Uniform(-1, 1)}, horizon=horizon)


only_when_solved, second_episode, fourth_episode, named, in_place, buttons_in_place = map(
    family, (OnlyWhenSolved, SecondEpisode, FourthEpisode, Named, InPlace, ButtonsInPlace)
)

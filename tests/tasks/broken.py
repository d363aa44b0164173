"""Environments that break one rule of the contract each."""

import functools

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.tasks import TaskFamily, Uniform
from tests.tasks.gallery import Garage, Image, Old, Unseeded, Walk


class Drunk(Garage):
    def sample_tasks(self, n):
        return None


class NoSeed(Walk):
    def reset(self):
        return super().reset()


class OldReset(Walk):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class OtherType(Walk):
    def step(self, action):
        obs, *rest = super().step(action)
        return obs.astype(np.float64), *rest

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        return obs.astype(np.float64), info


class OutOfBounds(Walk):
    observation_space = spaces.Box(-0.01, 0.01, (1,), np.float32)


class NotFinite(Walk):
    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, reward if self.target < 0 else float("nan"), *rest


class OwnNoise(Walk):
    noise = np.random.default_rng(0)

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, reward + self.noise.standard_normal(), *rest


class Remembers(Walk):
    tired = 0

    def step(self, action):
        self.tired += 1
        obs, reward, *rest = super().step(action)
        return obs, reward - self.tired, *rest


class Indifferent(Walk):
    def step(self, action):
        obs, _, *rest = super().step(action)
        return obs, -abs(self.x), *rest


class HalfDead(Walk):
    """`gravity` is drawn only."""

    def render(self):
        return self.gravity


class Overwrites(Walk):
    """Reads `gravity` in its reset, which forgets the task."""

    def reset(self, *, seed=None, options=None):
        self.gravity = 9.81 + 0 * self.gravity
        return super().reset(seed=seed)

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, reward * self.gravity, *rest


class Resamples(Walk):
    def reset(self, *, seed=None, options=None):
        result = super().reset(seed=seed)
        self.target = self.np_random.uniform(-1, 1) + 0.001 * self.target
        return result


class Forgets(Walk):
    def set_task(self, task):
        self.following = task["target"]

    def reset(self, *, seed=None, options=None):
        self.target, self.following = getattr(self, "following", 0.0), 0.0
        return super().reset(seed=seed)


class Tells(Walk):
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        return np.append(obs, 2 * np.float32(self.target) + 1), info

    def step(self, action):
        obs, *rest = super().step(action)
        return np.append(obs, 2 * np.float32(self.target) + 1), *rest


class TellsLater(Tells):
    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        return obs * [1, 0], info

    def step(self, action):
        obs, *rest = super().step(action)
        return np.array([obs[0], self.target], np.float32), *rest

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)


class Short(Walk):
    def step(self, action):
        obs, reward, *_ = super().step(action)
        return obs, reward, True, False, {}


class TellsTheEnd(Short):
    def step(self, action):
        obs, *rest, _ = super().step(action)
        return obs, *rest, {"final_obs": obs}


class Stale(Walk):
    def __init__(self):
        super().__init__()
        self.target = 1.0
        self.double: float = 2 * self.target
        self.quadruple = self.double + self.double
        self.unrelated = 3.0

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, reward + self.quadruple, *rest


def reset_by_itself():
    return gymnasium.wrappers.Autoreset(Short())


class ResetsItself(Walk):
    """At the end of its episode."""

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return super().reset(seed=seed)

    def step(self, action):
        obs, reward, *_ = super().step(action)
        self.steps += 1
        ended = self.steps == 3
        return (self.reset()[0] if ended else obs), reward, ended, False, {}


class TellsCubed(Tells):
    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        return np.append(obs[:1], np.float32(self.target**3)), info


class TellsAtLast(Walk):
    """From the fourth step on."""

    observation_space = Tells.observation_space

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        self.steps = 0
        return np.append(obs, np.float32(0)), info

    def step(self, action):
        obs, *rest = super().step(action)
        self.steps += 1
        return np.append(obs, np.float32(self.target if self.steps > 3 else 0)), *rest


class Raises(Walk):
    def step(self, action):
        return self.move(action)

    def move(self, action):
        raise RuntimeError("the motor is on fire")


class FailsAtTheEnd(Walk):
    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, float("nan") if self.target == 1.0 else reward, *rest


def of(env):
    own = hasattr(env, "sample_tasks")
    parameters = {} if own else {"target": Uniform(-1, 1)}
    return TaskFamily(name="broken", env=env, parameters=parameters, horizon=5)


local = of(lambda: Walk())
partial = of(functools.partial(Walk, gravity=2.0))
picture = of(Image)

BROKEN = {
    "its spaces are supported": [(Image, "encoder of yours")],
    "tasks can be drawn": [
        (Unseeded, "other tasks for the same reset seed"),
        (Drunk, "'NoneType'"),
    ],
    "reset takes a seed": [(NoSeed, "seed=None"), (OldReset, "old gym API")],
    "step returns": [(Old, "old gym API")],
    "type of their space": [(OtherType, "float64, their space says float32")],
    "lie in their space": [(OutOfBounds, "correct its bounds")],
    "finite": [(NotFinite, "is not finite: narrow the range"), (FailsAtTheEnd, "{'target': 1.0}")],
    "same seed": [(OwnNoise, "self.np_random only")],
    "leaves nothing behind": [(Remembers, "set all that changes in reset")],
    "changes what happens": [(Indifferent, "the task reaches nothing")],
    "survives a reset": [(Resamples, "after a reset target is"), (Forgets, "let reset keep it")],
    "does not show": [
        (Tells, "component 1 of the first observation"),
        (TellsCubed, "component 1 of the first observation"),
        (TellsLater, "component 1 of the observation 1 is the task's target"),
        (TellsAtLast, "component 1 of the observation 4 is the task's target"),
    ],
    "not reset away": [
        (reset_by_itself, "Autoreset"),
        (TellsTheEnd, "true last observation"),
        (ResetsItself, "your own call of reset"),
    ],
    "derived": [(Stale, "double = 2 * self.target; quadruple = self.double + self.double.")],
    "worker processes": [(local.env, "top of a module")],
}
"""A rule, and environments that break it with what they are told."""

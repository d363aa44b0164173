"""A family whose environments do what their task says; its own module, for worker processes."""

import os
import sys
import time
from dataclasses import replace

import gymnasium
import numpy as np

from metarl.tasks import Choice, TaskFamily
from metarl.tasks.task import Task

RAISE, DIE, HANG, EXIT = 1.0, 2.0, 3.0, 4.0


class Countdown(gymnasium.Env):
    """Terminates after `length` steps; observes noise of its seed and the steps so far."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.task, self.steps, self.total = options["task"], 0, 0.0
        return self.observe(), {}

    def observe(self):
        return np.array([self.np_random.standard_normal(), self.steps], np.float32)

    def step(self, action):
        if self.steps == 2:
            self.misbehave(self.task["trouble"])
        self.steps += 1
        self.total += float(action[0])
        info = {"total": self.total, "words": "ignored"}
        if self.steps % 2 == 0:
            info["even"] = True
        return self.observe(), self.total, self.steps == self.task["length"], False, info

    def misbehave(self, trouble):
        if trouble == RAISE:
            raise KeyError("the cart has left the track")
        if trouble == DIE:
            os._exit(7)
        if trouble == EXIT:
            sys.exit(3)
        if trouble == HANG:
            time.sleep(1000)


class Definition:
    engine = "vector"
    observation_space = Countdown.observation_space
    action_space = Countdown.action_space
    default_task = Task(length=3.0, trouble=0.0)

    def make(self, family):
        return Countdown()


FAMILY = TaskFamily(
    name="countdown",
    env_id="",
    definition=Definition(),
    parameters={"length": Choice((3.0, 4.0, 5.0)), "trouble": Choice((0.0,))},
    meaning={},
    horizon=4,
)
RAISING = replace(FAMILY, parameters={"length": Choice((9.0,)), "trouble": Choice((RAISE,))})


class NoTasks(gymnasium.Env):
    observation_space = action_space = Countdown.action_space

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def sample_tasks(self, n):
        raise RuntimeError("no tasks today")

    def set_task(self, task):
        self.task = task


class Leaves(NoTasks):
    def __init__(self):
        sys.exit(3)


class Hangs(NoTasks):
    def __init__(self):
        time.sleep(1000)


class HangsAtLast(NoTasks):
    def close(self):
        time.sleep(1000)


class Dies(NoTasks):
    def __init__(self):
        os._exit(7)


UNDRAWN = TaskFamily(env=NoTasks, horizon=3)
LEAVING = TaskFamily(env=Leaves, horizon=3)
HANGING, CLOSING, DYING = (
    TaskFamily(env=env, horizon=3, timeout=0.5) for env in (Hangs, HangsAtLast, Dies)
)


def leave(*arguments):
    """A worker that does not even start."""
    os._exit(5)

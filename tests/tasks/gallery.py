"""Environments as others write them, one per dialect and kind of space."""

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.tasks import Bandit, Choice, TaskFamily, Uniform


class Walk(gymnasium.Env):
    """A point on a line that earns minus its distance to `target`, which it does not see."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    target = 0.0

    def __init__(self, gravity=9.81):
        self.gravity = gravity
        self.model = type("Model", (), {"wind": np.zeros(3)})()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = 0.1 * self.np_random.standard_normal()
        return np.array([self.x], np.float32), {}

    def step(self, action):
        self.x += float(action[0])
        return np.array([self.x], np.float32), -abs(self.x - self.target), False, False, {}


class Garage(Walk):
    """As in garage, learn2learn and Meta-World."""

    def sample_tasks(self, n):
        return [{"velocity": v} for v in self.np_random.uniform(0, 2, n)]

    def set_task(self, task):
        self.target = task["velocity"]


class Vectors(Walk):
    """Tasks are arrays."""

    def sample_tasks(self, n):
        return self.np_random.uniform(0, 2, (n, 1))

    def set_task(self, task):
        self.target = task.sum()


class Unseeded(Garage):
    rng = np.random.default_rng(0)

    def sample_tasks(self, n):
        return [{"velocity": v} for v in self.rng.uniform(0, 2, n)]


class VariBad(Walk):
    """Tasks are plain numbers."""

    def sample_tasks(self, n):
        return list(self.np_random.uniform(0, 2, n))

    def reset_task(self, task):
        self.target = task


class ByOptions(Walk):
    task = {"target": 0.0}  # noqa: RUF012

    def reset(self, *, seed=None, options=None):
        self.task = (options or {}).get("task", self.task)
        self.target = self.task["target"]
        return super().reset(seed=seed)


class ReadsOptions(Walk):
    def reset(self, *, seed=None, options=None):
        if options and "task" in options:
            self.target = options["task"]["goal"]
        return super().reset(seed=seed)


gymnasium.register("GalleryGarage-v0", Garage, max_episode_steps=5)
gymnasium.register("GalleryWalk-v0", Walk)


class Odd(gymnasium.Env):
    """Observations of many parts; `action` says what kind of action space it has."""

    observation_space = spaces.Dict(
        {
            "cell": spaces.Discrete(3, start=1),
            "bits": spaces.MultiBinary(2),
            "both": spaces.Tuple((spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (2, 2)))),
        }
    )

    def __init__(self, action_space):
        self.action_space = action_space
        self.bonus = 1.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(1000)))
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return self.observation_space.sample(), self.bonus, False, False, {}


def unbounded():
    return Odd(spaces.Box(-np.inf, np.inf, (2,), np.float64))


def asymmetric():
    return Odd(spaces.Box(np.array([[0.0], [-3.0]]), np.array([[2.0], [1.0]]), dtype=np.float64))


def from_five():
    return Odd(spaces.Discrete(3, start=5))


def buttons():
    return Odd(spaces.MultiDiscrete([2, 3, 2]))


def binary():
    return Odd(spaces.MultiBinary(2))


class Image(Walk):
    observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)


class Words(Walk):
    observation_space = spaces.Dict({"said": spaces.Text(5)})


class Old(Walk):
    def step(self, action):
        return super().step(action)[:4]


class PaysRows(Walk):
    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, np.array([reward]), *rest


class KnowsNothing(Walk):
    def step(self, action):
        return *super().step(action)[:4], None


TARGETS = [-0.5, 0.0, 0.5]


def look_up(env, task):
    env.unwrapped.target = TARGETS[task["index"]]


def lengthen(env, task):
    """CartPole keeps a product of what varies."""
    cart = env.unwrapped
    cart.length = task["length"]
    cart.polemass_length = cart.masspole * cart.length


cart_pole = TaskFamily(
    env="CartPole-v1",
    parameters={"length": Uniform(0.25, 1.0, unit="m")},
    apply=lengthen,
    horizon=20,
)
walk = TaskFamily(env=Walk, parameters={"target": Uniform(-1, 1)}, horizon=5)
bonus = {"bonus": Choice((1.0, 2.0))}
odd = {
    make.__name__: TaskFamily(env=make, parameters=bonus, horizon=3)
    for make in (unbounded, asymmetric, from_five, buttons)
}
unbounded_family, asymmetric_family, from_five_family, buttons_family = odd.values()
no_family = gymnasium


class Reach(Walk):
    """As in Meta-World: a step says whether it is near the target; nothing ends there."""

    def step(self, action):
        obs, reward, terminated, truncated, _ = super().step(action)
        return obs, reward, terminated, truncated, {"success": float(-reward < 0.5)}


reach = TaskFamily(env=Reach, parameters={"target": Uniform(-1, 1)}, horizon=5)


class Dials(gymnasium.Env):
    """Two dials without a mark: each that stands where it belongs pays a half."""

    observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
    action_space = spaces.MultiDiscrete([2, 3])
    left, right = 0, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        paid = (action[0] == self.left) + (action[1] == self.right)
        return np.zeros(1, np.float32), 0.5 * paid, False, False, {}


dials = TaskFamily(
    env=Dials, parameters={"left": Choice((0, 1)), "right": Choice((0, 1, 2))}, horizon=6
)


class FixedList(Walk):
    """Five tasks, drawn with replacement."""

    goals = np.array([0.1, 0.3, 0.5, 0.7, 0.9])

    def sample_tasks(self, n):
        return list(self.np_random.choice(self.goals, n))

    def reset_task(self, task):
        self.target = task


class WithoutReplacement(FixedList):
    """The same, each once."""

    def sample_tasks(self, n):
        return list(self.np_random.choice(self.goals, n, replace=False))


class LongList(FixedList):
    """Three hundred tasks, each a dictionary with an array."""

    def sample_tasks(self, n):
        return [{"goal": np.array([i, 1.0])} for i in self.np_random.integers(300, size=n)]

    def reset_task(self, task):
        self.target = task["goal"][0] / 300


class NoNumber(FixedList):
    """Among its tasks is one that cannot be compared."""

    def sample_tasks(self, n):
        return [0.5, *([float("nan")] * (n - 1))]


fixed_list = TaskFamily(env=FixedList, horizon=8)
long_list = TaskFamily(env=LongList, horizon=8)
no_number = TaskFamily(env=NoNumber, horizon=8)
without_replacement = TaskFamily(env=WithoutReplacement, horizon=8)


class TwoArms(gymnasium.Env):
    """A bandit of two arms, each an attribute."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)
    left = right = grip = 0.5

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        paid = self.np_random.random() < (self.right if action else self.left)
        return np.zeros(1, np.float32), float(paid), False, False, {}


two_arms = TaskFamily(
    env=TwoArms,
    parameters={"left": Uniform(0, 1), "right": Uniform(0, 1)},
    horizon=10,
    model=Bandit(("left", "right")),
)

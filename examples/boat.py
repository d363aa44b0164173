"""A family around an environment of one's own: a boat in a current that it cannot see.

python scripts/check_family.py examples/boat.py:boat
python scripts/train_metarl.py --env examples/boat.py:boat
"""

import gymnasium
import numpy as np

from metarl.tasks import TaskFamily, Uniform


class Boat(gymnasium.Env):
    """Stay at the buoy in the origin; the action is the velocity through the water."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    current = np.zeros(2)  # m/s; what varies

    def reset(self, *, seed=None, options=None):
        """Start within a metre or so of the buoy."""
        super().reset(seed=seed)
        self.position = self.np_random.normal(0.0, 0.5, 2)
        return self.position.astype(np.float32), {}

    def step(self, action):
        """A tenth of a second; the reward is minus the distance."""
        self.position = self.position + 0.1 * (action + self.current)
        distance = np.linalg.norm(self.position)
        return self.position.astype(np.float32), -distance, False, False, {"distance": distance}


boat = TaskFamily(
    name="boat",
    env=Boat,
    parameters={"current": Uniform(-0.7, 0.7, unit="m/s", size=2)},
    horizon=50,
)

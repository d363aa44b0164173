"""One environment of a family, as Gymnasium knows it."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np

from metarl.tasks.checking import check_task
from metarl.tasks.engines import make_engine
from metarl.tasks.protocols import Family
from metarl.tasks.task import Task, stack_tasks


class FamilyEnv(gymnasium.Env[np.ndarray, Any]):
    """A plain Gymnasium environment of one task, stepped by the family's own engine.

    `reset(options={"task": {…}})` sets the task, which stays until another one is set; before
    that it is the family's default task. The task is never part of the observation.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, family: Family, render_mode: str | None = None) -> None:
        """Make one environment, which an engine steps.

        Args:
            family: whose task is stepped.
            render_mode: "rgb_array", or None where nothing is to be drawn.

        Raises:
            ValueError: a family of no array functions, or a render mode that it does not have.
        """
        definition = family.definition
        if definition.engine == "vector":
            raise ValueError(f"{family.name} makes its environments itself: use family.make()")
        fps = getattr(definition, "frames_per_second", None)
        modes = [] if fps is None else ["rgb_array"]
        if render_mode is not None and render_mode not in modes:
            raise ValueError(
                f"{family.name} has the render modes {modes}, got {render_mode!r}; "
                "use render_mode=None"
            )
        self.metadata = {"render_modes": modes} | ({} if fps is None else {"render_fps": fps})
        self.render_mode = render_mode
        self.family = family
        self.observation_space = family.observation_space
        self.action_space = family.action_space
        self.task: Task = copy.deepcopy(definition.default_task)
        self._tasks = stack_tasks([self.task])
        self._engine = make_engine(family, 1, 1, threads=1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode of the current task, or of `options["task"]`.

        Raises:
            ValueError: a task that is not one of the family's; see `check_tasks`.
        """
        super().reset(seed=seed)
        if options and "task" in options:
            check_task(self.family, options["task"])
            self.task = copy.deepcopy(dict(options["task"]))
            self._tasks = stack_tasks([self.task])
        self._noise = self._engine.draw_noise(self.np_random)
        self._steps = 0
        obs = self._engine.reset(self._tasks, self._noise.reset)
        return obs[0, 0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step; the reward is of the action after clipping to a `Box` action space.

        Raises:
            ValueError: a discrete action that the space does not hold.
        """
        # the noise of an episode covers its horizon; stepping beyond it is the user's mistake
        noise = self._noise.step[min(self._steps, self.family.horizon - 1)]
        self._steps += 1
        out = self._engine.step(np.asarray(action)[None, None], noise)
        metrics = {name: float(values[0, 0]) for name, values in out.metrics.items()}
        return (
            out.obs[0, 0],
            float(out.reward[0, 0]),
            bool(out.terminated[0, 0]),
            bool(out.truncated[0, 0]),
            metrics,
        )

    def render(self) -> np.ndarray | None:
        """A picture `[height, width, 3]` uint8; None without a render mode."""
        return self._engine.picture() if self.render_mode else None

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()

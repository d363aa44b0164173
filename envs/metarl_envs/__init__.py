"""The families of tasks that come with metarl, as a plugin of the entry points `metarl.families`.

Importing this package is cheap: a family's module, and MuJoCo with it, is imported when the family
is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metarl.tasks.family import TaskFamily

FAMILIES: Mapping[str, tuple[str, str, str]] = {
    "acrobot": ("acrobot", "ACROBOT", "metarl/Acrobot-v0"),
    "ant-dir": ("locomotion", "ANT_DIR", "metarl/AntDir-v0"),
    "ant-dir-2d": ("locomotion", "ANT_DIR_2D", "metarl/AntDir2d-v0"),
    "ant-goal": ("locomotion", "ANT_GOAL", "metarl/AntGoal-v0"),
    "ant-vel": ("locomotion", "ANT_VEL", "metarl/AntVel-v0"),
    "bandit-k10": ("bandit", "BANDIT_K10", "metarl/BanditK10-v0"),
    "bandit-k5": ("bandit", "BANDIT_K5", "metarl/BanditK5-v0"),
    "bandit-k50": ("bandit", "BANDIT_K50", "metarl/BanditK50-v0"),
    "cartpole": ("control", "CARTPOLE", "metarl/CartPole-v0"),
    "grid-navi": ("grid", "GRID_NAVI", "metarl/GridNavi-v0"),
    "half-cheetah-dir": ("locomotion", "HALF_CHEETAH_DIR", "metarl/HalfCheetahDir-v0"),
    "half-cheetah-params": ("physics", "HALF_CHEETAH_PARAMS", "metarl/HalfCheetahParams-v0"),
    "half-cheetah-vel": ("locomotion", "HALF_CHEETAH_VEL", "metarl/HalfCheetahVel-v0"),
    "hopper-params": ("physics", "HOPPER_PARAMS", "metarl/HopperParams-v0"),
    "hopper-vel": ("locomotion", "HOPPER_VEL", "metarl/HopperVel-v0"),
    "humanoid-dir": ("locomotion", "HUMANOID_DIR", "metarl/HumanoidDir-v0"),
    "mountain-car": ("control", "MOUNTAIN_CAR", "metarl/MountainCar-v0"),
    "pendulum": ("control", "PENDULUM", "metarl/Pendulum-v0"),
    "point-nav": ("navigation", "POINT_NAV", "metarl/PointNav-v0"),
    "point-nav-sparse": ("navigation", "POINT_NAV_SPARSE", "metarl/PointNavSparse-v0"),
    "swimmer-vel": ("locomotion", "SWIMMER_VEL", "metarl/SwimmerVel-v0"),
    "tabular-mdp": ("tabular", "TABULAR_MDP", "metarl/TabularMdp-v0"),
    "walker2d-params": ("physics", "WALKER2D_PARAMS", "metarl/Walker2dParams-v0"),
    "walker2d-vel": ("locomotion", "WALKER2D_VEL", "metarl/Walker2dVel-v0"),
}
"""Name → module, attribute, and the Gymnasium id of its plain environment."""
METAWORLD = "metaworld-"


class BuiltIn:
    """The catalogue that the entry point yields (a `metarl.tasks.registry.Catalogue`)."""

    unlisted = "metaworld-ml1-<environment>, metaworld-ml10 and metaworld-ml45 (extra metaworld)"

    def names(self) -> list[str]:
        """All families but Meta-World's, which are a pattern."""
        return list(FAMILIES)

    def env_ids(self) -> dict[str, str]:
        """Gymnasium id → name."""
        return {env_id: name for name, (_, _, env_id) in FAMILIES.items()}

    def hints(self, name: str) -> dict[str, Any] | None:
        """Meta-World's families suggest about the sizes of its own evaluation."""
        if name.startswith(METAWORLD):
            return {"tasks": 20, "episodes": 10, "normalize_observations": True}
        return {} if name in FAMILIES else None

    def make(self, name: str) -> TaskFamily | None:
        """The family of that name; None where it is none of these.

        Raises:
            ValueError: a family of Meta-World's that it does not have, or that is not installed.
        """
        if name.startswith(METAWORLD):
            from .metaworld import metaworld_family

            return metaworld_family(name)
        if name not in FAMILIES:
            return None
        module, attribute, _ = FAMILIES[name]
        family: TaskFamily = getattr(import_module(f"{__name__}.{module}"), attribute)
        return family


catalogue = BuiltIn()

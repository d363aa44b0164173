"""Families of tasks, the environments they make, and engines that step thousands of them.

Importing this package registers every built-in family with Gymnasium:
`gymnasium.make("metarl/HalfCheetahVel-v0")`, or, with no import before it,
`gymnasium.make("envs:metarl/HalfCheetahVel-v0")`.
"""

from __future__ import annotations

import gymnasium

from envs.distributions import Choice, Uniform
from envs.engines import EnvironmentFailure, make_engine
from envs.family import TaskFamily, stack_tasks, task_at
from envs.registry import family_names, make_family, register_family
from envs.single import FamilyEnv

__all__ = [
    "Choice",
    "EnvironmentFailure",
    "FamilyEnv",
    "TaskFamily",
    "Uniform",
    "family_names",
    "make_engine",
    "make_family",
    "register_family",
    "stack_tasks",
    "task_at",
]

for _name in family_names():
    _family = make_family(_name)
    gymnasium.register(
        _family.env_id, entry_point="envs.single:FamilyEnv", kwargs={"family": _family}
    )

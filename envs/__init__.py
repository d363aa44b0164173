"""Families of tasks, the environments they make, and engines that step thousands of them.

Importing this package registers every built-in family with Gymnasium:
`gymnasium.make("metarl/HalfCheetahVel-v0")`, or, with no import before it,
`gymnasium.make("envs:metarl/HalfCheetahVel-v0")`.
"""

from __future__ import annotations

import gymnasium

from envs.contract import check_family
from envs.distributions import (
    Beta,
    Choice,
    Dirichlet,
    InDisk,
    LogUniform,
    Normal,
    OnCircle,
    Uniform,
)
from envs.engines import EnvironmentFailure, make_engine
from envs.family import TaskFamily
from envs.guard import guarded
from envs.loading import family_from_json, load_family
from envs.models import Bandit, Belief, Mdp
from envs.moved import FamilyNotFoundError
from envs.registry import BUILT_IN, family_names, make_family, register_family
from envs.repeated import repeats, repeats_advice
from envs.single import FamilyEnv
from envs.task import Tasks, stack_tasks, task_at

__all__ = [
    "Bandit",
    "Belief",
    "Beta",
    "Choice",
    "Dirichlet",
    "EnvironmentFailure",
    "FamilyEnv",
    "FamilyNotFoundError",
    "InDisk",
    "LogUniform",
    "Mdp",
    "Normal",
    "OnCircle",
    "TaskFamily",
    "Tasks",
    "Uniform",
    "check_family",
    "family_from_json",
    "family_names",
    "guarded",
    "load_family",
    "make_engine",
    "make_family",
    "register_family",
    "repeats",
    "repeats_advice",
    "stack_tasks",
    "task_at",
]

for _family in BUILT_IN:
    gymnasium.register(
        _family.env_id, entry_point="envs.single:FamilyEnv", kwargs={"family": _family}
    )

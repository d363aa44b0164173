"""Families of tasks, the environments they make, and engines that step thousands of them.

Importing this package makes the families of installed packages known to Gymnasium:
`gymnasium.make("metarl/HalfCheetahVel-v0")`, or, with no import before it,
`gymnasium.make("metarl.tasks:metarl/HalfCheetahVel-v0")`.
"""

from __future__ import annotations

from metarl.tasks.contract.rules import check_family
from metarl.tasks.custom.own_tasks import UnfitTasks
from metarl.tasks.distributions import (
    Beta,
    Choice,
    Dirichlet,
    InDisk,
    LogUniform,
    Normal,
    OnCircle,
    Uniform,
)
from metarl.tasks.engines import EnvironmentFailure, make_engine
from metarl.tasks.family import TaskFamily
from metarl.tasks.guard import guarded
from metarl.tasks.loading import family_from_json, load_family
from metarl.tasks.models import Bandit, Belief, Mdp
from metarl.tasks.moved import FamilyNotFoundError
from metarl.tasks.registry import (
    family_names,
    make_family,
    register_family,
    register_with_gymnasium,
)
from metarl.tasks.repeated import compared, repeats, repeats_advice
from metarl.tasks.single import FamilyEnv
from metarl.tasks.task import Tasks, stack_tasks, task_at

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
    "UnfitTasks",
    "Uniform",
    "check_family",
    "compared",
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

register_with_gymnasium()

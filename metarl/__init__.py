"""Meta-reinforcement learning: train on a family of tasks, adapt to a new one in a few episodes.

The parts, from the bottom up: `metarl.core` (adaptation, trust region), `metarl.rl` (policies,
returns, rollouts), `metarl.algorithms`, `metarl.experiment` (runs, checkpoints). On top of them:

    agent = metarl.load_agent("runs/…")
    adapted = agent.adapt(env, episodes=20)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metarl.agent import Agent, load_agent
    from metarl.fewshot.adapted import AdaptedModel, load_adapted
    from metarl.fewshot.agent import FewShotAgent, load_few_shot
    from metarl.tasks import (
        Beta,
        Choice,
        Dirichlet,
        InDisk,
        LogUniform,
        Normal,
        OnCircle,
        TaskFamily,
        Uniform,
    )

_HOME = {
    "AdaptedModel": "metarl.fewshot.adapted",
    "Agent": "metarl.agent",
    "FewShotAgent": "metarl.fewshot.agent",
    "load_adapted": "metarl.fewshot.adapted",
    "load_agent": "metarl.agent",
    "load_few_shot": "metarl.fewshot.agent",
    "Beta": "metarl.tasks",
    "Choice": "metarl.tasks",
    "Dirichlet": "metarl.tasks",
    "InDisk": "metarl.tasks",
    "LogUniform": "metarl.tasks",
    "Normal": "metarl.tasks",
    "OnCircle": "metarl.tasks",
    "TaskFamily": "metarl.tasks",
    "Uniform": "metarl.tasks",
}
__all__ = [
    "AdaptedModel",
    "Agent",
    "FewShotAgent",
    "load_adapted",
    "load_agent",
    "load_few_shot",
    "Beta",
    "Choice",
    "Dirichlet",
    "InDisk",
    "LogUniform",
    "Normal",
    "OnCircle",
    "TaskFamily",
    "Uniform",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the topmost layer when it is first used: the lower ones need nothing of it."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'metarl' has no attribute {name!r}")

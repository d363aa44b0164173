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

__all__ = ["Agent", "load_agent"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `metarl.agent` when it is first used: the lower layers need nothing of it."""
    if name in __all__:
        return getattr(import_module("metarl.agent"), name)
    raise AttributeError(f"module 'metarl' has no attribute {name!r}")

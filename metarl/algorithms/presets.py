"""Hyper-parameters by preset and environment, each preset named after its source.

The preset `default` is ours: it takes the families' tasks of Finn et al. 2017 and what trains
best on them. On the cheetahs these are a tanh network on normalised observations, a policy whose
unit action is a third of the actuator's range, and inner steps twice as long as the published
ones (docs/maml_trpo.md has the measurements). Bandits and random MDPs have short episodes, so that
an iteration takes more tasks, and small networks, which longer inner steps suit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metarl.experiment.config import nearest
from metarl.tasks.registry import family_names, hints

Overrides = dict[str, Any]


LIKE = "like:"
"""`like:bandit-k5` is the preset default of that family for another; `like:bandit-k5/rl2_2016` is
another preset of it."""


def tasks_of(preset: str) -> str:
    """The preset that a family's tasks are those of; one that is like another's changes none."""
    return "default" if preset.startswith(LIKE) else preset


def overrides(table: Mapping[str, Mapping[str, Overrides]], preset: str, env: str) -> Overrides:
    """Return what `preset` changes for `env`.

    Raises:
        ValueError: an unknown preset, or one that says nothing about `env`.
    """
    if preset.startswith(LIKE):
        env, _, other = preset.removeprefix(LIKE).partition("/")
        preset = other or "default"
        families = {name for rows in table.values() for name in rows} | set(family_names())
        if env not in families and hints(env) is None:
            raise ValueError(f"preset {LIKE}{env}: no such family; {nearest(env, families)}")
    if preset not in table:
        hint = nearest(preset, table)
        raise ValueError(f"unknown preset {preset!r}; {hint}; --list-envs shows them all")
    if env not in table[preset] and preset != "default":
        known = [name for name, rows in table.items() if env in rows]
        raise ValueError(
            f"preset {preset!r} has no {env}; presets that have: {', '.join(known) or 'default'}"
        )
    return table[preset].get(env, dict(hints(env) or {}))

"""The hyper-parameters that a training command begins with, before its options change them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from metarl.algorithms.chosen import chosen, look_at
from metarl.algorithms.registry import get_method, preset_config
from metarl.cli.command import given, given_every
from metarl.tasks import load_family
from metarl.tasks.registry import hints


class Defaults(NamedTuple):
    """Hyper-parameters, and where they are from if from no preset."""

    config: Any
    chosen: dict[str, Any]  # what was chosen for an environment that no preset knows
    why: str  # what was seen of it

    def note(self, config: Any) -> str:
        """Say in words what was chosen and stands in `config`; nothing where nothing was."""
        kept = [f"{k} {v}" for k, v in self.chosen.items() if getattr(config, k) == v]
        if not kept:
            return ""
        return (
            f"hyper-parameters chosen for {self.why}: {', '.join(kept)}; options change them, and "
            "--preset like:bandit-k5 (or any family that --list-envs shows) takes that one's"
        )


def defaults(arguments: list[str], algo: str, env: str, preset: str) -> Defaults:
    """Take those of the preset, or for one's own environment choose by what is seen of it.

    Args:
        arguments: the command line, which says how the environment is made.
        algo: name of the algorithm.
        env: as `--env` names it.
        preset: as `--preset` names it.

    Raises:
        ValueError: an unknown algorithm, preset or environment.
    """
    vary = given_every(arguments, "--vary")
    if preset != "default" or not (vary or _is_own(env)):
        return Defaults(preset_config(algo, preset, env), {}, "")
    method, workers = get_method(algo), _count(arguments, "--workers") or 0
    apply: Any = given(arguments, "--apply") or "attributes"
    family = load_family(env, None, _count(arguments, "--horizon"), vary, workers, apply=apply)
    seen = look_at(family, workers)
    counts = {name: _count(arguments, f"--{name}") for name in ("tasks", "episodes")}
    found = chosen(algo, seen, **{name: n for name, n in counts.items() if n})
    return Defaults(method.config(**found), found, str(seen))


def _is_own(env: str) -> bool:
    """Say whether an environment is in no catalogue."""
    return hints(env) is None


def _count(arguments: list[str], option: str) -> int | None:
    """A positive whole number that was given; what is none is refused later."""
    with suppress(TypeError, ValueError):
        number = int(given(arguments, option) or "")
        return number if number > 0 else None
    return None

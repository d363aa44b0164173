"""Does a family of tasks obey what meta-learning needs? A verdict per rule, and what to do.

python scripts/check_family.py my_module:my_family
python scripts/check_family.py CartPole-v1 --vary "length=uniform(0.25,1)"
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from metarl.cli.command import exit_code
from metarl.cli.display import make_console, say
from metarl.tasks import load_family
from metarl.tasks.contract.rules import check_family
from metarl.tasks.custom.setters import Way


@dataclass(frozen=True)
class CheckFamilyOptions:
    """Check a family of tasks; the exit code is 0 if it breaks no rule, 1 if it does.

    ok: obeyed; WRONG: broken, with what to do; ?: could not be shown; -: not checked.
    """

    env: Annotated[str, tyro.conf.Positional]
    """A name, my_module:my_family, path/to/file.py:my_family, or with --vary a Gymnasium id."""
    vary: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """What varies in a Gymnasium environment, as for train_metarl.py."""
    apply: Way = "attributes"
    """How what varies reaches the environment, as for train_metarl.py."""
    horizon: int | None = None
    """Steps of an episode; the family's if not given."""


def check(options: CheckFamilyOptions) -> bool:
    """Print the verdicts; True if no rule is broken.

    Raises:
        ValueError: there is no such family.
    """
    # what is typed here is tried; whether a module's environment can be made is the first rule
    typed = bool(options.vary)
    family = load_family(
        options.env,
        horizon=options.horizon,
        vary=options.vary,
        tried=typed,
        apply=options.apply,
    )
    console = make_console()
    verdicts = check_family(family)
    for verdict in verdicts:
        mark = {True: "ok", False: "WRONG", None: "-" if verdict.shown else "?"}[verdict.passed]
        say(console, f"{mark:>5}  {verdict.rule}")
        if verdict.advice:
            say(console, f"       {verdict.advice}")
    number = sum(verdict.passed is False for verdict in verdicts)
    unshown = sum(not verdict.shown for verdict in verdicts)
    outcome = f"breaks {number} of {len(verdicts)} rules" if number else "obeys every rule"
    if unshown:
        outcome += f" that could be shown; {unshown} could not"
    say(console, f"{family.name} {outcome}")
    return number == 0


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 no rule is broken, 1 one is, 2 a user's mistake, 130 interrupted."""
    return exit_code(lambda: 0 if check(tyro.cli(CheckFamilyOptions, args=argv)) else 1)


if __name__ == "__main__":
    sys.exit(main())

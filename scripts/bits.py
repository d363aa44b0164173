"""Whether trainings, evaluations and resumed runs are what they were at another commit, bit by bit.

python scripts/bits.py --against HEAD
python scripts/bits.py --against HEAD~3 --only "maml-trpo-*" few-shot-maml

The other commit is checked out into a temporary folder. Each arm is a tiny training of three
iterations, its evaluation, and the third iteration done again by a resume, in either tree by its
own commands. Both run in the environment of this Python.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import tyro
from harness.arms import ARMS, Arm, write_data
from harness.cache import Cache
from harness.checkout import checked_out, git
from harness.command import ENVIRONMENT, prepare
from harness.difference import digest_of, digest_of_json, json_differences, tensor_differences
from harness.tree import Failure, Result, run_arm

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class BitsOptions:
    """Compare this tree with another commit; the exit code is 1 where they differ."""

    against: str
    """The other commit, in any form that git knows."""
    only: tuple[str, ...] = ()
    """Arms by name or pattern, such as rl2-*; all if not given."""
    jobs: int = len(os.sched_getaffinity(0))
    """Arms that run at the same time; they never change a result."""
    cache: Path = Path(tempfile.gettempdir()) / "metarl-bits"
    """Folder that keeps the results of the other commit for the next comparison."""


class Finding(NamedTuple):
    """The comparison of an arm came to this."""

    arm: Arm
    word: str  # equal, differs, fails or new
    lines: list[str]  # the hashes, or what differs


def chosen(patterns: tuple[str, ...]) -> tuple[Arm, ...]:
    """The arms that any of the patterns fits, all if there is none.

    Raises:
        ValueError: a pattern that fits no arm (the message has all of them).
    """
    for pattern in patterns:
        if not any(fnmatch(arm.name, pattern) for arm in ARMS):
            names = ", ".join(arm.name for arm in ARMS)
            raise ValueError(f"--only {pattern} fits no arm; there are {names}")
    fits = [arm for arm in ARMS if any(fnmatch(arm.name, pattern) for pattern in patterns)]
    return tuple(fits) if patterns else ARMS


def judge(arm: Arm, here: Result | Failure, there: Result | Failure) -> Finding:
    """Compare what an arm came to in the two trees."""
    if isinstance(here, Failure):
        return Finding(arm, "fails", [here.message])
    if isinstance(there, Failure):
        word = "new" if there.refused else "differs"
        return Finding(arm, word, [f"there, {there.message}"])
    found = {
        "trained": tensor_differences(here.trained, there.trained),
        "evaluation": json_differences(here.evaluation, there.evaluation),
        "resumed": tensor_differences(here.resumed, there.resumed),
    }
    if lines := [f"{what}: {line}" for what, rows in found.items() for line in rows]:
        return Finding(arm, "differs", lines)
    hashes = digest_of(here.trained), digest_of_json(here.evaluation), digest_of(here.resumed)
    return Finding(arm, "equal", [f"{k} {v}" for k, v in zip(found, hashes, strict=True)])


def verdicts(options: BitsOptions, arms: tuple[Arm, ...], commit: str) -> Iterator[Finding]:
    """Run all arms in both trees, those of the other one unless their results are kept."""
    cache = Cache(options.cache, commit)
    os.environ.update(ENVIRONMENT)
    with tempfile.TemporaryDirectory(prefix="metarl-bits-") as name:
        work = Path(name)
        write_data(work)
        with checked_out(ROOT, commit, work / "tree") as tree, _pool(options.jobs) as pool:
            running = []
            for arm in arms:
                here = pool.submit(run_arm, arm, ROOT, work / "here" / arm.name, work)
                known = cache.get(arm)
                there = known or pool.submit(run_arm, arm, tree, work / "there" / arm.name, work)
                running.append((arm, here, there))
            try:
                for arm, here, there in running:
                    was = there.result() if isinstance(there, Future) else there
                    cache.put(arm, was)
                    yield judge(arm, here.result(), was)
            finally:
                pool.shutdown(cancel_futures=True)


def _pool(jobs: int) -> ProcessPoolExecutor:
    """Processes that run arms; nothing of a tree is imported in them."""
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), prepare)


def compare(options: BitsOptions) -> int:
    """Print a verdict per arm; the exit code is 1 where one differs or fails.

    Raises:
        ValueError: there is no such commit or arm, or an impossible number of jobs.
    """
    if options.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {options.jobs}")
    arms = chosen(options.only)
    commit = git(ROOT, "rev-parse", "--verify", "--end-of-options", f"{options.against}^{{commit}}")
    changed = " and what is not committed" if git(ROOT, "status", "--porcelain") else ""
    head = git(ROOT, "rev-parse", "--short", "HEAD")
    print(f"here: {head}{changed}; there: {options.against}, {commit[:12]}", flush=True)
    counts = dict.fromkeys(("equal", "differs", "fails", "new"), 0)
    for verdict in verdicts(options, arms, commit):
        counts[verdict.word] += 1
        show(verdict)
    equal, differs, fails, new = counts.values()
    print(f"{equal} arms equal, {differs} differ, {fails} fail here, {new} are not there")
    return 1 if differs or fails else 0


def show(verdict: Finding) -> None:
    """Print one: the hashes on a line, or each difference on its own."""
    if verdict.word == "equal":
        print(f"equal    {verdict.arm.name:34}{'  '.join(verdict.lines)}", flush=True)
        return
    print("\n         ".join([f"{verdict.word:9}{verdict.arm.name}", *verdict.lines]), flush=True)


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 all equal, 1 something differs, 2 a user's mistake, 130 interrupted."""
    try:
        return compare(tyro.cli(BitsOptions, args=argv))
    except SystemExit as stop:  # --help, or a message of tyro's
        return int(stop.code or 0)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

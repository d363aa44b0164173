"""Would the tests notice a wrong change? Each plausible one is made in a copy, and tests are run.

python scripts/mutate.py
python scripts/mutate.py --only normaliser --only λ

`scripts/mutations/*.toml` declare them: the source text that is replaced, by what, and the test
functions that are to fail then. The text must be found exactly once in the sources, wherever its
file is; where it has changed, nothing is run and the message says so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import tyro
from rich.console import Console

from metarl.cli.command import exit_code
from metarl.cli.display import make_console, say

ROOT = Path(__file__).parent.parent
LISTS = Path(__file__).parent / "mutations"
SOURCES = ("metarl", "envs", "scripts")
COPIED = (*SOURCES, "tests", "examples", "docs", "README.md", "pyproject.toml")


@dataclass(frozen=True)
class MutateOptions:
    """Try declared wrong changes; the exit code is 0 if tests notice all of them, 1 if not."""

    only: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Those whose name contains this."""
    tiny: bool = False
    """Look for the text and the tests of all, but try the first one of each list alone."""


class Mutation(NamedTuple):
    """A wrong change that tests are to notice."""

    name: str  # what is wrong then
    text: str  # of the source, unique
    wrong: str  # what takes its place
    tests: tuple[str, ...]  # the functions that are to fail, one of them at least


class Place(NamedTuple):
    """A mutation is made here, and these tests are run then."""

    mutation: Mutation
    file: Path  # relative to the tree
    tests: list[str]  # as pytest names them


def declared() -> list[list[Mutation]]:
    """The mutations of every list.

    Raises:
        ValueError: a list is no TOML, or an entry has other keys than a mutation.
    """
    return [_read(file) for file in sorted(LISTS.glob("*.toml"))]


def _read(file: Path) -> list[Mutation]:
    try:
        rows = tomllib.loads(file.read_text())["mutation"]
        return [Mutation(**{**row, "tests": tuple(row["tests"])}) for row in rows]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{file} declares no mutations as it should: {error!r}") from None


def placed(root: Path, mutations: Sequence[Mutation]) -> list[Place]:
    """Find where the mutations are made in a tree, by their text.

    Raises:
        ValueError: names all texts that are not found exactly once, and all tests that are not
            found.
    """
    sources = {f: f.read_text() for top in SOURCES for f in sorted((root / top).rglob("*.py"))}
    tests = {f: f.read_text() for f in sorted((root / "tests").rglob("test_*.py"))}
    found, lost = [], []
    for m in mutations:
        files = [file for file, text in sources.items() for _ in range(text.count(m.text))]
        ids = {name: _test_ids(root, name, tests) for name in m.tests}
        if m.wrong == m.text:
            lost.append(f"{m.name!r}: it changes nothing")
        if len(files) != 1:
            lost.append(f"{m.name!r}: its text is in the sources {len(files)} times:\n{m.text}")
        lost += [f"{m.name!r}: there is no test {name}" for name in m.tests if not ids[name]]
        if len(files) == 1:
            found.append(Place(m, files[0].relative_to(root), [*chain(*ids.values())]))
    if lost:
        advice = "the sources have changed: give these mutations their new text or tests"
        raise ValueError("\n".join([advice, *lost]))
    return found


def _test_ids(root: Path, name: str, tests: dict[Path, str]) -> list[str]:
    definition = re.compile(rf"^def {re.escape(name)}\(", re.MULTILINE)
    files = [file for file, text in tests.items() if definition.search(text)]
    return [f"{file.relative_to(root).as_posix()}::{name}" for file in files]


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """A temporary copy of a tree, in which anything may be broken."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        for name in COPIED:
            if (root / name).is_dir():
                skip = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(root / name, tree / name, ignore=skip)
            elif (root / name).exists():
                shutil.copy(root / name, tree / name)
        yield tree


def failure(tree: Path, tests: Sequence[str]) -> str:
    """The first of some tests that fails in a tree, and why; empty where all pass.

    Raises:
        ValueError: pytest could not run them; with what it said.
    """
    # no .pyc: a mutation may be as long as the text, and as old to the second
    own = {"PYTHONPATH": f"{tree}{os.pathsep}{tree / 'envs'}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        command, cwd=tree, env=os.environ | own, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise ValueError(f"{' '.join(command)} could not run:\n{done.stdout}{done.stderr}")
    if done.returncode == 0:
        return ""
    lines = done.stdout.splitlines()
    return next((line for line in lines if line.startswith(("FAILED", "ERROR"))), "a test failed")


def noticed(tree: Path, place: Place) -> str:
    """The test that fails with the mutation, or nothing; the tree is as before afterwards."""
    file = tree / place.file
    before = file.read_text()
    file.write_text(before.replace(place.mutation.text, place.mutation.wrong))
    try:
        return failure(tree, place.tests)
    finally:
        file.write_text(before)


def survivors(root: Path, places: Sequence[Place], console: Console) -> list[Mutation]:
    """Try mutations in a copy of a tree, and say what came of each; those that no test noticed.

    Raises:
        ValueError: the tests fail without any mutation, too, or cannot run.
    """
    left = []
    with copied(root) as tree:
        tests = sorted({test for place in places for test in place.tests})
        if failed := failure(tree, tests):
            raise ValueError(f"a test fails without any mutation: {failed}")
        for place in places:
            started = time.perf_counter()
            failed = noticed(tree, place)
            left += [] if failed else [place.mutation]
            verdict = "noticed" if failed else "SURVIVES"
            seconds = time.perf_counter() - started
            say(console, f"{verdict:>8}  {place.mutation.name} ({place.file}, {seconds:.0f} s)")
            if failed:
                say(console, f"          {failed}")
    return left


def mutate(options: MutateOptions) -> bool:
    """Try the declared mutations; True if tests notice all of them.

    Raises:
        ValueError: see `placed` and `survivors`; or no name contains what --only says.
    """
    lists = declared()
    places = placed(ROOT, [*chain(*lists)])
    if options.tiny:
        first = [mutations[0] for mutations in lists]
        places = [place for place in places if place.mutation in first]
    if options.only:
        places = [p for p in places if any(part in p.mutation.name for part in options.only)]
    if not places:
        raise ValueError(f"no mutation's name contains {' or '.join(map(repr, options.only))}")
    console = make_console()
    left = survivors(ROOT, places, console)
    say(console, f"tests notice {len(places) - len(left)} of {len(places)} wrong changes")
    for mutation in left:
        say(console, f"survives: {mutation.name}; {' and '.join(mutation.tests)} passed")
    return not left


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 all are noticed, 1 some survive, 2 a list or the sources have changed, 130."""
    return exit_code(lambda: 0 if mutate(tyro.cli(MutateOptions, args=argv)) else 1)


if __name__ == "__main__":
    sys.exit(main())

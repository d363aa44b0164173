"""The comparison with another commit: what it finds, and what it says."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from harness.arms import ARMS, write_data
from harness.cache import Cache
from harness.command import run_command
from harness.difference import digest_of, json_differences, tensor_differences
from harness.tree import Failure, Result, run_arm

from scripts import bits

ROOT = Path(__file__).parents[2]
ARM = next(arm for arm in ARMS if arm.name == "few-shot-protonet")
WEIGHTS = {"w": np.array([1.0, -2.0], dtype=np.float32), "b": np.float32(0.0).reshape(())}
RESULT = Result(WEIGHTS, {"curve": [{"mean": 1.0}]}, WEIGHTS)


def one_ulp_off() -> dict[str, np.ndarray]:
    return WEIGHTS | {"w": np.nextafter(WEIGHTS["w"], np.float32(9), dtype=np.float32)}


def test_one_unit_in_the_last_place_is_a_difference() -> None:
    """Its size and how many values have it are said."""
    assert tensor_differences(WEIGHTS, dict(WEIGHTS)) == []
    (line,) = tensor_differences(one_ulp_off(), WEIGHTS)
    assert line == "w: 2 of 2 values differ, by up to 1.19e-07 (of 2)"
    assert digest_of(one_ulp_off()) != digest_of(WEIGHTS)


@pytest.mark.parametrize(
    ("here", "line"),
    [
        ({"w": WEIGHTS["w"], "b": np.float32(-0.0).reshape(())}, "b: 0 of 1 values differ"),
        ({"w": WEIGHTS["w"]}, "b: only there"),
        (WEIGHTS | {"a": WEIGHTS["w"]}, "a: only here"),
        (WEIGHTS | {"w": WEIGHTS["w"][None]}, "w: float32 [1, 2], was float32 [2]"),
        (WEIGHTS | {"w": WEIGHTS["w"].astype(np.float64)}, "w: float64 [2], was float32 [2]"),
        (WEIGHTS | {"w": np.float32([np.nan, -2])}, "w: 1 of 2 values differ, some are no numbers"),
    ],
)
def test_every_way_to_differ_is_found(here: dict[str, np.ndarray], line: str) -> None:
    """The sign of zero, names, shapes, types, and what is no number."""
    (found,) = tensor_differences(here, WEIGHTS)
    assert found.startswith(line)
    assert digest_of(here) != digest_of(WEIGHTS)


def test_tensors_that_are_no_numbers_alike_are_equal() -> None:
    """The bits are compared."""
    nan = {"w": np.float32([np.nan, 1])}
    assert tensor_differences(nan, {"w": nan["w"].copy()}) == []


def test_json_is_compared_value_by_value() -> None:
    """Numbers with their distance; what one side alone has is named."""
    was = {"curve": [{"mean": 1.0, "ci95": None}], "env": "a"}
    now = {"curve": [{"mean": 1.5, "ci95": None}, {"mean": 2.0}], "env": "b"}
    assert json_differences(was, was) == []
    assert json_differences(now, was) == [
        "curve[1].mean: only here",
        "curve[0].mean: 1.5, was 1.0, by 0.5",
        "env: 'b', was 'a'",
    ]


@pytest.mark.parametrize(
    ("here", "there", "word"),
    [
        (RESULT, RESULT, "equal"),
        (RESULT._replace(resumed=one_ulp_off()), RESULT, "differs"),
        (RESULT._replace(evaluation={"curve": []}), RESULT, "differs"),
        (RESULT, Failure(True, "unknown algo"), "new"),
        (RESULT, Failure(False, "a traceback"), "differs"),
        (Failure(True, "unknown algo"), RESULT, "fails"),
        (Failure(False, "no g++"), Failure(False, "no g++"), "fails"),
    ],
)
def test_an_arm_has_one_verdict(here: Result | Failure, there: Result | Failure, word: str) -> None:
    """An arm that does not run here is never equal; one that is refused there is new."""
    assert bits.judge(ARM, here, there).word == word


def test_an_arm_is_trained_evaluated_and_resumed(tmp_path: Path) -> None:
    """Its resumed run equals the uninterrupted one, and what is kept of it is the same."""
    write_data(tmp_path)
    result = run_arm(ARM, ROOT, tmp_path / "arm", tmp_path)
    assert isinstance(result, Result), result
    assert result.trained
    assert tensor_differences(result.resumed, result.trained) == []
    cache = Cache(tmp_path / "cache", "a" * 40)
    assert cache.get(ARM) is None
    cache.put(ARM, result)
    kept = cache.get(ARM)
    assert kept is not None
    assert bits.judge(ARM, result, kept).word == "equal"
    assert Cache(tmp_path / "cache", "b" * 40).get(ARM) is None


def test_an_arm_that_a_tree_does_not_know_is_refused(tmp_path: Path) -> None:
    """With the command's own message."""
    unknown = ARM._replace(options=("--algo", "protonett"))
    result = run_arm(unknown, ROOT, tmp_path / "arm", tmp_path)
    assert isinstance(result, Failure)
    assert result.refused
    assert "train_fewshot.py, exit code 2: error: unknown algo 'protonett'" in result.message


ASKS = """
import sys
class MamlTrpo:
    def __init__(self): self.stacked = False
sys.exit(3 if MamlTrpo().stacked else 0)
"""


def test_stacked_tasks_are_forced_or_missed(tmp_path: Path) -> None:
    """A tree in which nothing could be stacked fails instead of comparing something else."""
    (tmp_path / "scripts").mkdir()
    script, log = tmp_path / "scripts" / "train.py", tmp_path / "log"
    script.write_text(ASKS)
    assert run_command(script, (), log) == 0
    assert run_command(script, (), log, stacked=True) == 3
    script.write_text("raise SystemExit(0)")
    assert run_command(script, (), log, stacked=True) == 1
    assert "MamlTrpo.stacked" in log.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--against", "no-such-commit"), "no-such-commit"),
        (("--against", "HEAD", "--only", "maml-trop-*"), "maml-trop-* fits no arm; there are maml"),
        (("--against", "HEAD", "--jobs", "0"), "--jobs must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything runs."""
    assert bits.main([*options]) == 2
    assert message in capsys.readouterr().err


def test_patterns_choose_arms() -> None:
    """None chooses all; every arm has a name of its own."""
    assert bits.chosen(()) == ARMS
    assert {arm.name[:4] for arm in bits.chosen(("rl2-*", "maml-trpo-dice"))} == {"rl2-", "maml"}
    assert len({arm.name for arm in ARMS}) == len(ARMS)


def git(folder: Path, *words: str) -> None:
    me = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    subprocess.run(["git", *me, *words], cwd=folder, check=True, capture_output=True)


RETURNED = "return new, Moments("
MOVED = "return map_params(lambda p: p.nextafter(p + 1), new), Moments("


@pytest.mark.slow
def test_a_change_of_one_ulp_in_a_copy_is_found(tmp_path: Path) -> None:
    """A copy of this tree equals its own commit; with θ moved by a hair it differs from it."""
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__", ".git", "runs", ".*_cache", ".venv", "build")
    shutil.copytree(ROOT, copy, ignore=ignored)
    git(copy, "init")
    git(copy, "add", "--all")
    git(copy, "commit", "--message", "a copy")
    words = [sys.executable, "scripts/bits.py", "--against", "HEAD", "--cache", str(tmp_path / "c")]
    words += ["--jobs", "1", "--only", "few-shot-maml", "maml-trpo-stacked"]
    same = subprocess.run(words, cwd=copy, capture_output=True, text=True)
    assert same.returncode == 0, same.stdout + same.stderr
    assert "2 arms equal, 0 differ, 0 fail here, 0 are not there" in same.stdout
    adam = copy / "metarl" / "core" / "adam.py"
    assert RETURNED in adam.read_text()
    adam.write_text(adam.read_text().replace(RETURNED, MOVED))
    moved = subprocess.run(words, cwd=copy, capture_output=True, text=True)
    assert moved.returncode == 1, moved.stdout + moved.stderr
    assert "equal    maml-trpo-stacked" in moved.stdout
    assert "differs  few-shot-maml" in moved.stdout
    worktrees = subprocess.run(
        ["git", "worktree", "list"], cwd=copy, capture_output=True, text=True
    )
    assert len(worktrees.stdout.splitlines()) == 1

"""The command that makes wrong changes and says which of them tests would not notice."""

from itertools import chain
from pathlib import Path

import mutate
import pytest
from mutate import Mutation, declared, placed, survivors

from metarl.cli.display import make_console

HALVE = Mutation("a half is a third", "x / 2", "x / 3", ("test_halves",))
DOUBLE = Mutation("twice is thrice", "x * 2", "x * 3", ("test_halves",))
LIST = """
[[mutation]]
name = "a half is a third"
text = "x / 2"
wrong = "x / 3"
tests = ["test_halves"]

[[mutation]]
name = "twice is thrice"
text = "x * 2"
wrong = "x * 3"
tests = ["test_halves"]
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project whose tests look at one of its two functions."""
    files = {
        "metarl/deep/numbers.py": "def half(x):\n    return x / 2\n\n\n"
        "def twice(x):\n    return x * 2\n",
        "tests/deep/test_numbers.py": "from metarl.deep.numbers import half\n\n\n"
        "def test_halves():\n    assert half(6) == 3\n",
        "pyproject.toml": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def contents(tree: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in tree.rglob("*") if file.is_file()}


def test_every_declared_mutation_has_its_text_and_its_tests() -> None:
    """Each text is in the sources once; where one has moved or changed the message says which."""
    mutations = [*chain(*declared())]
    assert [place.mutation for place in placed(mutate.ROOT, mutations)] == mutations
    assert len({m.name for m in mutations}) == len(mutations)


def test_what_no_test_notices_is_told_and_the_tree_stays(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of two changes; no file of the tree is written, or added."""
    before = contents(tree)
    places = placed(tree, [HALVE, DOUBLE])
    assert [place.file for place in places] == [Path("metarl/deep/numbers.py")] * 2
    assert survivors(tree, places, make_console()) == [DOUBLE]
    out = capsys.readouterr().out
    assert "noticed  a half is a third (metarl/deep/numbers.py" in out
    assert "FAILED tests/deep/test_numbers.py::test_halves" in out
    assert "SURVIVES  twice is thrice" in out
    assert contents(tree) == before


def test_the_exit_code_says_whether_any_survives(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 where one does, 0 where those that are chosen do not, 2 where none is chosen."""
    lists = tree / "mutations"
    lists.mkdir()
    (lists / "numbers.toml").write_text(LIST)
    monkeypatch.setattr(mutate, "ROOT", tree)
    monkeypatch.setattr(mutate, "LISTS", lists)
    assert mutate.main([]) == 1
    assert "tests notice 1 of 2 wrong changes" in capsys.readouterr().out
    assert mutate.main(["--tiny"]) == 0
    assert mutate.main(["--only", "third"]) == 0
    assert "tests notice 1 of 1 wrong changes" in capsys.readouterr().out
    assert mutate.main(["--only", "fourth"]) == 2
    assert "no mutation's name contains 'fourth'" in capsys.readouterr().err
    (lists / "numbers.toml").write_text(LIST.replace("wrong", "rong"))
    assert mutate.main([]) == 2
    assert "numbers.toml declares no mutations as it should" in capsys.readouterr().err


def test_a_text_that_has_changed_is_named_before_anything_runs(tree: Path) -> None:
    """As are one that is there twice, a test that is gone, and a mutation that changes nothing."""
    wrong = [
        HALVE._replace(text="y / 2"),
        HALVE._replace(name="twice there", text="return"),
        HALVE._replace(name="no test", tests=("test_quarters",)),
        HALVE._replace(name="no change", wrong="x / 2"),
    ]
    with pytest.raises(ValueError, match="give these mutations their new text") as raised:
        placed(tree, wrong)
    message = str(raised.value)
    assert "'a half is a third': its text is in the sources 0 times:\ny / 2" in message
    assert "'twice there': its text is in the sources 2 times:\nreturn" in message
    assert "'no test': there is no test test_quarters" in message
    assert "'no change': it changes nothing" in message


def test_tests_that_fail_or_cannot_run_notice_nothing(tree: Path) -> None:
    """A failure is worth something where the tests pass without it, and were run."""
    with pytest.raises(ValueError, match=r"could not run:[\S\s]*SyntaxError"):
        survivors(tree, placed(tree, [HALVE._replace(wrong="x /")]), make_console())
    (tree / "metarl/deep/numbers.py").write_text("def half(x):\n    return x / 2 + 1\n")
    with pytest.raises(ValueError, match="a test fails without any mutation: FAILED"):
        survivors(tree, placed(tree, [HALVE]), make_console())

"""Runs whose family is somewhere else now."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from metarl import load_agent
from metarl.cli import evaluate as evaluate_metarl
from metarl.cli import train as train_metarl
from metarl.tasks import FamilyNotFoundError
from metarl.tasks.moved import find_again
from tests.tasks import gallery

ROOT = Path(__file__).parents[2]
TINY = ["--iterations", "1", "--tasks", "2", "--episodes", "2", "--eval-tasks", "0"]
SIZE = ["--tasks", "2", "--updates", "0", "--episodes", "1"]


@pytest.fixture(autouse=True)
def _a_fresh_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def forget(name: str) -> None:
    """As in another process."""
    sys.modules.pop(name, None)


def made(tmp_path: Path, name: str, text: str = "") -> tuple[Path, Path]:
    """A family's file, and a run of it beside its folder."""
    file, run = tmp_path / "project" / "families" / f"{name}.py", tmp_path / "project" / "run"
    file.parent.mkdir(parents=True)
    file.write_text(text or (ROOT / "examples/boat.py").read_text())
    options = ["--env", f"{file}:boat", "--run-dir", str(run), "--horizon", "5", *TINY]
    assert train_metarl.main(options) == 0
    forget(name)
    return file, run


def source(run: Path) -> Any:
    return json.loads((run / "config.json").read_text())["family"]["source"]


def test_a_folder_that_was_renamed_is_no_matter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the run in it, or beside it: the file is found, which is said, and the run goes on."""
    file, run = made(tmp_path, "a_family_that_moves")
    (tmp_path / "project").rename(tmp_path / "renamed")
    run, file = (tmp_path / "renamed" / p.relative_to(tmp_path / "project") for p in (run, file))
    assert evaluate_metarl.main([str(run), *SIZE]) == 0
    assert f"the family of {run} is taken from {file}:boat now" in capsys.readouterr().out
    assert train_metarl.main(["--resume", str(run), "--iterations", "2"]) == 0
    assert source(run) == f"{file}:boat"
    forget(file.stem)
    file.parent.rename(tmp_path / "renamed" / "elsewhere")
    with pytest.warns(UserWarning, match="elsewhere/a_family_that_moves.py:boat now"):
        load_agent(run)


def test_a_family_is_found_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By as much of its old path as there is."""
    (tmp_path / "here" / "families").mkdir(parents=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "here" / "families" / "f.py").touch()
    (tmp_path / "here" / "f.py").touch()
    monkeypatch.chdir(tmp_path / "here")
    found = find_again("/nowhere/families/f.py:boat", tmp_path / "run")
    assert found == f"{tmp_path / 'here' / 'families' / 'f.py'}:boat"
    assert find_again("my_module:boat", tmp_path / "run") == "my_module:boat"


def test_several_files_are_not_chosen_from(tmp_path: Path) -> None:
    """They are named instead."""
    for folder in ("run", "one", "two"):
        (tmp_path / folder).mkdir()
    for folder in ("one", "two"):
        (tmp_path / folder / "same.py").touch()
    with pytest.raises(FamilyNotFoundError, match=r"may be any of .*one/same.py, .*two/same"):
        find_again("/nowhere/same.py:boat", tmp_path / "run")


def test_what_is_not_found_takes_another_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says by which option, and in Python by which argument."""
    file, run = made(tmp_path, "a_family_that_leaves")
    far = tmp_path / "a" / "far" / "place"
    far.mkdir(parents=True)
    there = f"{shutil.move(file, far / file.name)}:boat"
    for command in ([evaluate_metarl, str(run)], [train_metarl, "--resume", str(run)]):
        script, *arguments = command
        assert script.main(arguments) == 2
        said = capsys.readouterr().err
        assert "is not there any more" in said
        assert "--env path/to/file.py:my_family takes another" in said
        assert "load_agent" not in said
    with pytest.raises(FamilyNotFoundError, match=r"family=.* takes another") as error:
        load_agent(run)
    assert "--env" not in str(error.value)
    assert evaluate_metarl.main([str(run), "--env", there, *SIZE]) == 0
    assert source(run) != there
    assert train_metarl.main(["--resume", str(run), "--env", there, "--iterations", "2"]) == 0
    assert source(run) == there
    assert load_agent(run, family=there).iteration == 2


def test_another_family_takes_no_runs_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are named before anything is announced, and the run stays as it was."""
    _, run = made(tmp_path, "a_family_of_its_own")
    described = source(run)
    options = ["--resume", str(run), "--env", "half-cheetah-vel", "--iterations", "2"]
    assert train_metarl.main(options) == 2
    out, err = capsys.readouterr()
    assert "was trained on boat, and half-cheetah-vel is another family" in err
    assert "from now on" not in out
    assert source(run) == described


def test_a_family_of_python_is_given_to_its_run(tmp_path: Path) -> None:
    """The object itself; another one is refused."""
    run = tmp_path / "run"
    options = ["--run-dir", str(run), *TINY]
    assert train_metarl.main(["--env", "tests.tasks.gallery:walk", *options]) == 0
    assert load_agent(run, family=gallery.walk).family.env is gallery.walk.env
    with pytest.raises(ValueError, match="is now .* but the run describes"):
        load_agent(run, family=gallery.fixed_list)
    with pytest.raises(ValueError, match="trained on Walk, and .* is another family, FixedList"):
        load_agent(run, family="tests.tasks.gallery:fixed_list")


def test_a_module_that_is_gone_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the option that takes another."""
    assert train_metarl.main(["--env", "no_such_module.x:boat"]) == 2
    said = capsys.readouterr().err
    assert "there is no module no_such_module on the path" in said
    assert "--env path/to/file.py:my_family" in said

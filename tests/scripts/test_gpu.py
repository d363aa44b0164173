"""What is to be done on a GPU in calls of some minutes: what is left, and what is recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts import gpu
from scripts.gpu import Piece

SLEEPS = "{python} -c 'import time; print(1); time.sleep(60)'"
WRITES = "{python} -c \"open('{folder}/RAN', 'a').write('x')\""


def writes(name: str) -> Piece:
    command = WRITES.replace("RAN", name)
    return Piece(name, command, 1, command)


def run(
    monkeypatch: pytest.MonkeyPatch, folder: Path, parts: tuple[Piece, ...], *options: str
) -> tuple[int, dict[str, Any]]:
    """The exit code and how every part ended."""
    monkeypatch.setattr(gpu, "PARTS", parts)
    code = gpu.main(["--device", "cpu", "--folder", str(folder), *options])
    rows = json.loads((folder / "parts.json").read_text())
    return code, {name: row["ended"] for name, row in rows.items()}


def test_parts_run_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are done or failed are run again on request only."""
    parts = (
        writes("one"),
        Piece("two", "{python} -c 'raise SystemExit(3)'", 1, None),
        writes("three"),
    )
    found = run(monkeypatch, tmp_path, parts)
    assert found == (1, {"one": "done", "two": "failed", "three": "done"})
    assert run(monkeypatch, tmp_path, parts)[0] == 0
    assert (tmp_path / "one").read_text() == "x"
    run(monkeypatch, tmp_path, parts, "--only", "one")
    assert [(tmp_path / name).read_text() for name in ("one", "three")] == ["xx", "x"]


def test_a_part_that_takes_all_its_time_is_recorded_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next part runs."""
    parts = Piece("slow", SLEEPS, 0.02, None), writes("next")
    ended = 0, {"slow": "timed out", "next": "done"}
    assert run(monkeypatch, tmp_path, parts) == ended
    before = (tmp_path / "parts.json").read_text()
    assert run(monkeypatch, tmp_path, parts) == ended
    assert (tmp_path / "parts.json").read_text() == before


def test_a_part_that_the_end_of_a_call_cuts_off_is_run_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where there is no time for a whole part, none is begun."""
    monkeypatch.setattr(gpu, "SHORT", 0.0)
    parts = writes("one"), writes("two"), Piece("slow", SLEEPS, 0.5, None)
    assert run(monkeypatch, tmp_path, parts, "--minutes", "0.02")[1] == {"one": "done"}
    assert run(monkeypatch, tmp_path, parts, "--minutes", "0.02")[1]["two"] == "done"
    for _ in range(2):
        assert run(monkeypatch, tmp_path, parts, "--minutes", "0.02")[1]["slow"] == "cut off"
    row = json.loads((tmp_path / "parts.json").read_text())["slow"]
    assert row["exit_code"] is None
    assert row["seconds"] < 60


TRAINING = """
import pathlib, sys, time

option = next(word for word in sys.argv if word in ("--resume", "--run-dir"))
run = pathlib.Path(sys.argv[sys.argv.index(option) + 1])
(run / "checkpoints").mkdir(parents=True, exist_ok=option == "--resume")
with (run / "starts").open("a") as file:
    file.write(option)
try:
    time.sleep(60)
except KeyboardInterrupt:
    (run / "results.json").write_text("{}")
"""


def test_a_training_goes_on_where_it_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its checkpoint, for as long as the minutes of all calls together allow."""
    monkeypatch.setattr(gpu, "SHORT", 0.0)
    monkeypatch.setattr(gpu, "SCRIPTS", tmp_path)
    (tmp_path / "train_metarl.py").write_text(TRAINING)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")  # of a start that was killed
    parts = (gpu._training("run", "--env point-nav", 0.05),)
    for ended in ("cut off", "timed out", "timed out"):
        assert run(monkeypatch, tmp_path, parts, "--minutes", "0.03")[1] == {"run": ended}
    assert (tmp_path / "run" / "starts").read_text() == "--run-dir--resume"
    assert (tmp_path / "run" / "results.json").exists()


def test_omniglots_parts_are_left_out_without_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And whoever asks for one is told so."""
    monkeypatch.setattr(gpu, "SCRIPTS", tmp_path)
    (tmp_path / "train_fewshot.py").write_text("import sys; print(sys.argv)")
    parts = writes("one"), gpu._omniglot("maml", "finn2017", 20, 5, 1)
    assert run(monkeypatch, tmp_path, parts)[1] == {"one": "done"}
    only = "--only", "maml-20-way-5-shot"
    assert gpu.main(["--device", "cpu", "--folder", str(tmp_path), *only]) == 2
    assert "give --omniglot" in capsys.readouterr().err
    run(monkeypatch, tmp_path, parts, "--omniglot", "letters")
    row = json.loads((tmp_path / "parts.json").read_text())["maml-20-way-5-shot"]
    assert row["ended"] == "done"
    assert "--data-dir letters --preset finn2017-20way --shots 5" in row["command"]


def test_an_unknown_part_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names those that there are."""
    assert gpu.main(["--folder", str(tmp_path), "--only", "chekcs"]) == 2
    assert "the parts are checks, device-sampling" in capsys.readouterr().err

"""A run folder holds each iteration once, however often the run was interrupted."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from metarl.experiment.run import Run, default_folder, read_config


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events(folder).Scalars(tag)]


def test_each_iteration_is_there_once_after_a_resume(tmp_path: Path) -> None:
    """What is done again replaces what was logged, in the table and in TensorBoard."""
    with Run.create(tmp_path, {"seed": 1}) as run:
        for iteration in range(5):
            run.log({"return/after": float(iteration)}, iteration)
    with Run.resume(tmp_path, 3) as run:
        for iteration in range(3, 6):
            run.log({"return/after": iteration + 100.0}, iteration)
    expected = [(0, 0.0), (1, 1.0), (2, 2.0), (3, 103.0), (4, 104.0), (5, 105.0)]
    assert [(int(r["iteration"]), float(r["return/after"])) for r in rows(tmp_path)] == expected
    assert scalars(tmp_path, "return/after") == expected


def test_resuming_from_the_start_drops_everything(tmp_path: Path) -> None:
    """Iteration 0 is an iteration like any other."""
    with Run.create(tmp_path, {}) as run:
        run.log({"a": 1.0}, 0)
    with Run.resume(tmp_path, 0) as run:
        run.log({"a": 2.0}, 0)
    assert rows(tmp_path) == [{"iteration": "0", "a": "2.0"}]
    assert scalars(tmp_path, "a") == [(0, 2.0)]


def test_metrics_may_come_later_and_stay_away(tmp_path: Path) -> None:
    """A new metric is a new column; a missing one is an empty cell; also across a resume."""
    with Run.create(tmp_path, {}) as run:
        run.log({"b": 1, "a": np.float32(0.5)}, 0)
        run.log({"c": torch.tensor(2.5), "a": True}, 1)
    with Run.resume(tmp_path, 2) as run:
        run.log({"b": 0.1 + 0.2, "d": float("nan")}, 2)
    assert rows(tmp_path) == [
        {"iteration": "0", "a": "0.5", "b": "1", "c": "", "d": ""},
        {"iteration": "1", "a": "1", "b": "", "c": "2.5", "d": ""},
        {"iteration": "2", "a": "", "b": repr(0.1 + 0.2), "c": "", "d": "nan"},
    ]


def test_a_last_line_cut_short_by_a_crash_is_dropped(tmp_path: Path) -> None:
    """Half a row is not a row."""
    with Run.create(tmp_path, {}) as run:
        run.log({"a": 1.0, "b": 2.0}, 0)
        run.log({"a": 1.0, "b": 2.0}, 1)
    path = tmp_path / "progress.csv"
    path.write_text(path.read_text() + "2,1")
    Run.resume(tmp_path, 2).close()
    assert [row["iteration"] for row in rows(tmp_path)] == ["0", "1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step,a\n0,1\n", "no column 'iteration' at first"),
        ("iteration,a\nzero,1\n", "line 2 is not a row of the table"),
        ("iteration,a\n0,1\n1\n", "line 3 is not a row of the table"),
    ],
)
def test_a_foreign_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """A progress.csv that something else wrote is named, and left alone."""
    Run.create(tmp_path, {}).close()
    (tmp_path / "progress.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        Run.resume(tmp_path, 1)
    assert (tmp_path / "progress.csv").read_text() == text


def test_an_iteration_cannot_be_logged_twice(tmp_path: Path) -> None:
    """Logging backwards is refused, and so is what is not a number."""
    with Run.create(tmp_path, {}) as run:
        run.log({"a": 1.0}, 3)
        with pytest.raises(ValueError, match="iteration 3 was logged after iteration 3"):
            run.log({"a": 1.0}, 3)
    with Run.resume(tmp_path, 4) as run, pytest.raises(ValueError, match="'a' must be a number"):
        run.log({"a": "text"}, 4)  # type: ignore[dict-item]


def test_the_hparams_tab_shows_options_and_the_final_metric(tmp_path: Path) -> None:
    """One folder, no run in a sub-folder; the metric's last value stands after a resume."""
    options = {"inner_lr": 0.1, "first_order": False, "hidden": (64, 64), "env": "point-nav"}
    with Run.create(tmp_path, {}) as run:
        run.log({"a": 1.0}, 0)
        run.log_hparams(options, {"final/return_after_1": -12.0}, 1)
    with Run.resume(tmp_path, 1) as run:
        run.log({"a": 1.0}, 1)
        run.log_hparams(options, {"final/return_after_1": -3.5}, 2)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert scalars(tmp_path, "final/return_after_1") == [(2, -3.5)]
    assert list(rows(tmp_path)[0]) == ["iteration", "a"]

    metadata = events(tmp_path).summary_metadata
    content = {
        tag.removeprefix("_hparams_/"): HParamsPluginData.FromString(data.plugin_data.content)
        for tag, data in metadata.items()
        if tag.startswith("_hparams_/")
    }
    metrics = content["experiment"].experiment.metric_infos
    assert [info.name.tag for info in metrics] == ["final/return_after_1"]
    shown = content["session_start_info"].session_start_info.hparams
    assert shown["inner_lr"].number_value == 0.1
    assert shown["first_order"].bool_value is False
    assert shown["hidden"].string_value == "(64, 64)"
    assert shown["env"].string_value == "point-nav"
    assert "session_end_info" in content


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    """Nothing is ever overwritten; a missing or an empty folder is fine."""
    Run.create(tmp_path / "new" / "run", {}).close()
    (tmp_path / "empty").mkdir()
    Run.create(tmp_path / "empty", {}).close()
    with pytest.raises(ValueError, match="is not empty: choose another --run-dir, or --resume"):
        Run.create(tmp_path / "empty", {})
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        Run.create(tmp_path / "file", {})


def test_the_configuration_and_the_results_are_kept_as_json(tmp_path: Path) -> None:
    """The configuration reads back as JSON; a result that is not finite becomes null."""
    with Run.create(tmp_path, {"hidden": (64, 64), "lr": 0.1}) as run:
        assert run.config == read_config(tmp_path) == {"hidden": [64, 64], "lr": 0.1}
        run.write_results({"mean": np.float64(1.5), "ci95": float("nan"), "all": np.arange(2)})
    results = json.loads((tmp_path / "results.json").read_text())
    assert results == {"mean": 1.5, "ci95": None, "all": [0, 1]}


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    """A missing folder, one without config.json and one with a broken one are told apart."""
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        read_config(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"is not a run: it has no config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not JSON"):
        Run.resume(tmp_path, 1)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="must be a JSON object"):
        read_config(tmp_path)


def test_a_run_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    """A second one is refused and changes nothing, until the first one ends."""
    with Run.create(tmp_path, {"seed": 1}):
        with pytest.raises(ValueError, match="another process is writing the run .*end it first"):
            Run.resume(tmp_path, 0, {"seed": 2})
        assert read_config(tmp_path) == {"seed": 1}
    with Run.resume(tmp_path, 0, {"seed": 2}) as run:
        assert run.config == {"seed": 2}


def test_the_default_folder_says_what_the_run_is(tmp_path: Path) -> None:
    """Algorithm, family, seed and local time; a taken name gets a number."""
    now = datetime(2026, 1, 2, 3, 4, 5)
    first = default_folder("maml-trpo", "point-nav", 7, root=tmp_path, now=now)
    assert first.name == "maml-trpo__point-nav__s7__20260102-030405"
    first.mkdir()
    second = default_folder("maml-trpo", "point-nav", 7, root=tmp_path, now=now)
    assert second.name == first.name + "-2"

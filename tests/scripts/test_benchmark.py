"""The benchmark command, as small as it gets."""

import json
from pathlib import Path

import pytest
import torch
from benchmarks import device as on_device
from benchmarks.measure import Size

from scripts import benchmark
from tests.tasks.test_device import DEVICES, available


def test_memory_is_measured_as_few_shot_training_goes_on(tmp_path: Path) -> None:
    """It hardly grows."""
    file = tmp_path / "memory.json"
    assert benchmark.main(["fewshot-memory", "--tiny", "--json", str(file)]) == 0
    first, last = (row["peak_gib"] for row in json.loads(file.read_text())["rows"].values())
    assert last - first < 2 / 1024


def test_an_iterations_time_is_divided_between_sampling_and_update(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the table and in the file; there is nothing else."""
    file = tmp_path / "rl2.json"
    assert benchmark.main(["rl2-cheetah", "--tiny", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert "sampling 0." in out
    assert "update 0." in out
    shares = [
        row["shares"] for row in json.loads(file.read_text())["rows"].values() if "shares" in row
    ]
    assert [sorted(row) for row in shares] == [["sampling", "update"]]
    assert sum(shares[0].values()) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("device", DEVICES)
def test_the_physics_measured_alone_are_those_of_the_rollout(device: str) -> None:
    """The replay of its controls ends in the same states, however often."""
    size = Size(2, 2, tiny=True, device=available(device))
    sampling = on_device._cheetahs(2, 2, size)
    physics = on_device._Physics(sampling, size)
    for _ in range(2):
        physics()
        replayed = sampling.engine._tensors["qpos"].clone()
        sampling.run()
        torch.testing.assert_close(sampling.engine._tensors["qpos"], replayed, rtol=1e-3, atol=1e-3)
        assert physics.seconds > 0


def test_sampling_on_a_device_tells_the_share_of_physics(tmp_path: Path) -> None:
    """Of every number of environments; seconds and steps per second say the same."""
    file = tmp_path / "sampling.json"
    command = ["device-sampling", "--tiny", "--device", "cpu", "--json", str(file)]
    assert benchmark.main(command) == 0
    rows, names = json.loads(file.read_text())["rows"], ("bare physics", "half-cheetah-vel")
    alone, whole = (rows[f"{name}, 2 × 2 environments"] for name in names)
    share = whole["shares"]["bare physics"]
    assert share == pytest.approx(alone["seconds"] / whole["seconds"], rel=0.1)
    assert whole["seconds"] * whole["per_second"] == pytest.approx(2 * 2 * 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "0"], "--tasks must be at least 1, got 0"),
        (["--repetitions", "0"], "--repetitions must be at least 1, got 0"),
        (["--json", "no/such/folder/file.json"], "its folder does not exist"),
        (["--env", "half-cheetah-vle"], "did you mean half-cheetah-vel"),
    ],
    ids=" ".join,
)
def test_a_mistake_ends_with_code_2_and_one_message(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured."""
    assert benchmark.main(["sampling", *options]) == 2
    assert message in capsys.readouterr().err

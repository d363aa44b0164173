"""How tasks are mapped over is chosen by sizes and processor, and repeats itself."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import metarl
from metarl.cli.train_few_shot import main
from metarl.fewshot import Sinusoid
from metarl.fewshot import mapping as few_shot_mapping
from metarl.fewshot.data.schema import Schema
from metarl.fewshot.data.sources import DataConfig
from metarl.fewshot.learners.configs import ImamlConfig, MamlConfig
from metarl.fewshot.mapping import MappingChoice, largest, resolve_how
from metarl.fewshot.run import FewShotRunConfig

CURVES = Schema.of(Sinusoid())
PICTURES = Schema("pictures", "classification", (1, 28, 28), 5, train_classes=20)


@pytest.fixture(autouse=True)
def _can_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a C++ compiler."""
    monkeypatch.setattr("metarl.fewshot.mapping.resolve_compile", lambda mode, *_: mode != "off")


def run(form: Schema, algo: str = "maml", device: Any = "cpu", **options: Any) -> FewShotRunConfig:
    c = ImamlConfig(**options) if algo == "imaml" else MamlConfig(**options)
    return FewShotRunConfig(
        algo, "default", 0, device, "vmap", False, 0, 1000, DataConfig(), form, algorithm=c
    )


def chosen(form: Schema, how: str = "auto", compile: str = "off", **options: Any) -> MappingChoice:
    return resolve_how(run(form, **options), how, compile)


def test_the_largest_tensor_is_that_of_a_layer_or_of_the_weights() -> None:
    """Of all tasks together."""
    assert largest(run(CURVES, tasks=3, shots=4, queries=6, hidden=(8, 7))) == 3 * 10 * 8
    assert largest(run(CURVES, tasks=3, shots=1, queries=1, hidden=(8, 70))) == 3 * 8 * 70
    pictures = {"tasks": 2, "shots": 1, "queries": 3, "filters": 6}
    assert largest(run(PICTURES, **pictures)) == 2 * 5 * 4 * 6 * 14 * 14
    assert largest(run(PICTURES, **pictures, pooling="max")) == 2 * 5 * 4 * 6 * 28 * 28


@pytest.mark.parametrize(
    ("expected", "form", "options"),
    [
        ("vmap", CURVES, {}),
        ("threads", CURVES, {"hidden": (1000, 1000)}),
        ("vmap", CURVES, {"hidden": (1000, 1000), "tasks": 2}),
        ("threads", CURVES, {"shots": 5000}),
        ("vmap", PICTURES, {"filters": 8, "tasks": 4}),
        ("threads", PICTURES, {"filters": 64, "tasks": 32}),
        ("threads", CURVES, {"algo": "imaml"}),
    ],
)
def test_auto_takes_one_call_for_what_stays_in_the_cache(
    expected: str, form: Schema, options: dict[str, Any]
) -> None:
    """And threads for what is larger, or cannot be mapped over in one call."""
    assert chosen(form, **options).config.how == expected


def test_a_gpu_takes_all_tasks_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their size."""
    monkeypatch.setattr("metarl.fewshot.run.resolve_device", lambda device: device)
    found = chosen(PICTURES, device="cuda", filters=64, tasks=32)
    assert found.config.how == "vmap"


def test_auto_compiles_a_run_that_is_long_enough() -> None:
    """From fewer iterations on where there is more to compute in each."""

    def compiled(iterations: int, compile: str = "auto", **options: Any) -> bool:
        found = chosen(CURVES, "auto", compile, iterations=iterations, **options)
        assert found.why.startswith("compiled from") != found.config.compiled
        return found.config.compiled

    assert not compiled(50_000)
    assert compiled(70_000)
    assert compiled(50_000, hidden=(100, 100))
    assert compiled(10, "on")
    assert not chosen(CURVES, "auto", "off", iterations=70_000).config.compiled
    assert not chosen(CURVES, "loop", "auto", iterations=70_000).config.compiled
    assert chosen(CURVES, "auto", "on", hidden=(1000, 1000)).config.how == "vmap"
    with pytest.raises(ValueError, match="--compile on serves vmapped"):
        chosen(PICTURES, "auto", "on")


def test_the_same_seed_gives_the_same_bits_by_default(tmp_path: Path) -> None:
    """However many threads there are; config.json has the choice."""
    for name, threads in (("one", "1"), ("two", "2")):
        options = ["--iterations", "12", "--run-dir", str(tmp_path / name), "--threads", threads]
        assert main([*options, "--eval-steps", "0"]) == 0
    configs = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("one", "two")]
    assert configs[0] == configs[1]
    assert (configs[0]["how"], configs[0]["compiled"]) == ("vmap", False)
    one, two = (metarl.load_few_shot(tmp_path / name).state.tensors() for name in ("one", "two"))
    assert all(torch.equal(p, two[name]) for name, p in one.items())


def test_a_resumed_run_keeps_the_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though another one would be made by now, as for so many more iterations."""
    folder = tmp_path / "run"
    options = ["--iterations", "2", "--run-dir", str(folder), "--eval-steps", "0"]
    assert main(options) == 0
    monkeypatch.setattr(few_shot_mapping, "FITS", 0)
    assert main(["--resume", str(folder), "--iterations", "4"]) == 0
    assert json.loads((folder / "config.json").read_text())["how"] == "vmap"

"""What a few-shot agent has made of a task: as many logits as it has classes, of any number of
inputs.
"""

from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.torch
import torch

import metarl
from metarl.fewshot import adapted as few_shot_adapted
from metarl.fewshot.adapted import AdaptedModel
from metarl.fewshot.agent import FewShotAgent
from metarl.fewshot.data.schema import Schema
from metarl.fewshot.data.sources import DataConfig
from metarl.fewshot.registry import ALGORITHMS, get_algorithm
from metarl.fewshot.run import FewShotRunConfig, build

CLASSES = Schema("rows", "classification", (6,), 5, train_classes=9)
PICTURES = Schema("pictures", "classification", (3, 12, 12), 5, train_classes=9)
NUMBERS = Schema("rows", "regression", (6,), 2)
CLASSIFIERS = [algo for algo in ALGORITHMS if algo != "scratch"]


def agent(algo: str, form: Schema = CLASSES, **options: Any) -> FewShotAgent:
    """An untrained one."""
    chosen = get_algorithm(algo)
    c = chosen.config(**{"filters": 4, **chosen.options, **options})
    config = FewShotRunConfig(
        algo, "default", 0, "cpu", "loop", False, 0, 1000, DataConfig(), form, algorithm=c
    )
    parts = build(config, threads=1)
    return FewShotAgent(parts, config, parts.trainer.init(0))


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("algo", CLASSIFIERS)
@pytest.mark.parametrize(("y", "ways"), [([0, 1, 0, 1], 2), ([0, 2, 2, 0], 3)])
def test_a_task_has_as_many_logits_as_classes(algo: str, y: list[int], ways: int) -> None:
    """Though the learner has outputs for five; one without examples is never the answer."""
    adapted = agent(algo).adapt((noise(4, 6), y))
    logits = adapted.predict(30 * noise(200, 6) - 15)
    assert logits.shape == (200, ways)
    assert bool(logits.isfinite().all())
    assert set(logits.argmax(-1).tolist()) <= set(y)


@pytest.mark.parametrize("algo", ["protonet", "maml"])
def test_a_file_and_a_program_know_the_classes_of_their_task(algo: str, tmp_path: Path) -> None:
    """A file that was written before they were kept is read as it was."""
    adapted, x = agent(algo).adapt((noise(4, 6), [0, 2, 2, 0])), noise(9, 6)
    adapted.save(tmp_path / "a.safetensors")
    assert torch.equal(
        metarl.load_adapted(tmp_path / "a.safetensors").predict(x), adapted.predict(x)
    )
    program = adapted.export(x).module()
    torch.testing.assert_close(program(x), adapted.predict(x))
    with safetensors.safe_open(tmp_path / "a.safetensors", "pt") as file:
        told = file.metadata()
        kept = {n: file.get_tensor(n) for n in file.keys() if n != "there"}  # noqa: SIM118
    safetensors.torch.save_file(kept, tmp_path / "old.safetensors", metadata=told)
    old = metarl.load_adapted(tmp_path / "old.safetensors").predict(x)
    assert old.shape == (9, 5)
    torch.testing.assert_close(old[:, [0, 2]], adapted.predict(x)[:, [0, 2]])


# a learned optimiser that has learned nothing yet may go uphill
@pytest.mark.filterwarnings("ignore:adaptation diverged")
@pytest.mark.parametrize("form", [CLASSES, PICTURES, NUMBERS], ids=["rows", "pictures", "numbers"])
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_inputs_are_computed_in_batches_or_not_at_all(
    algo: str, form: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of none there is nothing, in as many columns."""
    if form.kind == "regression" and algo in ("protonet", "matching-net"):
        return
    y = [0, 1, 1, 0] if form.kind == "classification" else noise(4, 2)
    adapted = agent(algo, form).adapt((noise(4, *form.x_shape), y))
    x = noise(11, *form.x_shape)
    whole = adapted.predict(x)
    empty = adapted.predict(x[:0])
    assert empty.shape == (0, whole.shape[1])
    assert empty.dtype == whole.dtype
    sizes = watched(adapted, monkeypatch)
    monkeypatch.setattr(few_shot_adapted, "_INPUTS", 4)
    torch.testing.assert_close(adapted.predict(x), whole)
    assert sizes == [4, 4, 3]
    sizes.clear()
    monkeypatch.setattr(few_shot_adapted, "_NUMBERS", 2 * x[0].numel())
    torch.testing.assert_close(adapted.predict(x), whole)
    assert sizes == [2, 2, 2, 2, 2, 1]


def watched(adapted: AdaptedModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many inputs the learner is asked about, each time."""
    sizes: list[int] = []
    predict = adapted.learner.predict

    def counted(theta: Any, state: Any, x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return predict(theta, state, x)

    monkeypatch.setattr(adapted.learner, "predict", counted)
    return sizes


def test_queries_that_see_each_other_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The statistics of a batch norm are those of all of them."""
    adapted = agent("protonet", PICTURES, norm="batch").adapt((noise(4, 3, 12, 12), [0, 0, 1, 1]))
    assert adapted.predict(noise(0, 3, 12, 12)).shape == (0, 2)
    sizes = watched(adapted, monkeypatch)
    monkeypatch.setattr(few_shot_adapted, "_INPUTS", 4)
    adapted.predict(noise(11, 3, 12, 12))
    assert sizes == [11]


def test_deviations_and_attention_are_computed_in_batches_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of none, too."""
    x, y = noise(4, 6), noise(4, 2)
    deviation = agent("cnp", NUMBERS).adapt((x, y)).deviation
    attention = agent("matching-net").adapt((x, [0, 1, 1, 0])).attention
    for compute, width in ((deviation, 2), (attention, 4)):
        whole = compute(noise(9, 6))
        assert compute(noise(0, 6)).shape == (0, width)
        monkeypatch.setattr(few_shot_adapted, "_INPUTS", 4)
        torch.testing.assert_close(compute(noise(9, 6)), whole)
        monkeypatch.undo()

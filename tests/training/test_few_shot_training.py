"""What a training of a few-shot learner asks of its data: which part, and with which seeds."""

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from metarl.cli.train_few_shot import main
from metarl.experiment import checkpoint
from metarl.fewshot.agent import FewShotAgent
from metarl.fewshot.data.classes import ClassSource, Ways, random_classes
from metarl.fewshot.data.holdout import HoldOut
from metarl.fewshot.data.sources import DataConfig
from metarl.fewshot.data.task import Part, Split, monitored
from metarl.fewshot.registry import get_algorithm
from metarl.fewshot.run import FewShotRunConfig, describe, training_tasks
from metarl.training.few_shot import FewShotTraining


class Asked(NamedTuple):
    """One request of a source."""

    part: Part
    tasks: int
    shots: int
    queries: int
    state: bytes  # of the generator


class Recording(ClassSource):
    """Notes whatever is asked for."""

    def drawn(
        self, tasks: int, shots: int, queries: int, part: Part, generator: torch.Generator
    ) -> tuple[Split, torch.Tensor]:
        state = generator.get_state().numpy().tobytes()
        self.__dict__.setdefault("asked", []).append(Asked(part, tasks, shots, queries, state))
        return super().drawn(tasks, shots, queries, part, generator)


def recording(counts: tuple[int, int, int] = (8, 4, 4)) -> Any:
    """Rows of sixteen classes."""
    noise = np.random.default_rng(0)
    labels = np.repeat(np.arange(16), 9)
    x = noise.normal(size=(16, 3))[labels] + 0.1 * noise.normal(size=(144, 3))
    hold = HoldOut(counts=counts)
    plain = random_classes("rows", x, labels, [f"c{i}" for i in range(16)], Ways(2), hold)
    return Recording(**{k: v for k, v in vars(plain).items() if k != "_held"})


def training(source: Any, algo: str = "protonet", seed: int = 0, **options: Any) -> FewShotTraining:
    chosen = get_algorithm(algo)
    given = {"tasks": 3, "shots": 2, "queries": 4, "iterations": 6, **chosen.options, **options}
    config = FewShotRunConfig(
        algo, "default", seed, "cpu", "loop", False, 0, 1000, DataConfig(), eval_tasks=5,
        algorithm=chosen.config(**given), **describe(source),
    )  # fmt: skip
    return FewShotTraining(config, 1, source)


def asked(source: Any, run: Any) -> list[Asked]:
    """By what is run alone."""
    source.__dict__["asked"] = []
    run()
    found: list[Asked] = source.__dict__["asked"]
    return found


@pytest.mark.parametrize("algo", ["protonet", "maml", "pretrain"])
def test_it_trains_on_the_training_part_with_new_tasks_in_every_iteration(algo: str) -> None:
    """As many as it is told to; another run of the seed has the same, and other seeds others."""
    source, states = recording(), []
    for seed in (0, 0, 1):
        run = training(source, algo, seed)
        found = asked(source, lambda run=run: run.step(lambda: False))
        assert {a[:4] for a in found} == {("train", 3, 2, 4)}
        assert len({a.state for a in found}) == len(found) == 6
        states.append([a.state for a in found])
    assert states[0] == states[1]
    assert not set(states[0]) & set(states[2])


def test_it_is_watched_on_validation_and_judged_on_test() -> None:
    """On the same tasks each time, which no training has; on test where there is no validation."""
    source = recording()
    run = training(source, eval_shots=1, eval_queries=3)
    trained = asked(source, lambda: run.step(lambda: True))
    first, again = (asked(source, run.evaluate) for _ in range(2))
    assert [a[:4] for a in first] == [("validation", 5, 1, 3)]
    assert first == again
    trained += asked(source, lambda: run.step(lambda: False))
    last = asked(source, run.evaluate)
    assert last[0] == first[0]._replace(part="test")
    assert {a.part for a in last} == {"test", "train"}  # the baselines are tuned on the latter
    assert not {a.state for a in trained} & {a.state for a in last}
    assert monitored(recording((8, 0, 8))) == "test"


def test_neither_an_iteration_nor_a_checkpoint_draws_the_statistics_of_inputs(
    tmp_path: Path,
) -> None:
    """They are known before; a resumed run has those of its checkpoint."""
    source = recording()
    run = training(source)
    assert asked(source, lambda: run.save(tmp_path)) == []
    other = training(recording(), seed=1)
    assert not torch.equal(other.inputs.mean, run.inputs.mean)
    other.load(checkpoint.load_latest(tmp_path), {})
    assert torch.equal(other.inputs.mean, run.inputs.mean)


def test_the_residual_is_that_of_training_tasks() -> None:
    """It says whether the gradients of training hold."""
    source = recording()
    run = training(source, "imaml")
    agent = FewShotAgent(run.parts, run.config, run.position.state, source)
    assert {a.part for a in asked(source, agent.inner_residual)} == {"train"}


def test_masks_and_shifts_are_others_in_every_iteration_and_task() -> None:
    """Each task does without features of its own."""
    source = recording()
    run = training(source, dropout=0.5, hidden=(40,))
    seen = []
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        given = training_tasks(run.parts, run.config.algorithm, source, generator)[1]
        (masks,) = (mask for mask in given.values())
        assert masks.shape[0] == 3
        assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 3
        seen.append(masks)
    assert not torch.equal(*seen)


def test_a_run_says_which_part_each_evaluation_was_of(tmp_path: Path) -> None:
    """Ended early, it is watched on validation; when it is over, that is not taken for the end."""
    noise = np.random.default_rng(0)
    np.savez(tmp_path / "t.npz", x=noise.normal(size=(72, 3)), y=np.repeat(np.arange(9), 8))
    options = ["--data", f"npz:{tmp_path / 't.npz'}", "--ways", "2", "--algo", "protonet"]
    options += ["--shots", "2", "--queries", "2", "--how", "loop", "--eval-tasks", "4"]
    folder = tmp_path / "run"
    run = ["--run-dir", str(folder), "--iterations", "2", "--eval-every", "1"]

    def part() -> str:
        results = json.loads((folder / "results.json").read_text())
        return str(results["evaluation"]["request"]["part"])

    assert main([*options, *run]) == 0
    assert part() == "test"
    rows = list(csv.DictReader((folder / "progress.csv").read_text().splitlines()))
    assert len([row for row in rows if row["eval/accuracy"]]) == 2
    results = json.loads((folder / "results.json").read_text())
    results["evaluation"]["request"]["part"] = "validation"
    (folder / "results.json").write_text(json.dumps(results | {"finished": False}))
    assert main(["--resume", str(folder), "--iterations", "2"]) == 0
    assert part() == "test"

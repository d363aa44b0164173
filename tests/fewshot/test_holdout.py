"""Small data: what is held out, by shares, by counts and in turn, and what would fit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.fewshot.data.classes import ClassSource
from metarl.fewshot.data.rows import RowSource
from metarl.fewshot.data.sources import DataConfig, make_source
from metarl.fewshot.data.task import PARTS, Source


def stored(folder: Path, classes: int, each: int = 4) -> str:
    """Rows of noise, so many of each class."""
    x = np.random.default_rng(0).normal(size=(classes * each, 3))
    np.savez(folder / "t.npz", x=x, y=np.arange(classes).repeat(each))
    return f"npz:{folder / 't.npz'}"


def own(data: str, **options: object) -> Source:
    return make_source(DataConfig(data, **options))  # type: ignore[arg-type]


def held(source: Source) -> list[set[int]]:
    assert isinstance(source, ClassSource | RowSource)
    return [set(source.parts[part].tolist()) for part in PARTS]


def test_ten_classes_make_tasks_of_five_ways_without_validation(tmp_path: Path) -> None:
    """What the message proposes works; by shares it cannot be."""
    data = stored(tmp_path, 10)
    with pytest.raises(ValueError, match="t has 10 classes, but tasks of 5 ways need 15") as said:
        own(data)
    fits = "--ways 3, or --split 5,0,5 (no validation), or --folds 2 (cross-validation)"
    assert str(said.value).endswith(f"what would fit: {fits}")
    own(data, ways=3)
    train, validation, test = held(own(data, split="5,0,5"))
    assert (len(train), len(validation), len(test)) == (5, 0, 5)
    assert train | test == set(range(10))
    own(data, folds=2, fold=1)
    with pytest.raises(ValueError, match=r"need 15: .*; add classes$"):
        own(stored(tmp_path, 5))


def test_every_class_is_held_out_in_one_of_the_folds(tmp_path: Path) -> None:
    """And trained on in all others; the seed says in which."""
    data = stored(tmp_path, 11)
    folds = [held(own(data, ways=3, folds=3, fold=k)) for k in range(3)]
    tests = [test for _, _, test in folds]
    assert sorted(c for test in tests for c in test) == list(range(11))
    for train, validation, test in folds:
        assert not validation
        assert train == set(range(11)) - test
    assert held(own(data, ways=3, folds=3, fold=0, split_seed=1)) != folds[0]
    hashes = {own(data, ways=3, folds=3, fold=k).describe()["classes_sha256"] for k in range(3)}
    assert len(hashes) == 3


def test_tasks_of_regression_are_held_out_alike(tmp_path: Path) -> None:
    """Two are enough without validation."""
    rows = [f"p{i % 2},{i * 3 % 7},{i * 5 % 11}" for i in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["who,a,y", *rows]))
    data = f"csv:{tmp_path / 't.csv'}"
    with pytest.raises(
        ValueError, match="t has 2 tasks, but its three parts need 3: .* --split 1,0,1"
    ):
        own(data, target="y", task="who")
    source = own(data, target="y", task="who", folds=2, fold=0)
    assert list(map(len, held(source))) == [1, 0, 1]
    with pytest.raises(ValueError, match="t has no tasks for validation"):
        source.sample(1, 1, 1, "validation", torch.Generator())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "6,0,5"}, "--split 6,0,5 are 11 classes, but t has 10"),
        ({"split": "7,0,3"}, "--split 7,0,3 leaves 3 classes for test, but tasks of 5 ways need 5; "
         "what would fit: --ways 3, or --split 5,0,5"),
        ({"split": "3,2,5", "ways": 3}, "--split 3,2,5 leaves 2 classes for validation"),
        ({"split": "6,4"}, "--split must be auto, random, lake, or the numbers"),
        ({"split": "0,5,5"}, r"--split must be .*only that of validation may be 0"),
        ({"split": "half"}, "got 'half'"),
        ({"folds": 5, "fold": 0}, "--folds 5 of the 10 classes of t hold out 2 and leave 8"),
        ({"folds": 2}, "--folds 2 are as many runs: --fold says which, from 0 to 1"),
        ({"folds": 2, "fold": 2}, "--fold must be from 0 to 1, got 2"),
        ({"fold": 2}, "--fold must be given with --folds only, got 2"),
        ({"folds": 1}, "--folds must be at least 2, or 0 for none, got 1"),
        ({"folds": 2, "split": "5,0,5"}, "--folds hold all out in turn: --split 5,0,5"),
        ({"min_examples": -1}, "--min-examples must be at least 0, got -1"),
        ({"min_examples": 5}, "none of the 10 classes of t has 5 examples, the most has 4"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_out_is_refused(
    options: dict[str, object], message: str, tmp_path: Path
) -> None:
    """With the numbers and the way out."""
    with pytest.raises(ValueError, match=message):
        own(stored(tmp_path, 10), **options)

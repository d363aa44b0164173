"""Support sets that are of another kind than the examples of training."""

import numpy as np
import pytest
import torch
from torch import Tensor

from metarl.fewshot import Sinusoid
from metarl.fewshot.data.classes import Ways, random_classes
from metarl.fewshot.data.holdout import HoldOut
from metarl.fewshot.data.inputs import EXAMPLES, InputStatistics
from metarl.fewshot.data.scaling import Standard

PLAIN = Standard()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def strokes(count: int, width: int, seed: int = 0) -> Tensor:
    """White bars on black, as thick as `width`, at random places."""
    x = torch.zeros(count, 1, 28, 28)
    for image, place in zip(x, torch.randint(20, (count,), generator=generator(seed)), strict=True):
        image[0, 4:24, int(place) : int(place) + width] = 1.0
    return x


def drawings() -> InputStatistics:
    """Of thin and less thin bars."""
    return InputStatistics.of(torch.cat([strokes(100, 2), strokes(100, 3), strokes(100, 4)]))


def doubt(x: Tensor) -> str:
    return drawings().doubt(x, x, PLAIN)


def test_images_with_light_and_dark_exchanged_are_told() -> None:
    """Those that are like the ones of training are not, though they are new."""
    assert doubt(strokes(5, 3, seed=1)) == ""
    said = doubt(1 - strokes(5, 3, seed=1))
    assert "far outside those of training" in said
    assert "light and dark are the other way round" in said


def test_images_that_were_scaled_twice_are_told() -> None:
    """And those that differ in some other way, without a reason."""
    assert "divided by 255 twice" in doubt(strokes(5, 3) / 255)
    said = doubt(torch.full((5, 1, 28, 28), 0.5))
    assert "an image's mean is 0.50 and its spread 0.00" in said
    assert "Inverted" not in said


def test_omniglot_like_strokes_of_another_hand_are_no_reason_to_warn() -> None:
    """A single thick drawing among thin ones neither."""
    assert doubt(torch.cat([strokes(4, 2, 3), strokes(1, 16, 3)])) == ""


def table() -> tuple[InputStatistics, Standard, np.ndarray]:
    """Of three columns of a user's far from 0."""
    rows = np.random.default_rng(0).normal([1e4, 500.0, -30.0], [30.0, 5.0, 2.0], (500, 3))
    units = Standard.of(rows)
    return InputStatistics.of(units.inwards(torch.from_numpy(rows))), units, rows


def said_of(rows: np.ndarray) -> str:
    statistics, units, _ = table()
    given = torch.from_numpy(rows)
    return statistics.doubt(units.inwards(given), given, units)


def test_rows_in_other_units_are_told() -> None:
    """Standardised ones, those that are too great by one factor, and a single column."""
    _, units, rows = table()
    assert said_of(rows[:6]) == ""
    assert "standardised already" in said_of(units.inwards(torch.from_numpy(rows[:6])).numpy())
    assert "about 1000 times as large" in said_of(1000 * rows[:6])
    said = said_of(rows[:6] + np.array([0.0, 100.0, 0.0]))
    assert "in the columns 1 (counted from 0)" in said


def test_statistics_are_of_training_tasks_and_come_back_from_a_checkpoint() -> None:
    """Beside its other tensors; a checkpoint without them has none."""
    statistics = InputStatistics.drawn(Sinusoid(), 10, 10, generator())
    assert float(statistics.mean) == pytest.approx(0.0, abs=0.3)
    assert float(statistics.deviation) == pytest.approx(10 / 12**0.5, rel=0.05)
    held, rest = InputStatistics.apart({"theta/w": torch.ones(1), **statistics.tensors()})
    assert held is not None
    assert all(torch.equal(a, b) for a, b in zip(held, statistics, strict=True))
    assert list(rest) == ["theta/w"]
    assert InputStatistics.apart(rest) == (None, rest)


def test_only_the_training_part_counts() -> None:
    """Classes that are held out may look as they like."""
    x = np.repeat(np.arange(20, dtype=np.float64), 40)[:, None] * 100
    labels = np.repeat(np.arange(20), 40)
    source = random_classes("c", x, labels, [f"{i:02}" for i in range(20)], Ways(2), HoldOut())
    statistics = InputStatistics.drawn(source, 5, 5, generator())
    held_in = source.stock.x[np.isin(labels, source.parts["train"])]
    assert len(held_in) < EXAMPLES
    assert float(statistics.mean) == pytest.approx(float(held_in.mean()), abs=0.15)
    assert float(statistics.levels[1]) == float(held_in.max())

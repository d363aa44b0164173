"""How new held-out tasks are."""

import numpy as np

from metarl.tasks import compared, load_family, make_family, repeats
from metarl.tasks.values import column


def test_no_more_tasks_are_compared_than_a_list_needs() -> None:
    """Those of fifty iterations, and one where numbers hardly ever come twice."""
    listed, continuous = load_family("tests.tasks.gallery:fixed_list"), make_family("point-nav")
    assert (compared(listed, 0), compared(listed, 10**6)) == (1, 50)
    assert compared(make_family("half-cheetah-dir"), 7) == 7
    assert compared(continuous, 400) == 1


def test_tasks_are_the_same_however_they_are_kept() -> None:
    """In arrays of numbers, or with others in arrays of objects; arrays differ in all digits."""
    mixed = {"a": column([1, None, 2])}
    assert repeats({"a": np.array([1, 2])}, [mixed]).trained == 2
    rows = [{"b": np.array([0.1, 0.2])}, {"b": np.array([0.1, 0.2 + 1e-12])}]
    assert repeats({"a": column(rows)}, [{"a": column(rows[:1])}]) == (2, 2, 1)

"""Tasks that an environment draws itself, and how it is told them."""

from collections import namedtuple
from enum import Enum
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from metarl.tasks import TaskFamily, Uniform, family_from_json, load_family
from metarl.tasks.engines.vector.engine import VectorEngine
from metarl.tasks.task import task_at
from metarl.tasks.values import equal
from tests.tasks.gallery import Walk

Maze = namedtuple("Maze", "walls goal")


class Draws(Walk):
    """Keeps what it is told beside what it drew."""

    kind = "integers"

    def sample_tasks(self, n):
        return [DRAWN[self.kind](int(i)) for i in self.np_random.integers(9, size=n)]

    def reset_task(self, task):
        self.told = task


DRAWN: dict[str, Any] = {
    "integers": lambda i: i,
    "numpy integers": np.int64,
    "floats": float,
    "truth values": bool,
    "large integers": lambda i: 2**70 + i,
    "strings": "maze-{}".format,
    "lists": lambda i: [i, i + 1],
    "tuples": lambda i: (i / 2, 1.0),
    "ragged lists": lambda i: [1.0] * i,
    "lists of tuples": lambda i: [(i, 0), (0, i)],
    "mixed lists": lambda i: [i, 0.5, "a"],
    "arrays": lambda i: np.array([i, 0.5], np.float32),
    "arrays without axes": lambda i: np.array(i),
    "named tuples": lambda i: Maze(i, (i, 1)),
    "sets": lambda i: {i, 9},
    "none": lambda i: None if i % 2 else i,
    "names": lambda i: {"speed": i / 2, "map": "4x4", "goal": (i, 1), "slippery": i % 2 == 0},
    "nested": lambda i: {"body": {"mass": [i, 1], "name": "ant"}, "wind": np.array([i, 1])},
    "the name that tasks without names have": lambda i: {"task": i},
}


def drawing(kind: str) -> TaskFamily:
    """Environments whose tasks are of a kind."""
    return TaskFamily(name=kind, env=type("Draws", (Draws,), {"kind": kind}), horizon=5)


@pytest.mark.parametrize("kind", DRAWN)
def test_an_environment_is_told_what_it_drew(kind: str) -> None:
    """Equal and of the same type, at any depth, alone and in an engine."""
    family, env = drawing(kind), Draws()
    tasks = family.sample(9, np.random.default_rng(0))
    env.kind = kind
    env.reset(seed=int(np.random.default_rng(0).integers(2**31)))
    drawn = env.sample_tasks(9)
    one = family.make()
    for i, task in enumerate(drawn):
        one.reset(options={"task": task_at(tasks, i)})
        assert equal(one.env.told, task)
        assert isinstance(one.env.told, type(task)) or isinstance(task, np.integer)
    engine = VectorEngine(family, 9, 1)
    engine.reset(tasks, engine.draw_noise(np.random.default_rng(0)).reset)
    assert equal([env.env.told for env in engine._envs._envs], drawn)  # type: ignore[union-attr]
    assert engine.step(np.zeros((9, 1, 1)), None).reward.shape == (9, 1)


def test_vectors_of_numbers_are_arrays_in_a_batch() -> None:
    """Lists and tuples, too, so that they can be computed with."""
    for kind in ("lists", "tuples", "arrays"):
        (column,) = drawing(kind).split("train").sample(9, 0).values()
        assert column.shape == (9, 2)
        assert column.dtype.kind == ("i" if kind == "lists" else "f")


def test_an_environment_that_changes_its_task_changes_no_other() -> None:
    """A nested one is told again as it was."""

    class Spends(Draws):
        kind = "nested"

        def reset_task(self, task):
            self.told = dict(task["body"], mass=list(task["body"]["mass"]))
            task["body"]["mass"].clear()

    family = TaskFamily(env=Spends, horizon=5)
    tasks = family.split("train").sample(2, 0)
    one = family.make()
    for _ in range(3):
        one.reset(options={"task": task_at(tasks, 1)})
        assert len(one.env.told["mass"]) == 2
        one.reset()
        assert len(one.env.told["mass"]) == 2


class NoEquality:
    """As most classes: two are the same only if they are one."""


class Terrain(Enum):
    """Two of these are one, so that they can be compared without an `==` of their own."""

    FLAT = 0
    STEEP = 1


unseeded = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda n: {"speed": np.ones(n)}, r"sample_tasks\(9\) of Bad gives a 'dict'"),
        (lambda n: [1.0] * (n - 1), r"sample_tasks\(9\) of Bad gives 8 tasks"),
        (lambda n: [{"a": 1}] * (n - 1) + [{"b": 1}], "different names.*'a'.*'b'"),
        (lambda n: [(1, 2)] * (n - 1) + [[1, 2]], "let all its tasks be of one kind"),
        (lambda n: [NoEquality() for _ in range(n)], "NoEquality, which has no ==.* an __eq__"),
        (lambda n: [{"a": [1, NoEquality()]}] * (n - 1) + [{"a": [1, NoEquality()]}], "no =="),
        (lambda n: list(unseeded.uniform(0, 1, n)), "other tasks for the same reset seed"),
        (
            lambda n: [{"kind": Terrain(i)} for i in unseeded.integers(2, size=n)],
            "other tasks for the same reset seed",
        ),
        (lambda n: [float("nan")] * n, "gives nan: NaN equals nothing"),
        (lambda n: [{"a": 1.0}] * (n - 1) + [{"a": np.array([1, np.nan])}], "NaN equals nothing"),
    ],
)
def test_tasks_that_would_not_come_back_are_refused(draw, message: str) -> None:
    """Before anything is trained on them."""

    class Bad(Draws):
        def sample_tasks(self, n):
            return draw(n)

    with pytest.raises(ValueError, match=message):
        TaskFamily(env=Bad, horizon=5).sample(9, np.random.default_rng(0))


class Untold(Walk):
    """Its author meant reset_task."""

    def sample_tasks(self, n):
        return list(self.np_random.uniform(0, 2, n))

    def reset_tasks(self, task):
        self.target = task


untold = TaskFamily(env=Untold, horizon=5)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_environment_that_cannot_be_told_a_task_is_refused_at_the_start(workers: int) -> None:
    """With the ways that there are, and what it has that sounds like one."""
    with pytest.raises(ValueError, match=r"cannot be told one: let.*set_task.*has reset_tasks"):
        load_family("tests.tasks.test_own_tasks:untold", workers=workers)


class RefusesTasks(Draws):
    def reset_task(self, task):
        raise KeyError("no such maze")


refuses = TaskFamily(env=RefusesTasks, horizon=5)


def test_a_task_that_an_environment_refuses_is_told_at_the_start() -> None:
    """With its author's own lines."""
    with pytest.raises(ValueError, match="(?s)telling an environment .* a task failed.*such maze"):
        load_family("tests.tasks.test_own_tasks:refuses")


def test_whole_numbers_from_a_file_are_indices_again() -> None:
    """As those of JSON written by other programs."""
    one = drawing("integers").make()
    one.reset(options={"task": {"task": 3.0}})
    assert isinstance(one.env.told, int)


def limited():
    """A function that makes what has a time limit of its own."""
    return gymnasium.make("Pendulum-v1", max_episode_steps=70)


def limited_by_hand():
    return gymnasium.wrappers.TimeLimit(Walk(), 30)


@pytest.mark.parametrize(("make", "steps"), [(limited, 70), (limited_by_hand, 30)])
def test_the_horizon_of_what_a_function_makes_is_its_own(make, steps: int) -> None:
    """Where no other one is given."""
    parameters = {"target" if make is limited_by_hand else "g": Uniform(6, 14)}
    assert TaskFamily(env=make, parameters=parameters).horizon == steps
    assert TaskFamily(env=make, parameters=parameters, horizon=9).horizon == 9


def test_a_horizon_that_is_given_beside_a_file_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers import the file, too."""
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "family_without_a_limit.py"
    file.write_text(
        "from metarl.tasks import TaskFamily, Uniform\nfrom tests.tasks.gallery import Walk\n"
        "class Mine(Walk):\n    pass\n"
        "mine = TaskFamily(env=Mine, parameters={'target': Uniform(0, 1)})\n"
    )
    with pytest.raises(ValueError, match="no time limit of its own: give it a horizon"):
        load_family(f"{file}:mine")
    family = load_family(f"{file}:mine", horizon=7, workers=1)
    assert family.horizon == 7
    assert family_from_json(family.to_json()) == family

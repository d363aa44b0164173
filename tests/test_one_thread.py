"""Torch's own number of threads changes no result of any class, nor does it change itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import metarl
from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.rl2.algorithm import Rl2
from metarl.algorithms.rl2.config import Rl2Config
from metarl.cli.train import main as train
from metarl.cli.train_few_shot import main as train_few_shot
from metarl.core.mapping import TaskMapping, Workers
from metarl.core.one_thread import one_thread
from metarl.experiment.seeding import rng
from metarl.fewshot import Mlp, Sinusoid
from metarl.fewshot.learners.configs import MamlConfig
from metarl.fewshot.learners.maml import Maml
from metarl.fewshot.training import FewShot
from metarl.tasks import make_engine, make_family
from metarl.tasks.trial import TrialEngine

ROUNDING = ("mm", "bmm", "addmm", "baddbmm", "sum", "mean", "convolution", "linalg")
"""What the names of operations begin with that several threads may round otherwise."""


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
        assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)


def rl2(threads: int, trials: int = 340) -> Any:
    config = Rl2Config(tasks=trials, episodes=1, hidden=4, minibatches=1, epochs=1)
    family = make_family("point-nav", horizon=100)
    env = TrialEngine(make_engine(family, config.tasks, 1), config.episodes)
    algorithm = Rl2(config, env.observation_space, env.action_space, threads=threads)
    tasks = family.split("train").sample(config.tasks, 0)
    state, _ = algorithm.iteration(algorithm.init(0), env, tasks, lambda k: rng(0, k))
    return state.tensors()


def maml_trpo(threads: int) -> Any:
    config = MamlTrpoConfig(tasks=2, episodes=2, hidden=(4,), normalize_observations=True)
    family = make_family("point-nav", horizon=5)
    spaces = family.observation_space, family.action_space
    algorithm = MamlTrpo(config, *spaces, threads=threads)
    env = make_engine(family, config.tasks, config.episodes)
    tasks = family.split("train").sample(config.tasks, 0)
    state, _ = algorithm.iteration(algorithm.init(0), env, tasks, lambda k: rng(0, k))
    return state.tensors()


def few_shot(how: TaskMapping, points: int = 40_000) -> Callable[[int], Any]:
    def trained(threads: int) -> Any:
        config = MamlConfig(tasks=2)
        learner = Maml(config, "regression", Mlp(1, 1, (4,)))
        trainer = FewShot(config, learner, how=how, workers=Workers(threads))
        generator = torch.Generator().manual_seed(0)
        batch = Sinusoid().sample(2, points, points, "train", generator)
        return trainer.iteration(trainer.init(0), batch)[0].tensors()

    return trained


LARGE = {"rl2": rl2, "loop": few_shot("loop"), "threads": few_shot("threads")}
SMALL = {
    "rl2": lambda threads: rl2(threads, 2),
    "maml-trpo": maml_trpo,
    "loop": few_shot("loop", 5),
    "threads": few_shot("threads", 5),
    "vmap": few_shot("vmap", 5),
}


@pytest.mark.parametrize("train", LARGE.values(), ids=list(LARGE))
def test_no_training_depends_on_any_number_of_threads(train: Callable[[int], Any]) -> None:
    """Its own or torch's, bit for bit, where sums are long enough to be split."""
    expected = train(1)
    for torchs, own in ((2, 1), (3, 2)):
        with torch_threads(torchs):
            found = train(own)
        assert all(torch.equal(found[name], p) for name, p in expected.items())


class Watch(TorchDispatchMode):
    """Notes with how many threads operations are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, list[str]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__
        if name.startswith(ROUNDING):
            self.seen.setdefault(torch.get_num_threads(), []).append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("train", SMALL.values(), ids=list(SMALL))
def test_every_training_computes_in_one_thread(train: Callable[[int], Any]) -> None:
    """Short sums, too, where no bit tells."""
    with torch_threads(2), Watch() as watch:
        train(1)
    assert set(watch.seen) == {1}


SHORT = ["--iterations", "1", "--tasks", "2", "--eval-every", "0", "--threads", "1"]


def test_nothing_that_adapts_predicts_or_evaluates_uses_more_threads(tmp_path: Path) -> None:
    """An agent of every kind, by all that it offers."""
    options = ["--algo", "cnp", "--compile", "off", "--run-dir", str(tmp_path)]
    assert train_few_shot([*SHORT, *options]) == 0
    with torch_threads(2), Watch() as watch:
        agent = metarl.load_few_shot(tmp_path)
        x = torch.rand(9, 1, generator=torch.Generator().manual_seed(0))
        adapted = agent.adapt((x, x))
        assert adapted.predict(x).shape == adapted.deviation(x).shape
        agent.evaluate(tasks=3)
    assert set(watch.seen) == {1}


@pytest.mark.parametrize(
    ("algo", "own"), [("maml-trpo", ["--episodes", "2"]), ("rl2", ["--minibatches", "1"])]
)
def test_nor_does_any_that_acts(algo: str, own: list[str], tmp_path: Path) -> None:
    """In an environment of the user's, or on tasks of a split."""
    options = ["--env", "point-nav", "--algo", algo, "--horizon", "4", *own]
    assert train([*SHORT, *options, "--run-dir", str(tmp_path)]) == 0
    env = gymnasium.make("metarl.tasks:metarl/PointNav-v0")
    with torch_threads(2), Watch() as watch:
        agent = metarl.load_agent(tmp_path)
        adapted = agent.adapt(env, episodes=1)
        adapted.predict(adapted.env(env).reset(seed=0)[0])
        agent.evaluate(tasks=3, episodes=2)
    assert set(watch.seen) == {1}


def test_the_number_is_given_back_after_an_error() -> None:
    """To the thread that it was taken from."""

    @one_thread()
    def fails() -> None:
        raise KeyError(torch.get_num_threads())

    with torch_threads(3), pytest.raises(KeyError, match="1"):
        fails()

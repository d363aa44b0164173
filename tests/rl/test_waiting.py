"""Nothing in the loop over time of a rollout waits for the device.

Where there is no GPU torch's device `meta` stands in for one: its tensors have no values, so that
whatever reads one raises.
"""

from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.rl2.algorithm import Rl2
from metarl.algorithms.rl2.config import Rl2Config
from metarl.experiment.seeding import rng
from metarl.rl import noise, rollout, trials
from metarl.tasks import make_engine, make_family
from metarl.tasks.engines import device as device_module
from metarl.tasks.task import Tasks
from metarl.tasks.trial import TrialEngine
from tests.tasks.test_device import ON_ARRAYS, available


class NoCopies(TorchDispatchMode):
    """Refuses operations on tensors of two devices; numbers may come from anywhere."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, found)) if isinstance(x, Tensor)]
        devices = {x.device.type for x in tensors if x.dim()}
        assert len(devices) < 2, f"{func} is given {devices}"
        return found


class Watched:
    """An engine that lets nobody wait from its first step to its last."""

    def __init__(self, env: Any) -> None:
        self._env = env
        self.steps = 0
        self._watch = ExitStack()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def step(self, action: Any, noise: Any) -> Any:
        if self.steps == 0:
            self._watch.enter_context(NoCopies())
            if action.device.type == "cuda":
                torch.cuda.set_sync_debug_mode("error")
                self._watch.callback(torch.cuda.set_sync_debug_mode, "default")
        found = self._env.step(action, noise)
        self.steps += 1
        if self.steps == self._env.horizon:
            self.end()
        return found

    def end(self) -> None:
        self._watch.close()


@pytest.fixture
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A device of which generators and the check of what was collected know nothing."""
    name = available(request.param)
    if name == "meta":
        monkeypatch.setattr(noise, "_generator", lambda rng, device: None)
        monkeypatch.setattr(device_module.TensorSource, "__init__", without_generator)
        for module in (rollout, trials):
            monkeypatch.setattr(module, "require_finite", lambda finite, acted, tasks: None)
    return torch.device(name)


def without_generator(source: Any, rng: Any, device: torch.device) -> None:
    source._generator, source._device = None, device


def episodes(env: Any, tasks: Tasks, device: torch.device) -> Tensor:
    """Observations of MAML-TRPO's episodes."""
    config = MamlTrpoConfig(tasks=3, episodes=2, normalize_observations=True)
    algorithm = MamlTrpo(config, env.observation_space, env.action_space, device=device)
    learner = algorithm.learner(algorithm.init(0))
    options = {"scaling": algorithm.scaling, "device": device}
    return rollout.rollout(learner, learner.start(3), env, tasks, rng(0), **options)[0].obs


def views(env: Any, tasks: Tasks, device: torch.device, *, bootstrap: bool) -> Tensor:
    """Of RL²'s trials."""
    config = Rl2Config(tasks=3, minibatches=1, normalize_observations=True)
    algorithm = Rl2(config, env.observation_space, env.action_space, device=device)
    learner = algorithm.learner(algorithm.init(0))
    options = {"scaling": algorithm.scaling, "device": device, "bootstrap": bootstrap}
    return trials.collect_trials(learner, env, tasks, rng(0), **options).views


ON_CUDA = [
    pytest.param(name, "cuda", marks=pytest.mark.gpu)
    for name in (
        *(family.name for family in ON_ARRAYS),
        "half-cheetah-vel",
        "hopper-params",
        "ant-goal",
    )
]
WHERE = [*((family.name, "meta") for family in ON_ARRAYS), *ON_CUDA]


@pytest.mark.parametrize(("name", "device"), WHERE, indirect=["device"])
@pytest.mark.parametrize("how", ["episodes", "trials", "trials that go on"])
def test_nothing_in_a_rollout_waits_for_the_device(
    name: str, device: torch.device, how: str
) -> None:
    """Neither reads nor copies, where episodes end early and where trials start the next one."""
    family = make_family(name, horizon=4)
    tasks = family.split("train").sample(3, 0)
    env: Any = make_engine(family, 3, 2, device=device.type)
    if how != "episodes":
        env = TrialEngine(env, 2)

    def collect(env: Any) -> Tensor:
        if how == "episodes":
            return episodes(env, tasks, device)
        return views(env, tasks, device, bootstrap=how == "trials that go on")

    if device.type == "cuda":
        collect(env)  # compiles and captures, which waits
    watched = Watched(env)
    try:
        seen = collect(watched)
    finally:
        watched.end()
    assert watched.steps == env.horizon
    assert seen.device.type == device.type

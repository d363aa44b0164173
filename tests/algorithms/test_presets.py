"""Hyper-parameters by preset, against the table of their sources."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from metarl.algorithms.maml_trpo.presets import MAML_TRPO, maml_trpo_preset
from metarl.algorithms.rl2.presets import RL2, rl2_preset
from metarl.cli import train as train_metarl
from metarl.experiment.seeding import rng
from metarl.rl.advantages import policy_batch
from metarl.rl.choices import ReturnsConfig
from metarl.rl.ppo import PpoBatch
from metarl.rl.rollout import rollout
from metarl.rl.trials import collect_trials
from metarl.tasks import family_names, make_family
from metarl.training.reinforcement import Training

CHEETAHS = ("half-cheetah-vel", "half-cheetah-dir")
# (preset, envs): horizon, tasks, inner rate, hidden layers, activation, action scale
PUBLISHED = {
    ("finn2017", CHEETAHS): (200, 40, 0.1, (100, 100), "relu", 1.0),
    ("finn2017", ("point-nav",)): (100, 20, 0.5, (100, 100), "relu", 1.0),
    ("deleu2020", CHEETAHS): (100, 40, 0.1, (64, 64), "tanh", 0.1),
    ("deleu2020", ("point-nav",)): (100, 20, 0.1, (64, 64), "tanh", 1.0),
    ("promp2018", CHEETAHS): (100, 40, 0.1, (64, 64), "tanh", 0.1),
    ("finn2017-20d", CHEETAHS): (200, 40, 0.1, (100, 100), "relu", 1.0),
    ("deleu2020-20d", CHEETAHS): (100, 40, 0.1, (64, 64), "tanh", 0.1),
    ("finn2017", ("ant-vel",)): (200, 40, 0.1, (100, 100), "relu", 1.0),
    ("deleu2020", ("ant-vel", "ant-dir")): (100, 40, 0.1, (64, 64), "tanh", 0.1),
    ("promp2018", ("ant-dir", "ant-dir-2d")): (100, 40, 0.1, (64, 64), "tanh", 0.1),
    ("promp2018", ("ant-goal", "walker2d-vel")): (200, 40, 0.1, (64, 64), "tanh", 0.1),
    ("promp2018", ("humanoid-dir",)): (200, 40, 0.1, (128, 128), "tanh", 0.1),
    ("promp2018", ("hopper-params", "walker2d-params")): (
        *(200, 40, 0.05, (64, 64)),
        *("tanh", 0.1),
    ),
}


@pytest.mark.parametrize(
    ("preset", "env", "published"),
    [(preset, env, row) for (preset, names), row in PUBLISHED.items() for env in names],
)
def test_presets_are_what_was_published(preset: str, env: str, published: tuple) -> None:
    """With everything that all published implementations share."""
    c = maml_trpo_preset(preset, env)
    horizon = make_family(env, preset).horizon
    row = (horizon, c.tasks, c.inner_lr, c.hidden, c.activation, c.action_scale)
    assert row == published
    assert (c.episodes, c.discount, c.gae_lambda, c.initial_std) == (20, 0.99, 1.0, 1.0)
    assert (c.max_kl, c.cg_iterations, c.cg_damping) == (0.01, 10, 1e-5)
    assert (c.line_search_steps, c.line_search_decay, c.min_std) == (15, 0.8, 1e-6)


DEFAULTS = {
    ("default", CHEETAHS): (200, 40, 0.2, (64, 64), "tanh", 1 / 3),
    ("default", ("pendulum",)): (200, 40, 0.1, (64, 64), "tanh", 1.0),
}


class Watched:
    """An engine that keeps the actions that it is given."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.actions: list[np.ndarray] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def step(self, action: Any, noise: Any) -> Any:
        self.actions.append(action)
        return self._engine.step(action, noise)


def command(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> Training:
    """What the command would train, with fewer tasks."""
    made: list[Training] = []
    monkeypatch.setattr("metarl.cli.train.train", lambda training, *shown: made.append(training))
    train_metarl.main(["--run-dir", str(folder), "--threads", "1", *options])
    return made[0]


@pytest.mark.parametrize(
    ("preset", "env", "published"),
    [
        (preset, env, row)
        for (preset, names), row in {**PUBLISHED, **DEFAULTS}.items()
        for env in names
    ],
)
def test_what_a_preset_says_is_what_is_trained(
    preset: str, env: str, published: tuple, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command's episodes, actions at the environment, network, first step of adaptation."""
    horizon, _, inner_lr, hidden, activation, action_scale = published
    small = ["--tasks", "2", "--episodes", "2"]
    training = command(monkeypatch, tmp_path / "run", "--env", env, "--preset", preset, *small)
    algo: Any = training.algorithm
    tasks = training.family.split("train").sample(2, 0)
    state, watched = algo.init(0), Watched(training.env)
    learner = algo.learner(state)
    start = learner.start(2)
    e, _ = rollout(learner, start, watched, tasks, rng(0), scaling=algo.scaling, device=algo.device)
    assert e.mask.shape == (2, 2, horizon)
    space = training.family.action_space
    middle, half = (space.high + space.low) / 2, (space.high - space.low) / 2
    received = np.stack(watched.actions, 2)
    units = e.action.numpy()[:, :, : received.shape[2]]
    np.testing.assert_allclose(received, middle + half * action_scale * units, rtol=1e-5, atol=1e-6)
    assert tuple(len(state.theta[f"{i}.bias"]) for i in range(len(hidden))) == hidden
    assert not e.dist["log_std"].any()  # σ₀ = 1
    once, thrice = (
        learner.policy.distribution(state.theta, k * e.obs[e.mask][:20])["mean"] for k in (1, 3)
    )
    linear = torch.allclose(thrice, 3 * once, rtol=1e-4, atol=1e-6)  # without biases a relu's is
    assert linear == (activation == "relu")
    batch = algo.batch(state, e)[0]
    advantage = policy_batch(e, ReturnsConfig(0.99, 1.0, False))[0].advantage
    torch.testing.assert_close(batch.advantage, advantage)
    phi = learner.adapt(start, e).phi
    theta = {name: p.clone().requires_grad_() for name, p in state.theta.items()}
    dist = learner.policy.distribution(theta, e.obs[0])
    density = Normal(dist["mean"], dist["log_std"].exp()).log_prob(e.action[0]).sum(-1)
    loss = -(density * batch.advantage[0])[e.mask[0]].mean()
    gradient = torch.autograd.grad(loss, [*theta.values()])
    for (name, p), g in zip(theta.items(), gradient, strict=True):
        torch.testing.assert_close(phi[name][0], p.detach() - inner_lr * g, rtol=1e-4, atol=1e-5)


def test_two_published_rows_differ_in_what_they_sample() -> None:
    """40 episodes for the ant's direction (Finn et al.); short bandits (deleu2020)."""
    ant, bandit = (
        maml_trpo_preset("finn2017", "ant-dir"),
        maml_trpo_preset("deleu2020", "bandit-k5"),
    )
    assert (ant.tasks, ant.episodes, ant.iterations) == (40, 40, 800)
    assert (bandit.tasks, bandit.episodes, bandit.inner_lr, bandit.discount) == (20, 10, 0.5, 0.95)
    assert (bandit.hidden, bandit.activation, bandit.iterations) == ((32, 32), "relu", 500)


@pytest.mark.parametrize("preset", MAML_TRPO)
def test_a_preset_knows_the_tasks_of_its_envs(preset: str) -> None:
    """What has hyper-parameters has a family of the same name."""
    for env in MAML_TRPO[preset]:
        assert make_family(env, preset).preset == preset


def test_meta_worlds_families_share_their_sizes() -> None:
    """Those of its own evaluation, with either algorithm, whether or not it is installed."""
    for env in ("metaworld-ml10", "metaworld-ml1-reach-v3"):
        for config in (maml_trpo_preset("default", env), rl2_preset("default", env)):
            assert (config.tasks, config.episodes) == (20, 10)
    with pytest.raises(ValueError, match="has no metaworld-ml10; presets that have: default"):
        maml_trpo_preset("finn2017", "metaworld-ml10")


def test_unknown_presets_are_refused() -> None:
    """With the nearest one, or with the presets that know the environment."""
    with pytest.raises(ValueError, match=r"did you mean 'finn2017'.*--list-envs"):
        maml_trpo_preset("fin2017", "point-nav")
    with pytest.raises(ValueError, match="has no point-nav; .*: default, finn2017, deleu2020"):
        maml_trpo_preset("promp2018", "point-nav")


# env: trial (K × H), trials per update, clip, minibatches, γ, entropy weight
VARIBAD = {
    "half-cheetah-vel": (2, 200, 32, 0.1, 4, 0.97, 0.01),
    "half-cheetah-dir": (2, 200, 16, 0.1, 4, 0.97, 0.01),
    "ant-dir": (2, 200, 16, 0.05, 4, 0.97, 0.01),
    "ant-goal": (2, 200, 16, 0.05, 1, 0.97, 0.01),
    "point-nav-sparse": (3, 100, 32, 0.1, 8, 0.99, 0.001),
}


@pytest.mark.parametrize(("env", "published"), VARIBAD.items(), ids=list(VARIBAD))
def test_rl2_presets_are_what_was_published(env: str, published: tuple) -> None:
    """With all that VariBAD's environments share."""
    c, family = rl2_preset("varibad2020", env), make_family(env, "varibad2020")
    row = (c.episodes, family.horizon, c.tasks, c.clip, c.minibatches, c.discount, c.entropy_weight)
    assert row == published
    assert (c.cell, c.hidden, c.embeddings, c.head) == ("gru", 128, (32, 16, 16), (128,))
    lr = (3e-4, "linear") if env == "ant-goal" else (7e-4, "constant")
    assert (c.lr, c.lr_schedule) == lr
    assert (c.epochs, c.gae_lambda, c.value_loss) == (2, 0.9, "huber")
    assert (c.value_weight, c.max_grad_norm, c.bptt_steps) == (0.5, 0.5, 0)
    assert c.normalize_rewards


@pytest.mark.parametrize(("env", "published"), VARIBAD.items(), ids=list(VARIBAD))
def test_what_a_preset_of_rl2_says_is_what_is_trained(
    env: str, published: tuple, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command's trials and memory, Adam's steps, and how far the first of them goes."""
    episodes, horizon, _, _, minibatches, _, _ = published
    named = ["--algo", "rl2", "--env", env, "--preset", "varibad2020"]
    training = command(monkeypatch, tmp_path / "run", *named, "--tasks", "8")
    algo: Any = training.algorithm
    assert training.env.horizon == episodes * horizon
    tasks = training.family.split("train").sample(8, 0)
    state = algo.init(0)
    assert [memory.shape for memory in algo.learner(state).start(8)] == [(8, 128)]
    trials = collect_trials(
        algo.learner(state),
        training.env,
        tasks,
        rng(0),
        scaling=algo.scaling,
        device=algo.device,
    )
    batch, state, _ = algo.batch(trials, state, training.env.horizon)
    batch = PpoBatch(*(field[:20] for field in batch))  # of the time of all trials
    assert algo.ppo.update(state, batch, rng(1))[1]["ppo/steps"] == 2 * minibatches
    monkeypatch.setattr(algo.ppo, "minibatches", lambda batch, rng: iter([torch.arange(2)]))
    after, _ = algo.ppo.update(state, batch, rng(1))
    moved = max(float((p - state.params[name]).abs().max()) for name, p in after.params.items())
    assert moved == pytest.approx(3e-4 if env == "ant-goal" else 7e-4, rel=1e-2)


def test_rl2s_bandits_and_mdps_have_240_000_steps_per_update() -> None:
    """As the public reproduction with PPO."""
    for env in ("bandit-k5", "bandit-k10", "bandit-k50", "tabular-mdp"):
        c, family = rl2_preset("rl2_2016", env), make_family(env, "rl2_2016")
        assert c.tasks * c.episodes * family.horizon == 240_000
        assert (c.hidden, c.layer_norm, c.lr, c.clip, c.epochs) == (256, True, 2e-4, 0.1, 8)
        assert (c.discount, c.gae_lambda, c.entropy_weight) == (0.99, 0.3, 0.01)


def test_every_rl2_preset_is_one_of_the_family() -> None:
    """And every family has a default."""
    for preset, rows in RL2.items():
        for env in rows:
            rl2_preset(preset, env)
            make_family(env, preset)
    for env in family_names():
        rl2_preset("default", env)

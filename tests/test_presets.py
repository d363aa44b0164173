"""Hyper-parameters by preset, against the table of their sources."""

import pytest

import envs
from metarl.presets import MAML_TRPO, RL2, maml_trpo_preset, rl2_preset

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
    horizon = envs.make_family(env, preset).horizon
    row = (horizon, c.tasks, c.inner_lr, c.hidden, c.activation, c.action_scale)
    assert row == published
    assert (c.episodes, c.discount, c.gae_lambda, c.initial_std) == (20, 0.99, 1.0, 1.0)
    assert (c.max_kl, c.cg_iterations, c.cg_damping) == (0.01, 10, 1e-5)
    assert (c.line_search_steps, c.line_search_decay, c.min_std) == (15, 0.8, 1e-6)


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
        assert envs.make_family(env, preset).preset == preset


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
    c, family = rl2_preset("varibad2020", env), envs.make_family(env, "varibad2020")
    row = (c.episodes, family.horizon, c.tasks, c.clip, c.minibatches, c.discount, c.entropy_weight)
    assert row == published
    assert (c.cell, c.hidden, c.embeddings, c.head) == ("gru", 128, (32, 16, 16), (128,))
    lr = (3e-4, "linear") if env == "ant-goal" else (7e-4, "constant")
    assert (c.lr, c.lr_schedule) == lr
    assert (c.epochs, c.gae_lambda, c.value_loss) == (2, 0.9, "huber")
    assert (c.value_weight, c.max_grad_norm, c.bptt_steps) == (0.5, 0.5, 0)
    assert c.normalize_rewards


def test_rl2s_bandits_and_mdps_have_240_000_steps_per_update() -> None:
    """As the public reproduction with PPO."""
    for env in ("bandit-k5", "bandit-k10", "bandit-k50", "tabular-mdp"):
        c, family = rl2_preset("rl2_2016", env), envs.make_family(env, "rl2_2016")
        assert c.tasks * c.episodes * family.horizon == 240_000
        assert (c.hidden, c.layer_norm, c.lr, c.clip, c.epochs) == (256, True, 2e-4, 0.1, 8)
        assert (c.discount, c.gae_lambda, c.entropy_weight) == (0.99, 0.3, 0.01)


def test_every_rl2_preset_is_one_of_the_family() -> None:
    """And every family has a default."""
    for preset, rows in RL2.items():
        for env in rows:
            rl2_preset(preset, env)
            envs.make_family(env, preset)
    for env in envs.family_names():
        rl2_preset("default", env)

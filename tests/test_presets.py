"""Hyper-parameters by preset, against the table of their sources."""

import pytest

import envs
from metarl.presets import MAML_TRPO, maml_trpo_preset

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


def test_unknown_presets_are_refused() -> None:
    """With the nearest one, or with the presets that know the environment."""
    with pytest.raises(ValueError, match=r"did you mean 'finn2017'.*--list-envs"):
        maml_trpo_preset("fin2017", "point-nav")
    with pytest.raises(ValueError, match="has no point-nav; .*: default, finn2017, deleu2020"):
        maml_trpo_preset("promp2018", "point-nav")

"""Policies against torch.distributions, and batched against one task at a time."""

import gymnasium
import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from metarl.core.mapping import over_tasks
from metarl.core.params import broadcast, map_params
from metarl.rl import policy as p

GAUSSIAN = p.GaussianMlpPolicy(3, 2, hidden=(8, 8), initial_std=0.5)
CATEGORICAL = p.CategoricalMlpPolicy(3, 4, hidden=(8,), activation="relu")
MULTI = p.MultiCategoricalMlpPolicy(3, (2, 4, 3), hidden=(8,))
EVERY = pytest.mark.parametrize(
    "policy", [GAUSSIAN, CATEGORICAL, MULTI], ids=["gaussian", "categorical", "multi"]
)
OBS = torch.randn(5, 7, 6, 3, generator=torch.Generator().manual_seed(1))


def params_of(policy, tasks: int):
    g = torch.Generator().manual_seed(2)
    theta = broadcast(policy.init(g), tasks)
    return map_params(lambda t: t + 0.1 * torch.randn(t.shape, generator=g), theta)


def reference(dist: p.Dist):
    if "mean" in dist:
        return Independent(Normal(dist["mean"], dist["log_std"].exp()), 1)
    if "parts" in dist:
        return Independent(Categorical(logits=dist["parts"]), 1)
    return Categorical(logits=dist["logits"])


@EVERY
def test_probabilities_equal_those_of_torch_distributions(policy) -> None:
    """Joint log-probability, entropy and KL."""
    params = policy.init(torch.Generator().manual_seed(0))
    old, new = policy.distribution(params, OBS[0]), policy.distribution(params, OBS[1] + 1)
    if "mean" in new:
        new = {"mean": new["mean"], "log_std": new["log_std"] + 0.3}
    action = p.sample(old, policy.noise(np.random.default_rng(0), (7, 6)))
    torch.testing.assert_close(p.log_prob(old, action), reference(old).log_prob(action))
    torch.testing.assert_close(p.entropy(old), reference(old).entropy())
    both = p.log_prob_and_entropy(old, action)
    torch.testing.assert_close(both, (p.log_prob(old, action), p.entropy(old)), rtol=0, atol=0)
    expected = kl_divergence(reference(old), reference(new))
    torch.testing.assert_close(p.kl_divergence(old, new), expected)


@EVERY
def test_weights_per_task_give_what_each_task_gives_alone(policy) -> None:
    """One batched matrix product per layer equals a loop over tasks."""
    params = params_of(policy, 5)
    together = policy.distribution(params, OBS)
    alone = over_tasks(policy.distribution)(params, OBS)
    for name in together:
        torch.testing.assert_close(together[name], alone[name])


def test_samples_have_the_frequencies_of_the_distribution() -> None:
    """The inverse distribution function, and no index beyond the last."""
    dist = {"logits": torch.tensor([0.0, 1.0, -1.0]).expand(20000, 3)}
    noise = torch.from_numpy(np.random.default_rng(0).random(20000))
    counts = torch.bincount(p.sample(dist, noise), minlength=3) / 20000
    torch.testing.assert_close(counts, dist["logits"][0].softmax(0), atol=0.01, rtol=0)
    assert p.sample({"logits": torch.zeros(1, 3)}, torch.ones(1)).item() == 2


def test_parts_with_fewer_choices_never_take_one_that_they_do_not_have() -> None:
    """Whatever the noise; every part has the frequencies of its own logits."""
    dist = MULTI.distribution(MULTI.init(torch.Generator().manual_seed(0)), OBS[0, 0, :1])
    noise = MULTI.noise(np.random.default_rng(0), (20000,))
    drawn = p.sample({"parts": dist["parts"].expand(20000, 3, 4)}, noise)
    for k, n in enumerate(MULTI.choices):
        counts = torch.bincount(drawn[:, k], minlength=4) / 20000
        assert not counts[n:].any()
        expected = dist["parts"][0, k, :n].softmax(0)
        torch.testing.assert_close(counts[:n], expected, atol=0.01, rtol=0)
    assert p.sample(dist, torch.ones(1, 3)).tolist() == [[1, 3, 2]]


def test_the_same_generator_state_gives_the_same_bits() -> None:
    """And the initial deviation is the one asked for."""
    a, b = (GAUSSIAN.init(torch.Generator().manual_seed(7)) for _ in range(2))
    assert all(torch.equal(a[k], b[k]) for k in a)
    torch.testing.assert_close(a["log_std"].exp(), torch.full((2,), 0.5))


def test_spaces_that_do_not_fit_are_named() -> None:
    """Images as observations, sets of buttons as actions."""
    options = {"hidden": (4,), "activation": "tanh", "initial_std": 1.0, "min_std": 1e-6}
    box, spaces = gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces
    image = spaces.Box(0, 255, (8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="flat Box"):
        p.make_policy(image, box, **options)
    with pytest.raises(ValueError, match="got MultiBinary"):
        p.make_policy(box, spaces.MultiBinary(3), **options)
    assert p.make_policy(box, spaces.MultiDiscrete([2, 3]), **options).choices == (2, 3)
    assert isinstance(p.make_policy(box, spaces.Discrete(3), **options), p.CategoricalMlpPolicy)

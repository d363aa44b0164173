"""Running statistics of observations."""

import torch

from metarl.rl.normalizer import NormalizedPolicy, fresh, updated
from metarl.rl.policy import GaussianMlpPolicy

G = torch.Generator().manual_seed(0)


def test_batches_folded_in_one_by_one_give_the_statistics_of_all() -> None:
    """Mean and variance over the real entries, ignoring NaN in padding."""
    obs = 3 * torch.randn(5, 7, 4, generator=G) + 2
    mask = torch.rand(5, 7, generator=G) < 0.7
    obs = torch.where(mask.unsqueeze(-1), obs, torch.nan)
    statistics = fresh(4)
    for rows, real in zip(obs, mask, strict=True):
        statistics = updated(statistics, rows, real)
    expected = obs[mask].double()
    torch.testing.assert_close(statistics["mean"], expected.mean(0))
    torch.testing.assert_close(statistics["var"], expected.var(0, correction=0))
    assert statistics["count"] == mask.sum()


def test_the_policy_sees_normalised_observations() -> None:
    """(obs − mean) / std, clipped to ±10."""
    plain = GaussianMlpPolicy(2, 1, hidden=(4,))
    statistics = {"mean": torch.tensor([1.0, 0.0]), "var": torch.tensor([4.0, 1.0])}
    policy = NormalizedPolicy(plain, statistics)
    params = policy.init(torch.Generator().manual_seed(1))
    actual = policy.distribution(params, torch.tensor([[3.0, -99.0]]))["mean"]
    expected = plain.distribution(params, torch.tensor([[1.0, -10.0]]))["mean"]
    torch.testing.assert_close(actual, expected)

"""From raw episodes to what a policy loss may see."""

import pytest
import torch
from torch import Tensor

from metarl.rl.advantages import ReturnsConfig, fitted_values, policy_batch
from metarl.rl.data import Episodes
from metarl.rl.returns import discounted_returns

MASK = (torch.arange(6) < torch.tensor([[6], [4], [1]])).expand(2, 3, 6)


def episodes(padding: float) -> Episodes:
    """Two tasks of three episodes, with `padding` in every field where there is no experience."""
    g = torch.Generator().manual_seed(0)

    def field(*size: int) -> Tensor:
        values = torch.randn(2, 3, 6, *size, generator=g)
        return torch.where(MASK.view(2, 3, 6, *[1] * len(size)), values, padding)

    never = torch.zeros_like(MASK)
    return Episodes(
        obs=field(3),
        action=field(2),
        reward=field(),
        mask=MASK,
        terminated=never,
        truncated=never,
        final_obs=torch.zeros(2, 3, 3),
        dist={"mean": field(2), "log_std": field(2)},
        metrics={},
    )


def test_what_padding_holds_changes_nothing() -> None:
    """NaN there gives the batch that zeros give: zeros in every field."""
    config = ReturnsConfig(0.9, 0.7, False)
    clean, explained = policy_batch(episodes(0.0), config)
    bad, also = policy_batch(episodes(torch.nan), config)
    torch.testing.assert_close(bad, clean, rtol=0, atol=0)
    torch.testing.assert_close(also, explained, rtol=0, atol=0)
    for name in ("obs", "action", "advantage"):
        assert not getattr(bad, name)[~MASK].any()
    assert all(not p[~MASK].any() for p in bad.dist.values())


def steady(horizon: int, length: int, terminated: bool = False) -> Episodes:
    """One task of four episodes of `length` steps that pay 1 each; the environment ends them."""
    g = torch.Generator().manual_seed(0)
    mask = (torch.arange(horizon) < length).expand(1, 4, horizon)
    end = mask & (torch.arange(horizon) == length - 1)
    return Episodes(
        obs=torch.randn(1, 4, horizon, 2, generator=g),
        action=torch.zeros(1, 4, horizon, 1),
        reward=torch.ones(1, 4, horizon),
        mask=mask,
        terminated=end & terminated,
        truncated=end & (not terminated),
        final_obs=torch.randn(1, 4, 2, generator=g),
        dist={},
        metrics={},
    )


@pytest.mark.parametrize("length", [10, 50])
def test_a_steady_reward_that_goes_on_is_worth_1_over_1_minus_gamma(length: int) -> None:
    """Bootstrapped at the horizon, or where the environment cuts an episode short."""
    gamma = 0.9
    config = ReturnsConfig(gamma, 1.0, bootstrap_at_horizon=length == 50)
    values = worth(steady(50, length), config)
    torch.testing.assert_close(values, torch.full_like(values, 1 / (1 - gamma)), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("length", "terminated"), [(50, False), (10, True)])
def test_a_steady_reward_that_ends_is_worth_the_steps_that_are_left(
    length: int, terminated: bool
) -> None:
    """At the horizon by default, and at a termination always."""
    gamma = 0.9
    config = ReturnsConfig(gamma, 1.0, bootstrap_at_horizon=terminated)
    values = worth(steady(50, length, terminated), config)
    left = length - torch.arange(length)
    torch.testing.assert_close(values[0], (1 - gamma**left) / (1 - gamma), rtol=1e-5, atol=0)


def worth(episodes: Episodes, config: ReturnsConfig) -> Tensor:
    """What every real step is worth, `[E, steps]`."""
    _, after = fitted_values(episodes, config)
    returns = discounted_returns(episodes.reward, episodes.mask, after, config.discount)
    return returns[0][:, episodes.mask[0, 0]]

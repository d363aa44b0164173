"""From raw episodes to what a policy loss may see."""

import numpy as np
import pytest
import torch
from torch import Tensor

from metarl.rl.advantages import fitted_values, policy_batch
from metarl.rl.choices import ReturnsConfig
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


def test_the_value_after_an_episode_is_that_of_its_last_observation_at_that_time() -> None:
    """(Xᵀ(X − Z) + 1e-5 I) w = Xᵀy by hand: an episode of n steps ends at t = n, γ^(n − t) away."""
    gamma, lengths = 0.9, (3, 5, 2)
    e = episodes(0.0)
    mask = torch.arange(6) < torch.tensor(lengths).view(1, 3, 1)
    g = torch.Generator().manual_seed(1)
    e = e._replace(
        mask=mask.expand(2, 3, 6),
        truncated=torch.ones(2, 3, 6, dtype=torch.bool),
        final_obs=torch.randn(2, 3, 3, generator=g),
        obs=torch.randn(2, 3, 6, 3, generator=g),
    )
    value, after = fitted_values(e, ReturnsConfig(gamma, 1.0, bootstrap_at_horizon=False))

    def x(obs: Tensor, step: int) -> np.ndarray:
        o, t = obs.double().numpy(), step / 100
        return np.concatenate([o, o**2, [t, t**2, t**3, 1.0]])

    for task in range(2):
        rows, differences, returns = [], [], []
        for k, n in enumerate(lengths):
            last = x(e.final_obs[task, k], n)
            for t in range(n):
                rows.append(x(e.obs[task, k, t], t))
                differences.append(rows[-1] - gamma ** (n - t) * last)
                rewards = e.reward[task, k].double().tolist()
                returns.append(sum(gamma ** (s - t) * rewards[s] for s in range(t, n)))
        left = np.stack(rows).T @ np.stack(differences) + 1e-5 * np.eye(10)
        w = np.linalg.solve(left, np.stack(rows).T @ np.array(returns))
        for k, n in enumerate(lengths):
            assert float(after[task, k]) == pytest.approx(x(e.final_obs[task, k], n) @ w, rel=1e-4)
            shown = [x(e.obs[task, k, t], t) @ w for t in range(n)]
            assert value[task, k, :n].tolist() == pytest.approx(shown, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_advantages_have_the_lambda_and_the_discount_of_the_configuration(lam: float) -> None:
    """Σ (γλ)^l δ_{t+l} of the fitted values, standardised over each task's steps."""
    gamma = 0.8
    e, config = episodes(0.0), ReturnsConfig(0.8, lam, bootstrap_at_horizon=False)
    batch, _ = policy_batch(e, config)
    value, after = fitted_values(e, config)
    for task in range(2):
        expected = []
        for k in range(3):
            n = int(MASK[task, k].sum())
            v = [*value[task, k, :n].tolist(), float(after[task, k])]
            delta = [float(e.reward[task, k, t]) + gamma * v[t + 1] - v[t] for t in range(n)]
            expected += [
                sum((gamma * lam) ** (s - t) * delta[s] for s in range(t, n)) for t in range(n)
            ]
        a = np.array(expected)
        found = batch.advantage[task][MASK[task]].tolist()
        assert found == pytest.approx(((a - a.mean()) / a.std()).tolist(), rel=1e-3, abs=1e-3)


def worth(episodes: Episodes, config: ReturnsConfig) -> Tensor:
    """What every real step is worth, `[E, steps]`."""
    _, after = fitted_values(episodes, config)
    returns = discounted_returns(episodes.reward, episodes.mask, after, config.discount)
    return returns[0][:, episodes.mask[0, 0]]

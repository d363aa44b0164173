"""Returns and advantages against naive sums and identities."""

import pytest
import torch

from metarl.rl.returns import discounted_returns, gae, normalize_advantages

G = torch.Generator().manual_seed(0)
REWARD = torch.randn(2, 3, 7, generator=G, dtype=torch.float64)
VALUE = torch.randn(2, 3, 7, generator=G, dtype=torch.float64)
FINAL = torch.randn(2, 3, generator=G, dtype=torch.float64)
MASK = torch.arange(7) < torch.tensor([[7, 5, 1], [7, 7, 3]]).unsqueeze(-1)


def test_returns_are_the_discounted_sums_of_what_follows() -> None:
    """Σ γ^l r_{t+l} + γ^(n−t) · final value, and zero on padding."""
    actual = discounted_returns(REWARD, MASK, FINAL, 0.9)
    for i in range(2):
        for e in range(3):
            n = int(MASK[i, e].sum())
            for t in range(7):
                expected = 0.0
                if t < n:
                    expected = sum(0.9 ** (s - t) * REWARD[i, e, s] for s in range(t, n))
                    expected += 0.9 ** (n - t) * FINAL[i, e]
                assert float(actual[i, e, t]) == pytest.approx(float(expected))


def test_advantages_are_the_discounted_sums_of_temporal_differences() -> None:
    """The formula of the docstring, evaluated naively."""
    actual = gae(REWARD, VALUE, FINAL, MASK, 0.9, 0.7)
    for i in range(2):
        for e in range(3):
            n = int(MASK[i, e].sum())
            after = [*VALUE[i, e, 1:n].tolist(), float(FINAL[i, e])]
            delta = [
                float(REWARD[i, e, t]) + 0.9 * after[t] - float(VALUE[i, e, t]) for t in range(n)
            ]
            for t in range(n):
                expected = sum(0.63 ** (s - t) * delta[s] for s in range(t, n))
                assert float(actual[i, e, t]) == pytest.approx(expected)


def test_with_lambda_one_the_advantage_is_the_return_minus_the_value() -> None:
    """GAE(λ = 1) = G − V."""
    expected = discounted_returns(REWARD, MASK, FINAL, 0.9) - torch.where(MASK, VALUE, 0.0)
    torch.testing.assert_close(gae(REWARD, VALUE, FINAL, MASK, 0.9, 1.0), expected)


def test_a_constant_reward_has_the_value_of_its_horizon() -> None:
    """(1 − γ^(H−t)) / (1 − γ) where the horizon ends the task, 1 / (1 − γ) bootstrapped."""
    reward, mask = torch.ones(1, 10, dtype=torch.float64), torch.ones(1, 10, dtype=torch.bool)
    left = 10 - torch.arange(10, dtype=torch.float64)
    ends = discounted_returns(reward, mask, torch.zeros(1, dtype=torch.float64), 0.9)
    torch.testing.assert_close(ends[0], (1 - 0.9**left) / 0.1)
    goes_on = discounted_returns(reward, mask, torch.full((1,), 10.0, dtype=torch.float64), 0.9)
    torch.testing.assert_close(goes_on[0], torch.full((10,), 10.0, dtype=torch.float64))


def test_nan_in_padding_changes_nothing() -> None:
    """Neither in returns, nor in advantages, nor in their normalisation."""
    bad_reward = torch.where(MASK, REWARD, torch.nan)
    bad_value = torch.where(MASK, VALUE, torch.nan)
    clean = gae(REWARD, VALUE, FINAL, MASK, 0.9, 0.7)
    torch.testing.assert_close(gae(bad_reward, bad_value, FINAL, MASK, 0.9, 0.7), clean)
    padded = torch.where(MASK, clean, torch.nan)
    torch.testing.assert_close(
        normalize_advantages(padded, MASK), normalize_advantages(clean, MASK)
    )


def test_normalised_advantages_have_mean_zero_and_deviation_one_per_task() -> None:
    """Over real steps; divided by the deviation, not by the variance."""
    normal = normalize_advantages(3 * REWARD + 2, MASK)
    for i in range(2):
        real = normal[i][MASK[i]]
        assert float(real.mean()) == pytest.approx(0.0, abs=1e-9)
        assert float(real.std(correction=0)) == pytest.approx(1.0, rel=1e-6)

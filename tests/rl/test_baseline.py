"""The linear feature baseline."""

import pytest
import torch

from metarl.rl import baseline

G = torch.Generator().manual_seed(0)


def test_it_fits_returns_that_are_linear_in_its_features() -> None:
    """Per task, ignoring padding."""
    obs = torch.randn(3, 6, 50, 4, generator=G)
    x = baseline.features(obs)
    weights = torch.randn(3, x.shape[-1], generator=G, dtype=torch.float64)
    target = baseline.predict(x, weights)
    mask = torch.rand(3, 6, 50, generator=G) < 0.8
    noisy = torch.where(mask, target, torch.nan)
    fitted = baseline.predict(x, baseline.fit(x, noisy, mask))
    torch.testing.assert_close(fitted, target, atol=1e-2, rtol=1e-3)
    assert (baseline.explained_variance(fitted, target, mask) > 0.999).all()


def test_features_are_those_of_the_paper() -> None:
    """[o, o², t, t², t³, 1] with o clipped and t in hundreds of steps."""
    x = baseline.features(torch.tensor([[20.0], [2.0]]))
    t = 0.01
    torch.testing.assert_close(x[1], torch.tensor([2.0, 4.0, t, t**2, t**3, 1.0]))
    torch.testing.assert_close(x[0, :2], torch.tensor([10.0, 100.0]))


def test_constant_observations_do_not_break_the_fit() -> None:
    """Collinear features are what the ridge is for."""
    x = baseline.features(torch.ones(2, 3, 10, 2))
    target = torch.ones(2, 3, 10)
    weights = baseline.fit(x, target, torch.ones(2, 3, 10, dtype=torch.bool))
    torch.testing.assert_close(baseline.predict(x, weights), target, atol=1e-3, rtol=0)


def test_a_value_that_is_off_by_a_constant_explains_all_variance() -> None:
    """1 − Var[y − V] / Var[y] with centred variances: a constant V explains nothing of it."""
    y = 5 + torch.tensor([[[1.0, -1.0, 2.0, -2.0, 99.0]]])
    mask = torch.tensor([[[True, True, True, True, False]]])

    def explained(value: torch.Tensor) -> float:
        return float(baseline.explained_variance(value, y, mask))

    assert explained(y + 3) == pytest.approx(1.0)
    assert explained(torch.full_like(y, 4.0)) == pytest.approx(0.0, abs=1e-6)
    assert explained(y / 2) == pytest.approx(0.75)
    assert explained(-y) == pytest.approx(-3.0)

"""Adaptation against closed forms and finite differences."""

import pytest
import torch
from torch import Tensor

from metarl.core.adapt import adapt, adapt_values, inner_rates
from metarl.core.params import Params, flatten, unflatten

A = torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=torch.float64)
THETA = {"x": torch.tensor([0.7, -1.2], dtype=torch.float64)}
CENTER = torch.tensor([0.2, 0.4], dtype=torch.float64)
ALPHA = 0.1


def quadratic(params: Params, center: Tensor) -> Tensor:
    d = params["x"] - center
    return 0.5 * d @ A @ d


def network_loss(params: Params, batch: tuple[Tensor, Tensor]) -> Tensor:
    x, y = batch
    h = torch.tanh(x @ params["w1"] + params["b1"])
    return ((h @ params["w2"]).squeeze(-1) - y).square().mean()


def network(seed: int = 0) -> tuple[Params, list[tuple[Tensor, Tensor]]]:
    g = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    params = {"w1": randn(3, 4), "b1": randn(4), "w2": randn(4, 1)}
    return params, [(randn(6, 3), randn(6)) for _ in range(4)]


@pytest.mark.parametrize("steps", [1, 3])
def test_the_meta_gradient_of_a_quadratic_is_its_closed_form(steps: int) -> None:
    """(I − αA)^k A (I − αA)^k (θ − c); first order drops the left factor."""
    rates = inner_rates(THETA, ALPHA)
    shrink = torch.linalg.matrix_power(torch.eye(2, dtype=torch.float64) - ALPHA * A, steps)

    def outer(params: Params, first_order: bool) -> Tensor:
        phi = adapt(params, [CENTER] * steps, quadratic, rates, first_order=first_order)
        return quadratic(phi, CENTER)

    distance = THETA["x"] - CENTER
    second = torch.func.grad(outer)(THETA, False)["x"]
    first = torch.func.grad(outer)(THETA, True)["x"]
    torch.testing.assert_close(second, shrink @ A @ shrink @ distance, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(first, A @ shrink @ distance, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(first, second)


def test_the_meta_gradient_equals_finite_differences_through_three_steps() -> None:
    """In θ and in the learned rates, on a network with three different batches."""
    params, batches = network()
    rates = {k: torch.full_like(p, 0.05) for k, p in params.items()}
    size = flatten(params).numel()

    def outer(vector: Tensor) -> Tensor:
        theta, alpha = unflatten(vector[:size], params), unflatten(vector[size:], rates)
        return network_loss(adapt(theta, batches[:3], network_loss, alpha), batches[3])

    start = torch.cat([flatten(params), flatten(rates)])
    exact = torch.func.grad(outer)(start)
    eps = 1e-6
    for i in range(len(start)):
        bump = torch.zeros_like(start)
        bump[i] = eps
        difference = (outer(start + bump) - outer(start - bump)) / (2 * eps)
        assert difference.item() == pytest.approx(exact[i].item(), rel=1e-5, abs=1e-8)


def test_no_batch_leaves_the_parameters() -> None:
    """Zero inner steps are the identity."""
    assert adapt(THETA, [], quadratic, inner_rates(THETA, ALPHA)) is THETA


def test_values_without_a_graph_are_the_same_values() -> None:
    """Through three steps."""
    params, batches = network()
    rates = inner_rates(params, 0.05)
    expected = adapt(params, batches[:3], network_loss, rates)
    actual = adapt_values(params, batches[:3], network_loss, rates)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=0)
    assert not any(p.requires_grad for p in actual.values())

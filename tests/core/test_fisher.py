"""Products with J and JᵀFJ against explicit Jacobians and Hessians, in float64."""

import pytest
import torch
from torch import Tensor

from metarl.core.adapt import adapt
from metarl.core.compile.linear import LinearMap
from metarl.core.fisher import Adaptation, KeptGradient, Meta, fisher_product
from metarl.core.params import Params, broadcast, flatten, map_params, unflatten, unstack
from tests.core.test_adapt import network, network_loss

STEPS = 3


def setup() -> tuple[Params, Params, list[tuple[Tensor, Tensor]]]:
    params, batches = network()
    g = torch.Generator().manual_seed(1)
    rates = map_params(
        lambda p: 0.02 + 0.1 * torch.rand(p.shape, generator=g, dtype=p.dtype), params
    )
    return params, rates, batches


def kept(params: Params, rates: Params, batches: list, first_order: bool = False) -> Adaptation:
    adaptation = Adaptation(params, network_loss, rates, first_order=first_order)
    for batch in batches[:STEPS]:
        adaptation.step(batch)
    return adaptation


def mean(params: Params, x: Tensor) -> Tensor:
    return torch.tanh(x @ params["w1"] + params["b1"]) @ params["w2"]


def outputs(params: Params, batch: tuple[Tensor, Tensor]) -> Tensor:
    return mean(params, batch[0])


def kl(means: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Between unit Gaussians; the old means are data."""
    return 0.5 * (means - batch[1]).square().mean()


def divergence(params: Params, batch: tuple[Tensor, Tensor]) -> Tensor:
    return kl(outputs(params, batch), batch)


def outer(adaptation: Adaptation, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Inputs, and the means of the adapted network."""
    return batch[0], mean(adaptation.phi, batch[0])


def random_like(params: Params, seed: int) -> Params:
    g = torch.Generator().manual_seed(seed)
    return map_params(lambda p: torch.randn(p.shape, generator=g, dtype=p.dtype), params)


def test_pushes_and_pulls_equal_the_explicit_jacobian() -> None:
    """J and Jᵀ of three steps with a rate per weight, in θ and in the rates."""
    params, rates, batches = setup()

    def phi_of(theta: Tensor, alpha: Tensor) -> Tensor:
        return flatten(
            adapt(unflatten(theta, params), batches[:STEPS], network_loss, unflatten(alpha, rates))
        )

    j_theta, j_rates = torch.func.jacrev(phi_of, argnums=(0, 1))(flatten(params), flatten(rates))
    adaptation = kept(params, rates, batches)
    v = Meta(random_like(params, 2), random_like(rates, 3))
    u = random_like(params, 4)

    pushed = flatten(adaptation.jacobian.push(v))
    torch.testing.assert_close(pushed, j_theta @ flatten(v.theta) + j_rates @ flatten(v.rates))
    pulled = adaptation.jacobian.pull(u, rates=True)
    torch.testing.assert_close(flatten(pulled.theta), j_theta.T @ flatten(u))
    torch.testing.assert_close(flatten(pulled.rates), j_rates.T @ flatten(u))


def kept_product(adaptation: Adaptation, data: tuple[Tensor, Tensor], v: Meta) -> Meta:
    gradient = KeptGradient(lambda phi: divergence(phi, data), adaptation.phi)
    return adaptation.jacobian.fisher(v, gradient.hessian_product)


def traced_product(adaptation: Adaptation, data: tuple[Tensor, Tensor], v: Meta) -> Meta:
    product = fisher_product(network_loss, outputs, kl, first_order=False)
    traced = LinearMap(product, compiled=False)
    return traced.at(adaptation.point(data), v)(v)


@pytest.mark.parametrize("product", [kept_product, traced_product])
def test_the_fisher_product_equals_the_explicit_hessian(product) -> None:
    """JᵀFJ v is the Hessian of KL(φ_old ‖ adapt(θ)) at θ_old times v."""
    params, rates, batches = setup()
    adaptation = kept(params, rates, batches)
    data = outer(adaptation, batches[3])
    size = flatten(params).numel()

    def of_meta(vector: Tensor) -> Tensor:
        theta, alpha = unflatten(vector[:size], params), unflatten(vector[size:], rates)
        return divergence(adapt(theta, batches[:STEPS], network_loss, alpha), data)

    start = torch.cat([flatten(params), flatten(rates)])
    torch.testing.assert_close(
        torch.func.grad(of_meta)(start), torch.zeros_like(start), atol=1e-12, rtol=0
    )
    hessian = torch.func.hessian(of_meta)(start)
    v = Meta(random_like(params, 5), random_like(rates, 6))
    result = product(adaptation, data, v)
    actual = torch.cat([flatten(result.theta), flatten(result.rates)])
    expected = hessian @ torch.cat([flatten(v.theta), flatten(v.rates)])
    torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-10)


def test_first_order_takes_the_jacobian_for_the_identity() -> None:
    """A pushed or pulled direction comes back as it was."""
    params, rates, batches = setup()
    adaptation = kept(params, rates, batches, first_order=True)
    u = random_like(params, 7)
    torch.testing.assert_close(flatten(adaptation.jacobian.push(Meta(u, {}))), flatten(u))
    torch.testing.assert_close(flatten(adaptation.jacobian.pull(u).theta), flatten(u))


@pytest.mark.parametrize("seed", [0, 1])
def test_stacked_tasks_give_what_each_task_gives_alone(seed: int) -> None:
    """One pass over a leading task axis equals one pass per task."""
    params, rates, _ = setup()
    tasks = [network(10 + seed + i)[1] for i in range(3)]
    stacked = [
        (torch.stack([t[k][0] for t in tasks]), torch.stack([t[k][1] for t in tasks]))
        for k in range(4)
    ]

    def summed(p: Params, batch: tuple[Tensor, Tensor]) -> Tensor:
        return torch.func.vmap(network_loss)(p, batch).sum()

    together = Adaptation(broadcast(params, 3), summed, broadcast(rates, 3))
    for batch in stacked[:STEPS]:
        together.step(batch)
    v = random_like(params, 8)
    rows = unstack(together.jacobian.push(Meta(broadcast(v, 3), {})))
    for row, batches in zip(rows, tasks, strict=True):
        alone = kept(params, rates, batches).jacobian.push(Meta(v, {}))
        torch.testing.assert_close(flatten(row), flatten(alone))

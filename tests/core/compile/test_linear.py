"""Linear functions traced once, split in two and compiled."""

import pytest
import torch
from torch import Tensor

from metarl.core.compile.linear import LinearMap

G = torch.Generator().manual_seed(0)
CALLS: list[str] = []


def hessian_vector(point: dict[str, Tensor], v: Tensor) -> dict[str, Tensor]:
    """Of Σ tanh(x)³ + the part that a matrix says."""
    CALLS.append("traced")
    x = point["x"]
    gradient = torch.func.grad(lambda y: y.tanh().pow(3).sum())
    return {"cube": torch.func.jvp(gradient, (x,), (v,))[1], "matrix": point["a"].t() @ v}


def point(seed: int) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {"x": torch.randn(5, generator=g), "a": torch.randn(5, 5, generator=g)}


@pytest.mark.parametrize("compiled", [False, True])
def test_a_split_function_is_the_function(compiled: bool) -> None:
    """At several points, for several vectors, with one trace for all of them."""
    CALLS.clear()
    split = LinearMap(hessian_vector, compiled=compiled)
    products = [split.at(point(i), torch.zeros(5)) for i in range(3)]
    assert len(CALLS) == 1
    for i, product in enumerate(products):
        for _ in range(2):
            v = torch.randn(5, generator=G)
            actual, expected = product(v), hessian_vector(point(i), v)
            torch.testing.assert_close(actual, expected)


def test_what_depends_on_the_point_alone_is_computed_once() -> None:
    """The product does not see the point change afterwards, but for its views."""
    split = LinearMap(lambda x, v: x.exp().log1p() * v, compiled=False)
    x = torch.ones(3)
    product = split.at(x, torch.zeros(3))
    x.zero_()
    torch.testing.assert_close(product(torch.ones(3)), torch.ones(3).exp().log1p())


def test_a_function_that_closes_over_a_tensor_is_refused() -> None:
    """Its value would be frozen in the graph."""
    hidden = torch.ones(3)
    split = LinearMap(lambda x, v: x * hidden * v, compiled=False)
    with pytest.raises(ValueError, match="closes over a tensor"):
        split.at(torch.ones(3), torch.zeros(3))

"""Traced functions compute what the functions do."""

import pytest
import torch
from torch import Tensor

from metarl.core.compile.traced import WORTH_TRACING, Traced


def slope(params: dict[str, Tensor], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean loss over tasks and its gradient, with an inner derivative."""

    def one(p: dict[str, Tensor], x: Tensor) -> Tensor:
        inner = torch.func.grad(lambda q: (q["a"] * x).tanh().sum())(p)
        return ((p["a"] - 0.1 * inner["a"]) * x).square().sum()

    def mean(p: dict[str, Tensor]) -> Tensor:
        return torch.func.vmap(one, (None, 0))(p, x).mean()

    gradient, loss = torch.func.grad_and_value(mean)(params)
    return loss, gradient


@pytest.mark.parametrize("compiled", [False, True])
def test_a_graph_computes_what_the_function_does(compiled: bool) -> None:
    """For several shapes, before and after they are traced; bit for bit if not compiled."""
    traced = Traced(slope, compiled=compiled)
    generator = torch.Generator().manual_seed(0)
    for tasks in (2, 3):
        for _ in range(2 if compiled else WORTH_TRACING + 2):
            params = {"a": torch.randn(4, generator=generator)}
            x = torch.randn(tasks, 4, generator=generator)
            exact = {} if compiled else {"rtol": 0.0, "atol": 0.0}
            torch.testing.assert_close(traced(params, x), slope(params, x), **exact)


def test_a_closure_over_tensors_is_refused() -> None:
    """Its value would be frozen into the graph."""
    weight = torch.ones(3)
    traced = Traced(lambda x: x * weight, compiled=True)
    with pytest.raises(ValueError, match="closes over a tensor"):
        traced(torch.ones(3))

"""Our norms equal torch's, and their second derivatives are right under vmap too."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from metarl.fewshot.networks import norms
from metarl.fewshot.networks.choices import NORMS, Norm


def example(norm: Norm, *shape: int) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*shape, dtype=torch.float64, generator=generator)
    params = {
        name: p + torch.randn(p.shape, dtype=torch.float64, generator=generator)
        for name, p in norms.init(norm, shape[1], "n").items()
    }
    return x, params


@pytest.mark.parametrize("shape", [(5, 16), (3, 16, 4, 4)])
@pytest.mark.parametrize("norm", NORMS)
def test_every_norm_equals_torchs(norm: Norm, shape: tuple[int, ...]) -> None:
    """In the form that has no running statistics."""
    x, params = example(norm, *shape)
    expected = x
    if norm == "batch":
        expected = functional.batch_norm(x, None, None, training=True)
    elif norm != "none":
        expected = functional.group_norm(x, norms.groups(16) if norm == "group" else 1)
    if params:
        wide = (-1, *[1] * (len(shape) - 2))
        expected = expected * params["n.scale"].view(wide) + params["n.shift"].view(wide)
    torch.testing.assert_close(norms.apply(norm, params, "n", x), expected)


@pytest.mark.parametrize("norm", NORMS)
def test_second_derivatives_under_vmap_equal_finite_differences(norm: Norm) -> None:
    """The gradient of a squared gradient norm, as in the outer loop of MAML."""
    x, params = example(norm, 3, 4, 8)

    def inner(x: Tensor) -> Tensor:
        return norms.apply(norm, params, "n", x).tanh().square().sum()

    def outer(x: Tensor) -> Tensor:
        return torch.func.grad(inner)(x).square().sum()

    params = {name: p[:4] for name, p in params.items()}
    gradient = torch.func.vmap(torch.func.grad(outer))(x.unsqueeze(1))
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    step = 1e-6 * direction
    for task in range(3):
        near = [outer((x + sign * step)[task].unsqueeze(0)) for sign in (1, -1)]
        expected = (near[0] - near[1]) / 2e-6
        slope = (gradient[task, 0] * direction[task]).sum()
        torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-7)

"""Adam as a function equals torch's optimiser."""

import torch

from metarl.core.adam import adam_step, no_moments


def test_it_equals_torchs_adamw_and_leaves_its_inputs() -> None:
    """Over several steps, with weight decay on some parameters."""
    generator = torch.Generator().manual_seed(0)
    params = {k: torch.randn(3, generator=generator) for k in ("a", "b")}
    start = {k: p.clone() for k, p in params.items()}
    copies = {k: p.clone().requires_grad_() for k, p in params.items()}
    groups = [{"params": [copies["a"]], "weight_decay": 0.1}, {"params": [copies["b"]]}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.0)
    moments, new = no_moments(params), params
    for _ in range(3):
        gradient = {k: torch.randn(3, generator=generator) for k in params}
        for k, p in copies.items():
            p.grad = gradient[k].clone()
        optimizer.step()
        new, moments = adam_step(
            new, gradient, moments, lr=0.01, weight_decay=0.1, decay=frozenset("a")
        )
    torch.testing.assert_close(new, {k: p.detach() for k, p in copies.items()})
    assert all(torch.equal(p, start[k]) for k, p in params.items())
    assert float(moments.steps) == 3

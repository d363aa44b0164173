"""From raw episodes to what a policy loss may see."""

import torch
from torch import Tensor

from metarl.rl.advantages import ReturnsConfig, policy_batch
from metarl.rl.data import Episodes

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

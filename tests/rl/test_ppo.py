"""The losses of PPO, by hand."""

import math

import pytest
import torch

from metarl.rl.ppo import PpoBatch, ppo_terms


def test_the_kl_that_is_told_is_that_of_the_new_policy_from_the_old_one() -> None:
    """(ρ − 1) − ln ρ has the mean KL(old ‖ new) over the old policy's actions."""
    old, new = (torch.tensor(p, dtype=torch.float64) for p in ([0.25, 0.75], [0.5, 0.5]))
    actions = torch.tensor([[0], [1], [1], [1]])  # as often as the old policy takes them
    zeros = torch.zeros(4, 1, dtype=torch.float64)
    mask = zeros == 0
    batch = PpoBatch(zeros[..., None], actions, old.log()[actions], zeros, zeros, zeros, mask)
    dist = {"logits": new.log().expand(4, 1, 2)}
    kl = ppo_terms(dist, zeros, batch, clip=0.2, value_loss="huber").approx_kl / 4
    assert float(kl) == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5))

"""Inner losses against exact expectations on problems small enough to enumerate."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from metarl.rl.data import PolicyBatch
from metarl.rl.losses import INNER_LOSSES, dice, likelihood_ratio, log_likelihood, mean_kl
from metarl.rl.policy import CategoricalMlpPolicy, GaussianMlpPolicy


class Table:
    """Logits by state: the parameters are the policy."""

    def distribution(self, params: dict[str, Tensor], obs: Tensor) -> dict[str, Tensor]:
        return {"logits": params["logits"][obs[..., 0].long()]}


POLICY = Table()
G = torch.Generator().manual_seed(0)
LOGITS = torch.randn(3, 2, generator=G, dtype=torch.float64)


def derivatives(f) -> tuple[Tensor, Tensor]:
    flat = LOGITS.reshape(-1)
    return torch.func.grad(f)(flat), torch.func.hessian(f)(flat)


def batch(obs: Tensor, action: Tensor, advantage: Tensor) -> PolicyBatch:
    dist = {k: v.detach() for k, v in POLICY.distribution({"logits": LOGITS}, obs).items()}
    return PolicyBatch(obs, action, advantage, torch.ones(action.shape, dtype=torch.bool), dist)


def expectation(loss, data: PolicyBatch, weight: Tensor):
    """The exact expectation over enumerated trajectories, as a function of the parameters."""

    def f(flat: Tensor) -> Tensor:
        params = {"logits": flat.view(3, 2)}
        each = [
            loss(params, PolicyBatch(*(_pick(field, i) for field in data)))
            for i in range(len(weight))
        ]
        return (torch.stack(each) * weight).sum()

    return f


def _pick(field, i: int):
    return (
        {k: v[i : i + 1] for k, v in field.items()} if isinstance(field, dict) else field[i : i + 1]
    )


def test_on_a_bandit_the_ratio_has_the_right_hessian_and_the_log_likelihood_a_wrong_one() -> None:
    """−E[A] differentiated exactly, against both losses in exact expectation."""
    advantage = torch.tensor([1.0, -2.0], dtype=torch.float64)
    obs = torch.zeros(2, 1, 1, dtype=torch.float64)
    data = batch(obs, torch.tensor([[0], [1]]), advantage.unsqueeze(1))
    weight = LOGITS[0].softmax(0)
    truth = derivatives(lambda flat: -(flat.view(3, 2)[0].softmax(0) * advantage).sum())
    ratio = derivatives(expectation(likelihood_ratio(POLICY), data, weight))
    naive = derivatives(expectation(log_likelihood(POLICY), data, weight))
    torch.testing.assert_close(ratio, truth)
    torch.testing.assert_close(naive[0], truth[0])
    error = (naive[1] - truth[1]).norm() / truth[1].norm()
    assert error > 0.3


def test_over_two_steps_dice_has_the_right_hessian_and_the_ratio_drops_cross_time_terms() -> None:
    """A two-step decision process: state 0, then state 1 or 2 by the first action."""
    paths = torch.tensor(list(itertools.product((0, 1), (0, 1))))
    obs = torch.stack([torch.zeros(4), 1.0 + paths[:, 0]], 1).double().unsqueeze(-1)
    rewards = torch.tensor([[0.5, 1.0], [0.5, -1.0], [-0.3, 2.0], [-0.3, 0.7]]).double()

    def probability(logits: Tensor) -> Tensor:
        first = logits[0].log_softmax(0)[paths[:, 0]]
        second = logits[1:].log_softmax(1)[paths[:, 0], paths[:, 1]]
        return (first + second).exp()

    weight = probability(LOGITS)
    # DiCE weighs the reward of a step by all decisions before it; the mean is over two steps
    truth = derivatives(lambda f: -(probability(f.view(3, 2)) * rewards.sum(1)).sum() / 2)
    to_go = rewards.flip(1).cumsum(1).flip(1)
    for baseline in (0.0, torch.tensor([0.7, -3.0])):  # none, or one of time that is far off
        advantages = batch(obs, paths, to_go - baseline)
        exact = derivatives(expectation(dice(POLICY), advantages, weight))
        torch.testing.assert_close(exact, truth)
    ratio = derivatives(expectation(likelihood_ratio(POLICY), batch(obs, paths, to_go), weight))
    torch.testing.assert_close(ratio[0], truth[0])
    cross = truth[1][:2, 2:]  # between the first decision and the second ones
    assert cross.abs().max() > 0.01
    torch.testing.assert_close(ratio[1][:2, 2:], torch.zeros_like(cross))


def gaussian_batch() -> tuple[GaussianMlpPolicy, dict[str, Tensor], PolicyBatch]:
    policy = GaussianMlpPolicy(3, 2, hidden=(5,))
    g = torch.Generator().manual_seed(3)
    params = policy.init(g)
    obs, action = torch.randn(4, 6, 3, generator=g), torch.randn(4, 6, 2, generator=g)
    mask = torch.arange(6).expand(4, 6) < torch.tensor([[6], [4], [1], [6]])
    advantage = torch.randn(4, 6, generator=g)
    dist = policy.distribution(params, obs)
    return policy, params, PolicyBatch(obs, action, advantage, mask, dist)


def test_at_the_behaviour_policy_the_kl_and_its_gradient_are_zero_and_its_hessian_is_not() -> None:
    """KL is differentiated through its second argument only."""
    policy, params, data = gaussian_batch()

    def kl(params: dict[str, Tensor], data: PolicyBatch) -> Tensor:
        return mean_kl(policy.distribution(params, data.obs), data)

    assert float(kl(params, data)) == 0.0
    gradient = torch.func.grad(kl)(params, data)
    assert all(float(g.abs().max()) < 1e-6 for g in gradient.values())
    hessian = torch.func.hessian(lambda s: kl({**params, "log_std": s}, data))(params["log_std"])
    torch.testing.assert_close(hessian, 2 * torch.eye(2))


def test_the_kl_is_that_of_the_new_policy_from_the_one_that_acted() -> None:
    """KL(N(0, 1) ‖ N(1, 2)) = ln 2 + 2/8 − 1/2, which the other way round is 5/2 − 1/2 − ln 2."""
    old = {"mean": torch.zeros(1, 1, 1), "log_std": torch.zeros(1, 1, 1)}
    new = {"mean": torch.ones(1, 1, 1), "log_std": torch.full((1, 1, 1), math.log(2))}
    nothing = torch.zeros(1, 1)
    data = PolicyBatch(nothing[..., None], nothing[..., None], nothing, nothing == 0, old)
    assert float(mean_kl(new, data)) == pytest.approx(math.log(2) - 0.25)


def test_at_the_behaviour_policy_the_ratio_is_one() -> None:
    """The surrogate is minus the mean advantage of the real steps."""
    policy, params, data = gaussian_batch()
    expected = -data.advantage[data.mask].mean()
    torch.testing.assert_close(likelihood_ratio(policy)(params, data), expected)


def test_categorical_policies_have_the_same_losses() -> None:
    """Integer actions pass the masks."""
    policy = CategoricalMlpPolicy(3, 4, hidden=(5,))
    params = policy.init(torch.Generator().manual_seed(0))
    obs = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1))
    dist = policy.distribution(params, obs)
    mask = torch.ones(2, 5, dtype=torch.bool)
    data = PolicyBatch(obs, torch.ones(2, 5, dtype=torch.int64), torch.ones(2, 5), mask, dist)
    torch.testing.assert_close(likelihood_ratio(policy)(params, data), torch.tensor(-1.0))


@pytest.mark.parametrize("name", [*INNER_LOSSES, "kl"])
@pytest.mark.parametrize("std", [1e-6, 1e-18])
def test_padding_reaches_no_gradient(name: str, std: float) -> None:
    """However unlikely it makes what padding holds, or likely, of many actions."""
    policy = GaussianMlpPolicy(3, 40, hidden=(5,), initial_std=std, min_std=1e-30)
    g = torch.Generator().manual_seed(3)
    params = policy.init(g)
    params["1.bias"] += 50 if std < 1e-6 else 0
    obs = torch.randn(2, 3, 3, generator=g)
    dist = policy.distribution(params, obs)
    action = dist["mean"] + std * torch.randn(2, 3, 40, generator=g)
    mask = torch.ones(2, 3, dtype=torch.bool)
    data = PolicyBatch(obs, action, torch.randn(2, 3, generator=g), mask, dist)

    def padded(field: Tensor) -> Tensor:
        return torch.cat([field, torch.zeros(2, 4, *field.shape[2:], dtype=field.dtype)], 1)

    longer = PolicyBatch(*map(padded, data[:4]), dist={name: padded(p) for name, p in dist.items()})
    longer = longer._replace(advantage=torch.where(longer.mask, longer.advantage, torch.nan))

    def kl(params: dict[str, Tensor], data: PolicyBatch) -> Tensor:
        return mean_kl(policy.distribution(params, data.obs), data)

    loss = kl if name == "kl" else INNER_LOSSES[name](policy)
    moved = {**params, "log_std": params["log_std"] + 0.01}
    expected = torch.func.grad(loss)(moved, data)
    assert all(torch.isfinite(p).all() for p in expected.values())
    found = torch.func.grad(loss)(moved, longer)
    for parameter, p in expected.items():
        torch.testing.assert_close(found[parameter], p, rtol=1e-4, atol=1e-5 * float(p.abs().max()))

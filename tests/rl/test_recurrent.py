"""Recurrent policies: a trial at once or step by step, and what their memory holds."""

import gymnasium
import numpy as np
import pytest
import torch
from torch.distributions import Categorical
from torch.utils._pytree import tree_leaves

from metarl.core.precision import products
from metarl.rl.cells import Gru, Lstm, make_cell
from metarl.rl.policy import entropy, kl_divergence, log_prob
from metarl.rl.recurrent import Embeddings, Output, RecurrentPolicy, View
from metarl.rl.transformer import Transformer

VIEW = View(3, 2)
CELLS = [
    Gru(8),
    Gru(8, layer_norm=True),
    Lstm(8),
    Lstm(8, layer_norm=True),
    Transformer(8, layers=2, heads=2, context=9),
]
POLICIES = {
    "plain": {},
    "embeddings": {"embeddings": Embeddings(5, 4, 3), "head": (6,)},
    "separate critic": {"separate_critic": True, "head": (6, 5), "activation": "relu"},
    "continuous": {"discrete": False},
    "several parts": {"view": View(1, 4), "choices": (3, 1)},
    "transitions": {"transitions": True, "separate_critic": True, "embeddings": (5, 4, 3)},
}


def policy(cell: object = CELLS[0], **options: object) -> RecurrentPolicy:
    return RecurrentPolicy(**{"view": VIEW, "discrete": True, "cell": cell, **options})


def views(steps: int = 7, trials: int = 4) -> torch.Tensor:
    return torch.randn(steps, trials, 3 + 2 + 2, generator=torch.Generator().manual_seed(1))


def parameters(net: RecurrentPolicy) -> dict[str, torch.Tensor]:
    """Random everywhere: at the start biases and gains are constant and hide mistakes."""
    generator = torch.Generator().manual_seed(0)
    params = net.init(generator)
    return {k: p + 0.3 * torch.randn(p.shape, generator=generator) for k, p in params.items()}


def step_by_step(net: RecurrentPolicy, params: dict, x: torch.Tensor) -> Output:
    memory, rows = net.start(x.shape[1], x.device), []
    for row in x:
        rows.append(net.step(params, row, memory))
        memory = rows[-1].memory
    dist = {k: torch.stack([row.dist[k] for row in rows]) for k in rows[0].dist}
    return Output(dist, torch.stack([row.value for row in rows]), memory)


@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.parametrize("options", POLICIES.values(), ids=list(POLICIES))
def test_a_trial_at_once_equals_a_trial_step_by_step(cell: object, options: dict) -> None:
    """Distributions, values and the final memory, to 1e-5, with and without gradients."""
    net, x = policy(cell, **options), views()
    params = {k: p.requires_grad_() for k, p in parameters(net).items()}
    whole = net.unroll(params, x, net.start(4, x.device))
    with torch.no_grad():
        steps = step_by_step(net, params, x)
    torch.testing.assert_close(steps.dist, {k: p.detach() for k, p in whole.dist.items()},
                               atol=1e-5, rtol=1e-5)  # fmt: skip
    torch.testing.assert_close(steps.value, whole.value.detach(), atol=1e-5, rtol=1e-5)
    for one, other in zip(steps.memory, whole.memory, strict=True):
        torch.testing.assert_close(one, other.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_trial_in_two_pieces_equals_a_whole_one(cell: object) -> None:
    """The memory carries all that is needed."""
    net, x = policy(cell, separate_critic=True, transitions=True), views()
    params = parameters(net)
    whole = net.unroll(params, x, net.start(4, x.device))
    first = net.unroll(params, x[:3], net.start(4, x.device))
    second = net.unroll(params, x[3:], first.memory)
    torch.testing.assert_close(second.value, whole.value[3:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(second.dist["logits"], whole.dist["logits"][3:], atol=1e-5,
                               rtol=1e-5)  # fmt: skip


def test_a_transition_shows_the_observation_before() -> None:
    """And zeros at a trial's start; done, action and reward belong to it."""
    seen = []

    class Spy(Gru):
        def unroll(self, params, x, memory):
            seen.append(x)
            return super().unroll(params, x, memory)

    net, x = policy(Spy(8), transitions=True), views()
    net.unroll(parameters(net), x, net.start(4, x.device))
    assert torch.equal(seen[0][..., 3:], x)
    assert torch.equal(seen[0][1:, :, :3], x[:-1, :, :3])
    assert not seen[0][0, :, :3].any()


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_trials_do_not_see_each_other_nor_the_future(cell: object) -> None:
    """A change in one trial's last step changes nothing else."""
    net, x = policy(cell), views()
    params = parameters(net)
    changed = x.clone()
    changed[-1, 2] += 1.0
    one, other = (net.unroll(params, v, net.start(4, v.device)).value for v in (x, changed))
    differs = (one != other).nonzero().tolist()
    assert differs == [[6, 2]]


@pytest.mark.parametrize(
    ("name", "module"), [("gru", torch.nn.GRU), ("lstm", torch.nn.LSTM)], ids=["gru", "lstm"]
)
def test_a_cell_is_that_of_torch(name: str, module: type[torch.nn.Module]) -> None:
    """The same outputs with the same weights."""
    cell = make_cell(name, 8, layer_norm=False)
    params = cell.init(5, torch.Generator().manual_seed(0))
    theirs = module(5, 8)
    with torch.no_grad():
        for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(theirs, key + "_l0").copy_(params[key])
    x = torch.randn(6, 3, 5, generator=torch.Generator().manual_seed(1))
    features, _ = cell.unroll(params, x, cell.start(3, x.device))
    torch.testing.assert_close(features, theirs(x)[0].detach())


def noisy(params: dict[str, torch.Tensor], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {k: p + 0.3 * torch.randn(p.shape, generator=generator) for k, p in params.items()}


def normal(v: np.ndarray) -> np.ndarray:
    return (v - v.mean()) / np.sqrt(v.var() + 1e-5)


def gate(params: dict[str, torch.Tensor], which: str, k: int, v: torch.Tensor) -> np.ndarray:
    """The k-th gate of four units, its sum normalised, in plain numpy."""
    rows = slice(4 * k, 4 * k + 4)
    weight, gain, bias = (params[f"{n}_{which}"][rows].numpy() for n in ("weight", "norm", "bias"))
    return normal(weight @ v.numpy()) * gain + bias


def sigmoid(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v))


def test_a_normalised_gru_equals_its_formula() -> None:
    """One step of Gru's docstring, with every gate's two sums normalised, in plain numpy."""
    cell, generator = Gru(4, layer_norm=True), torch.Generator().manual_seed(0)
    params = noisy(cell.init(3, generator), generator)
    x, h = torch.randn(3, generator=generator), torch.randn(4, generator=generator)
    r, z = (sigmoid(gate(params, "ih", k, x) + gate(params, "hh", k, h)) for k in (0, 1))
    n = np.tanh(gate(params, "ih", 2, x) + r * gate(params, "hh", 2, h))
    expected = (1 - z) * n + z * h.numpy()
    features, _ = cell.unroll(params, x[None, None], (h[None],))
    np.testing.assert_allclose(features[0, 0].numpy(), expected, atol=1e-5)


def test_a_normalised_lstm_equals_its_formula() -> None:
    """One step of Lstm's docstring, with every gate's two sums and c' normalised."""
    cell, generator = Lstm(4, layer_norm=True), torch.Generator().manual_seed(0)
    params = noisy(cell.init(3, generator), generator)
    x, h, c = (torch.randn(size, generator=generator) for size in (3, 4, 4))
    i, f, g, o = (gate(params, "ih", k, x) + gate(params, "hh", k, h) for k in range(4))
    after = sigmoid(f) * c.numpy() + sigmoid(i) * np.tanh(g)
    shown = normal(after) * params["norm_c"].numpy() + params["bias_c"].numpy()
    features, memory = cell.unroll(params, x[None, None], (h[None], c[None]))
    np.testing.assert_allclose(features[0, 0].numpy(), sigmoid(o) * np.tanh(shown), atol=1e-5)
    np.testing.assert_allclose(memory[1][0].numpy(), after, atol=1e-5)


def test_a_transformer_is_that_of_torch() -> None:
    """Its encoder of pre-norm layers under a causal mask, with the same weights."""
    cell, generator = Transformer(8, layers=2, heads=2, context=9), torch.Generator().manual_seed(0)
    params = noisy(cell.init(5, generator), generator)
    x = torch.randn(6, 3, 5, generator=generator)
    h = torch.nn.functional.linear(x, params["input.weight"], params["input.bias"])
    h = h + params["position"][:6, None]
    for i in range(2):
        layer = torch.nn.TransformerEncoderLayer(
            8, 2, dim_feedforward=32, dropout=0.0, activation="gelu", norm_first=True
        )
        theirs = {"self_attn.out_proj": "output", "linear1": "up", "linear2": "down",
                  "norm1": "norm_attention", "norm2": "norm_mlp"}  # fmt: skip
        weights = {}
        for kind in ("weight", "bias"):
            qkv = [params[f"{i}.{part}.{kind}"] for part in ("query", "key", "value")]
            weights[f"self_attn.in_proj_{kind}"] = torch.cat(qkv)
            weights |= {f"{k}.{kind}": params[f"{i}.{name}.{kind}"] for k, name in theirs.items()}
        layer.load_state_dict(weights)
        h = layer(h, torch.nn.Transformer.generate_square_subsequent_mask(6))
    expected = torch.nn.functional.layer_norm(h, (8,), params["norm.weight"], params["norm.bias"])
    features, _ = cell.unroll(params, x, cell.start(3, x.device))
    torch.testing.assert_close(features, expected.detach(), atol=1e-5, rtol=1e-5)


def test_gradients_flow_from_the_last_step_to_the_first() -> None:
    """Back-propagation goes through the whole trial."""
    net, x = policy(Gru(8)), views().requires_grad_()
    net.unroll(parameters(net), x, net.start(4, x.device)).value[-1].sum().backward()
    assert x.grad is not None
    assert (x.grad[0] != 0).any()


def test_a_view_has_an_observation_an_action_a_reward_and_a_flag() -> None:
    """Read off the spaces of a trial."""
    box, discrete = gymnasium.spaces.Box, gymnasium.spaces.Discrete
    assert View.of(box(-1, 1, (9,)), discrete(4)) == View(3, 4)
    assert View.of(box(-1, 1, (9,)), box(-1, 1, (2,))) == View(5, 2)
    assert View.of(box(-1, 1, (9,)), gymnasium.spaces.MultiDiscrete([2, 3])) == View(2, 5)
    with pytest.raises(ValueError, match="4 \\+ 2 entries after the observation"):
        View.of(box(-1, 1, (3,)), discrete(4))
    with pytest.raises(ValueError, match="--cell must be gru or lstm, got 'rnn'"):
        make_cell("rnn", 8, layer_norm=False)


def test_an_action_of_several_parts_has_independent_distributions() -> None:
    """Joint log-probability, entropy, KL and expected reward are sums over the parts."""
    options = {"view": View(0, 5), "predicts": True}
    several, flat = policy(choices=(2, 3), **options), policy(**options)  # the same weights
    params, x = parameters(several), views(steps=8)
    memory = several.start(4, x.device)
    action = torch.from_numpy(np.random.default_rng(0).integers([2, 3], size=(8, 4, 2)))
    output, expected = several.expect(params, x, memory, action)
    logits = flat.unroll(params, x, memory).dist["logits"]
    first, second = (Categorical(logits=part) for part in logits.split([2, 3], -1))
    a, b = action.unbind(-1)
    torch.testing.assert_close(
        log_prob(output.dist, action), first.log_prob(a) + second.log_prob(b)
    )
    torch.testing.assert_close(entropy(output.dist), first.entropy() + second.entropy())
    other = several.unroll(params, x + 1, memory).dist
    moved = flat.unroll(params, x + 1, memory).dist["logits"].split([2, 3], -1)
    divergences = (
        torch.distributions.kl_divergence(old, Categorical(logits=new))
        for old, new in zip((first, second), moved, strict=True)
    )
    torch.testing.assert_close(kl_divergence(output.dist, other), sum(divergences))
    alone = (flat.expect(params, x, memory, entry)[1] for entry in (a, b + 2))
    torch.testing.assert_close(expected, sum(alone))


@pytest.mark.parametrize("cell", [Gru(8), Lstm(8)], ids=str)
def test_a_gpus_single_steps_equal_a_trial_at_once(
    cell: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have a kernel of their own, which computes the same on a CPU, gradients too."""
    net, x = policy(cell), views()
    params = {k: p.requires_grad_() for k, p in parameters(net).items()}
    whole = net.unroll(params, x, net.start(4, x.device))
    monkeypatch.setattr("metarl.rl.cells._acts", lambda x: len(x) == 1)
    steps = step_by_step(net, params, x)
    torch.testing.assert_close(steps.value, whole.value, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(steps.memory, whole.memory, rtol=1e-5, atol=1e-5)
    slopes = [
        torch.autograd.grad(output.value.sum(), params["actor.cell.weight_hh"])
        for output in (steps, whole)
    ]
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("cell", [Gru(8), Lstm(8)], ids=str)
def test_single_steps_on_a_gpu_equal_a_cpus(cell: object) -> None:
    """Distributions, values and the memory, to 1e-5."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    net, x = policy(cell), views()
    params = parameters(net)
    there = {k: p.cuda() for k, p in params.items()}
    with torch.no_grad(), products("float32"):
        expected, found = step_by_step(net, params, x), step_by_step(net, there, x.cuda())
    for a, b in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-5, atol=1e-5)


def test_a_trial_beyond_the_context_is_refused() -> None:
    """At once or step by step; the message says what it needs."""
    net = policy(Transformer(8, layers=1, heads=2, context=6))
    params, x = parameters(net), views()
    with pytest.raises(ValueError, match="7 steps is longer .* of 6: train with --context 7"):
        net.unroll(params, x, net.start(4, x.device))
    memory = net.unroll(params, x[:6], net.start(4, x.device)).memory
    with pytest.raises(ValueError, match="7 steps is longer"):
        net.step(params, x[6], memory)


def test_trials_of_a_transformer_may_be_at_different_steps() -> None:
    """As when one of several environments starts again."""
    net = policy(Transformer(8, layers=2, heads=2, context=9))
    params, x = parameters(net), views()
    long = net.unroll(params, x[:4], net.start(4, x.device)).memory
    short = net.unroll(params, x[:2], net.start(4, x.device)).memory
    mixed = tuple(torch.cat([a[:1], b[1:]]) for a, b in zip(long, short, strict=True))
    value = net.step(params, x[4], mixed).value
    torch.testing.assert_close(value[:1], net.step(params, x[4], long).value[:1])
    torch.testing.assert_close(value[1:], net.step(params, x[4], short).value[1:])

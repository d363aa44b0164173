"""Few-shot MAML and its kin: meta-gradients against finite differences and closed forms."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from metarl.core.compile.traced import WORTH_TRACING
from metarl.core.mapping import Workers
from metarl.core.params import Params, global_norm, map_params
from metarl.fewshot import Conv4, Examples, Mlp, Network, Sinusoid, Split
from metarl.fewshot.data.task import take
from metarl.fewshot.learners.configs import MamlConfig
from metarl.fewshot.learners.maml import Maml, Scratch
from metarl.fewshot.networks.choices import NORMS, Norm
from metarl.fewshot.networks.network import dropout
from metarl.fewshot.training import FewShot

CONFIG = MamlConfig(inner_lr=0.1, inner_steps=2)
KIN: dict[str, dict[str, Any]] = {
    "maml": {},
    "anil": {"adapts": "head"},
    "boil": {"adapts": "body"},
    "meta-sgd": {"rates": "weight"},
    "maml++": {"rates": "layer-step", "multi_step_loss": True},
    "momentum": {"inner_momentum": 0.5, "inner_steps": 3},
    "combined objective": {"query_weight": 0.3},
    "clipped": {"inner_clip": 0.5, "later_inner_lr": 0.5},
    "no steps": {"inner_steps": 0},
}


def curves(tasks: int = 3) -> Split:
    split = Sinusoid().sample(tasks, 4, 5, "train", torch.Generator().manual_seed(0))
    return Split(*(Examples(half.x.double(), half.y.double()) for half in split))


def images(tasks: int = 2) -> Split:
    """Noise in two classes."""
    generator = torch.Generator().manual_seed(0)
    shape = (tasks, 4, 1, 8, 8)
    halves = [torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(2)]
    y = torch.tensor([0, 0, 1, 1]).expand(tasks, 4)
    return Split(*(Examples(x, y) for x in halves))


def network(norm: Norm = "none") -> Mlp:
    return Mlp(1, 1, (8, 8), "tanh", norm)


def learner(options: dict[str, Any], net: Network | None = None, kind: Any = "regression") -> Maml:
    return Maml(replace(CONFIG, **options), kind, net or network())


def start(maml: Maml) -> Params:
    """θ in float64, moved so that norms have scales of their own."""
    theta = maml.init(torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    noise = {k: 0.01 * torch.randn(p.shape, generator=generator) for k, p in theta.items()}
    return map_params(lambda p, n: (p + n).double(), theta, noise)


def trainer(maml: Maml, **how: Any) -> FewShot:
    return FewShot(maml.config, maml, **how)


def assert_slope(few_shot: FewShot, theta: Params, batch: Split) -> None:
    """The gradient along a random direction against central differences."""
    _, gradient = few_shot.gradient(theta, batch)
    generator = torch.Generator().manual_seed(3)
    way = {k: torch.randn(p.shape, generator=generator).double() for k, p in theta.items()}
    losses = [
        few_shot.gradient(map_params(lambda p, d, s=s: p + s * d, theta, way), batch)[0]
        for s in (1e-6, -1e-6)
    ]
    slope = sum((gradient[k] * way[k]).sum() for k in theta)
    torch.testing.assert_close(slope, (losses[0] - losses[1]) / 2e-6, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("options", KIN.values(), ids=list(KIN))
def test_the_meta_gradient_equals_finite_differences(options: dict[str, Any], norm: Norm) -> None:
    """Of every algorithm with every norm, vmapped."""
    maml = learner(options, network(norm))
    assert_slope(trainer(maml), start(maml), curves())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("options", [{}, {"adapts": "head"}, {"inner_momentum": 0.5}])
def test_the_first_order_gradient_equals_finite_differences(
    options: dict[str, Any], norm: Norm
) -> None:
    """Of the query loss at weights that move as the initial ones do, ∂φ/∂θ = I."""
    maml = learner({**options, "first_order": True}, network(norm))
    theta, batch = start(maml), curves()
    _, gradient = trainer(maml).gradient(theta, batch)
    generator = torch.Generator().manual_seed(3)
    way = {k: torch.randn(p.shape, generator=generator).double() for k, p in theta.items()}

    def loss(step: float) -> Tensor:
        tasks = [take(batch, t) for t in range(3)]
        moved = (
            map_params(lambda p, d: p + step * d, maml.adapt(theta, task.support), way)
            for task in tasks
        )
        pairs = zip(moved, tasks, strict=True)
        return torch.stack([maml.network_loss(phi, task.query) for phi, task in pairs]).mean()

    slope = sum((gradient[k] * way[k]).sum() for k in theta)
    expected = (loss(1e-6) - loss(-1e-6)) / 2e-6
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("pooling", ["stride", "max"])
@pytest.mark.parametrize("norm", NORMS)
def test_the_meta_gradient_of_convolutions_equals_finite_differences(
    norm: Norm, pooling: Any
) -> None:
    """With cross-entropy, one task at a time and vmapped."""
    side = 8 if pooling == "stride" else 16
    net = Conv4((1, side, side), 2, 8, pooling, norm)
    maml = learner({"inner_steps": 1}, net, "classification")
    batch = images()
    if side == 16:
        batch = Split(*(Examples(h.x.repeat(1, 1, 1, 2, 2), h.y) for h in batch))
    for how in ("loop", "vmap"):
        assert_slope(trainer(maml, how=how), start(maml), batch)


@pytest.mark.parametrize("options", KIN.values(), ids=list(KIN))
def test_all_ways_to_map_over_tasks_agree(options: dict[str, Any]) -> None:
    """vmap, the graph that is compiled of it, loop and threads."""
    maml, batch = learner(options), curves()
    theta = start(maml)
    loss, expected = trainer(maml, how="loop").gradient(theta, batch)
    traced = trainer(maml)
    for _ in range(WORTH_TRACING):  # from then on the graph is used
        traced.gradient(theta, batch)
    torch.testing.assert_close(traced.gradient(theta, batch), (loss, expected))
    for how in ({"how": "vmap"}, {"how": "threads", "workers": Workers(2)}):
        other, gradient = trainer(maml, **how).gradient(theta, batch)
        torch.testing.assert_close(other, loss)
        torch.testing.assert_close(gradient, expected)


def test_the_compiled_gradient_equals_the_plain_one() -> None:
    """In float32, for two shapes."""
    maml = learner({})
    theta = maml.init(torch.Generator().manual_seed(1))
    for tasks in (2, 3):
        batch = Sinusoid().sample(tasks, 4, 5, "train", torch.Generator().manual_seed(0))
        expected = trainer(maml).gradient(theta, batch)
        torch.testing.assert_close(trainer(maml, compiled=True).gradient(theta, batch), expected)


def test_first_order_differs_by_the_hessian_of_the_inner_loss() -> None:
    """On a linear model: the meta-gradient is (I − αA) times the first-order one."""
    linear = Mlp(1, 1, ())
    batch = curves(1)
    exact, first = (learner({"inner_steps": 1, "first_order": f}, linear) for f in (False, True))
    theta = start(exact)
    order = ["head.weight", "head.bias"]
    full, cheap = (
        torch.cat([trainer(m).gradient(theta, batch)[1][k].flatten() for k in order])
        for m in (exact, first)
    )
    x = batch.support.x[0]
    features = torch.cat([x, torch.ones_like(x)], 1)
    hessian = 2 * features.T @ features / len(x)
    expected = (torch.eye(2).double() - CONFIG.inner_lr * hessian) @ cheap
    torch.testing.assert_close(full, expected)
    assert not torch.allclose(full, cheap)


def test_fixed_rates_make_metasgd_maml() -> None:
    """The same loss and the same gradient of the weights."""
    plain, learned = learner({}), learner({"rates": "weight"})
    theta = start(plain)
    rates = {f"rate.{k}": torch.full_like(p, CONFIG.inner_lr) for k, p in theta.items()}
    loss, gradient = trainer(plain).gradient(theta, curves())
    other, with_rates = trainer(learned).gradient(theta | rates, curves())
    torch.testing.assert_close(other, loss)
    torch.testing.assert_close({k: with_rates[k] for k in gradient}, gradient)


def test_anil_and_maml_are_one_where_all_is_head() -> None:
    """And BOIL stands still there."""
    linear = Mlp(1, 1, ())
    anil, maml, boil = (learner({"adapts": part}, linear) for part in ("head", "all", "body"))
    theta = start(maml)
    torch.testing.assert_close(
        trainer(anil).gradient(theta, curves()), trainer(maml).gradient(theta, curves())
    )
    adapted = boil.adapt(theta, take(curves(), 0).support)
    assert all(torch.equal(adapted[k], theta[k]) for k in theta)


def test_adaptation_moves_what_it_should() -> None:
    """ANIL the head, BOIL all else."""
    support = take(curves(), 0).support
    for part in ("head", "body"):
        maml = learner({"adapts": part})
        theta = start(maml)
        adapted = maml.adapt(theta, support)
        moved = {k for k in theta if not torch.equal(theta[k], adapted[k])}
        assert moved == {k for k in theta if k.startswith("head.") == (part == "head")}


def test_dropout_is_per_task_however_tasks_are_mapped() -> None:
    """The same masks for support and queries; masks of ones change nothing; none are learned."""
    maml, batch = learner({}), curves()
    theta = start(maml)
    generator = torch.Generator().manual_seed(0)
    masks = map_params(torch.Tensor.double, dropout(maml.network, 0.5, 3, generator))
    assert {k: p.shape for k, p in masks.items()} == {
        "layer0.keep": (3, 8),
        "layer1.keep": (3, 8),
    }
    one, other = (trainer(maml, how=how).gradient(theta, batch, masks) for how in ("loop", "vmap"))
    torch.testing.assert_close(one, other)
    assert one[1].keys() == theta.keys()
    plain = trainer(maml).gradient(theta, batch)
    assert not torch.allclose(plain[0], one[0])
    ones = map_params(torch.ones_like, masks)
    torch.testing.assert_close(trainer(maml).gradient(theta, batch, ones), plain)


def test_dropout_keeps_the_expected_feature() -> None:
    """A share of the features is zero, the others are scaled up."""
    masks = dropout(network(), 0.25, 4000, torch.Generator().manual_seed(0))
    keep = masks["layer0.keep"]
    assert keep.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float((keep == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert float(keep.mean()) == pytest.approx(1.0, abs=0.02)
    assert dropout(network(), 0.0, 3, torch.Generator()) == {}


def test_a_gradient_that_is_not_finite_leaves_the_state() -> None:
    """It is counted."""
    maml = learner({})
    few_shot = trainer(maml)
    state = few_shot.init(0)
    batch = Sinusoid().sample(2, 4, 5, "train", torch.Generator().manual_seed(0))
    broken = batch._replace(query=Examples(batch.query.x * torch.nan, batch.query.y))
    after, metrics = few_shot.iteration(state, broken)
    assert metrics["outer/non_finite"] == 1.0
    assert all(torch.equal(after.theta[k], state.theta[k]) for k in state.theta)


def test_training_learns_sine_waves() -> None:
    """A hundred iterations already lower the error after one step."""
    maml = Maml(MamlConfig(inner_lr=0.01), "regression", Mlp(1, 1))
    few_shot, source = FewShot(maml.config, maml), Sinusoid()
    state = few_shot.init(0)
    held_out = source.sample(50, 10, 10, "test", torch.Generator().manual_seed(99))

    def error(theta: Params) -> Tensor:
        return few_shot.gradient(theta, held_out)[0]

    before = error(state.theta)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        state, _ = few_shot.iteration(state, source.sample(25, 10, 10, "train", generator))
    assert error(state.theta) < before - 0.1


def test_step_weights_move_from_all_steps_to_the_last() -> None:
    """Equal at first, in the end the loss is that after the last step."""
    options = {"multi_step_loss": True, "multi_step_iterations": 10, "inner_steps": 3}
    maml = learner(options)
    theta, task = start(maml), take(curves(), 0)

    def loss(iteration: int) -> Tensor:
        return maml.loss(theta | maml.constants(iteration), task)

    torch.testing.assert_close(
        loss(0), learner({**options, "multi_step_iterations": 0}).loss(theta, task)
    )
    last = learner({"inner_steps": 3}).loss(theta, task)
    torch.testing.assert_close(loss(10), last)
    torch.testing.assert_close(loss(99), last)
    torch.testing.assert_close(loss(5), (loss(0) + loss(10)) / 2)


def test_only_weights_of_the_network_decay() -> None:
    """Not learned step sizes; and the control without training does not change at all."""
    batch = Sinusoid().sample(2, 4, 5, "train", torch.Generator().manual_seed(0))
    for options in ({"rates": "weight"}, {"rates": "layer-step"}):
        steps = []
        for decay in (0.0, 100.0):
            few_shot = trainer(learner({**options, "weight_decay": decay}))
            steps.append(few_shot.iteration(few_shot.init(0), batch)[0].theta)
        differ = {k for k in steps[0] if not torch.equal(steps[0][k], steps[1][k])}
        assert differ == {f"{layer}.weight" for layer in ("layer0", "layer1", "head")}
    scratch = Scratch(MamlConfig(inner_steps=0, weight_decay=100.0), "regression", network())
    few_shot = FewShot(scratch.config, scratch)
    state = few_shot.init(0)
    after, _ = few_shot.iteration(state, batch)
    assert all(torch.equal(after.theta[k], state.theta[k]) for k in state.theta)


def test_later_steps_are_shorter_and_long_gradients_are_clipped() -> None:
    """The steps of training are as they were."""
    plain, slow = learner({"inner_steps": 1}), learner({"inner_steps": 1, "later_inner_lr": 0.5})
    theta, support = start(plain), take(curves(), 0).support
    one, two = (plain.adapt(theta, support, k) for k in (1, 2))
    assert all(torch.equal(p, one[k]) for k, p in slow.adapt(theta, support, 1).items())
    halfway = map_params(lambda a, b: (a + b) / 2, one, two)
    torch.testing.assert_close(slow.adapt(theta, support, 2), halfway)

    def moved(clip: float) -> Tensor:
        phi = learner({"inner_steps": 1, "inner_clip": clip}).adapt(theta, support)
        return global_norm(map_params(torch.sub, phi, theta))

    length = float(moved(0.0)) / CONFIG.inner_lr
    torch.testing.assert_close(moved(length / 2), moved(0.0) / 2)
    torch.testing.assert_close(moved(length * 2), moved(0.0))


def test_pre_training_in_classification_tells_all_training_classes_apart() -> None:
    """By a joint head: labels of a task say nothing about another one."""
    maml = Maml(MamlConfig(inner_steps=0), "classification", Mlp(2, 2, (8,)), joint=5)
    theta, batch = start(maml), images()
    batch = Split(*(Examples(half.x[:, :, 0, 0, :2], half.y) for half in batch))
    classes = torch.tensor([[4, 1], [0, 3]])
    loss, gradient = trainer(maml).gradient(theta, batch, {"joint.classes": classes})
    features = maml.network.features(theta, batch.query.x.flatten(0, 1))
    logits = features @ theta["joint.weight"].T + theta["joint.bias"]
    labels = torch.tensor([4, 4, 1, 1, 0, 0, 3, 3])
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, labels))
    assert float(gradient["head.weight"].abs().max()) == 0
    both = Maml(MamlConfig(query_weight=0.5), "classification", Mlp(2, 2, (8,)), joint=5)
    alone = Maml(MamlConfig(), "classification", Mlp(2, 2, (8,)))
    shared = {k: p for k, p in theta.items() if not k.startswith("joint.")}
    sum_, _ = trainer(both).gradient(theta, batch, {"joint.classes": classes})
    torch.testing.assert_close(sum_, trainer(alone).gradient(shared, batch)[0] + 0.5 * loss)
    assert not alone.joint


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_outer_gradient_descent_with_a_falling_step_size(schedule: Any) -> None:
    """From all of it to nothing in the last iteration."""
    options = {"outer_optimizer": "sgd", "lr": 0.5, "lr_schedule": schedule, "iterations": 4}
    few_shot = trainer(learner(options))
    batch = Sinusoid().sample(2, 4, 5, "train", torch.Generator().manual_seed(0))
    state = few_shot.init(0)
    _, gradient = few_shot.gradient(state.theta, batch)
    after, _ = few_shot.iteration(state._replace(iterations=torch.tensor(3.0)), batch)
    lr = 0.5 if schedule == "constant" else 0.125
    expected = map_params(lambda p, g: p - lr * g, state.theta, gradient)
    torch.testing.assert_close(after.theta, expected)

"""Learners that read the support set, or differentiate adaptation in ways of their own."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sklearn.linear_model import Ridge

from metarl.core.params import Params, flatten, map_params
from metarl.fewshot import Conv4, Examples, Mlp, Network, Sinusoid, Split
from metarl.fewshot.data.task import Kind, take
from metarl.fewshot.learners import learned_optimizer
from metarl.fewshot.learners.cnp import Cnp
from metarl.fewshot.learners.configs import (
    CnpConfig,
    FilmConfig,
    ImamlConfig,
    LearnedOptimizerConfig,
    MamlConfig,
    MatchingNetConfig,
    R2D2Config,
    SnailConfig,
)
from metarl.fewshot.learners.film import Film
from metarl.fewshot.learners.imaml import FAR, Imaml
from metarl.fewshot.learners.learned_optimizer import LearnedOptimizer
from metarl.fewshot.learners.maml import Maml
from metarl.fewshot.learners.matching_net import MatchingNet
from metarl.fewshot.learners.r2d2 import R2D2
from metarl.fewshot.learners.snail import Snail
from metarl.fewshot.networks.choices import NORMS, Norm
from metarl.fewshot.training import FewShot

SHOTS, QUERIES, WAYS = 3, 2, 2
SMALL = {"code": 6, "encoder": (8,)}
Make = Callable[[Kind, Network], Any]
READERS: dict[str, Make] = {
    "cnp": lambda kind, net: Cnp(CnpConfig(**SMALL, decoder=(8,)), kind, net),
    "film": lambda kind, net: Film(FilmConfig(**SMALL), kind, net),
    "snail": lambda kind, net: Snail(SnailConfig(shots=SHOTS, channels=4, keys=4), kind, net),
    "r2d2": lambda kind, net: R2D2(R2D2Config(), kind, net),
    "matching-net": lambda kind, net: MatchingNet(MatchingNetConfig(), kind, net),
    "learned-optimizer": lambda kind, net: LearnedOptimizer(
        LearnedOptimizerConfig(inner_steps=2, units=4), kind, net
    ),
}


def batch(kind: Kind, images: bool = False, tasks: int = 3) -> Split:
    generator = torch.Generator().manual_seed(0)
    ways = WAYS if kind == "classification" else 1
    shape = (1, 8, 8) if images else (2,)
    halves = []
    for n in (SHOTS, QUERIES):
        x = torch.randn(tasks, ways * n, *shape, generator=generator).double()
        y = torch.randn(tasks, n, 1, generator=generator).double()
        if kind == "classification":
            y = torch.arange(ways).repeat_interleave(n).expand(tasks, -1)
        halves.append(Examples(x, y))
    return Split(*halves)


def network(kind: Kind, norm: Norm = "layer", images: bool = False) -> Network:
    outputs = WAYS if kind == "classification" else 1
    if images:
        return Conv4((1, 8, 8), outputs, 8, "stride", norm)
    return Mlp(2, outputs, (8,), "tanh", norm)


def start(learner: Any) -> Params:
    return map_params(torch.Tensor.double, learner.init(torch.Generator().manual_seed(1)))


def possible(name: str, kind: Kind) -> bool:
    return name != "matching-net" or kind == "classification"


CASES = [
    (name, kind, images)
    for name in READERS
    for kind in ("regression", "classification")
    for images in (False, True)
    if possible(name, kind)
]


@pytest.mark.parametrize(("name", "kind", "images"), CASES)
def test_gradients_agree_however_tasks_are_mapped(name: str, kind: Kind, images: bool) -> None:
    """And, but for the learned optimiser whose inputs are constants, with finite differences."""
    learner = READERS[name](kind, network(kind, images=images))
    theta, split = start(learner), batch(kind, images)
    loop, vmapped = (FewShot(learner.config, learner, how=h) for h in ("loop", "vmap"))
    loss, gradient = loop.gradient(theta, split)
    torch.testing.assert_close(vmapped.gradient(theta, split), (loss, gradient))
    assert all(bool(torch.isfinite(g).all()) for g in gradient.values())
    if name == "learned-optimizer":
        return
    generator = torch.Generator().manual_seed(3)
    way = {k: torch.randn(p.shape, generator=generator).double() for k, p in theta.items()}
    near = [
        loop.gradient(map_params(lambda p, d, s=s: p + s * d, theta, way), split)[0]
        for s in (1e-6, -1e-6)
    ]
    slope = sum((gradient[k] * way[k]).sum() for k in theta)
    torch.testing.assert_close(slope, (near[0] - near[1]) / 2e-6, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["cnp", "film", "r2d2", "matching-net"])
@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_the_order_of_the_support_set_does_not_matter(name: str, kind: Kind) -> None:
    """It is a set."""
    if not possible(name, kind):
        return
    learner = READERS[name](kind, network(kind))
    theta, task = start(learner), take(batch(kind), 0)
    order = torch.randperm(len(task.support.y), generator=torch.Generator().manual_seed(0))
    shuffled = Examples(task.support.x[order], task.support.y[order])
    outputs = [
        learner.predict(theta, learner.adapt(theta, support), task.query.x)
        for support in (task.support, shuffled)
    ]
    torch.testing.assert_close(outputs[0], outputs[1])


@pytest.mark.parametrize("name", READERS)
def test_no_query_sees_another(name: str) -> None:
    """Alone or together, the answer is the same; unless a norm takes statistics over them."""
    learner = READERS[name]("classification", network("classification"))
    theta, task = start(learner), take(batch("classification"), 0)
    adapted = learner.adapt(theta, task.support)
    together = learner.predict(theta, adapted, task.query.x)
    alone = [learner.predict(theta, adapted, x.unsqueeze(0)) for x in task.query.x]
    torch.testing.assert_close(torch.cat(alone), together)
    assert not learner.transductive
    assert READERS[name]("classification", network("classification", "batch", True)).transductive


@pytest.mark.parametrize("name", ["cnp", "snail"])
@pytest.mark.parametrize("option", [{"norm": "batch"}, {"dropout": 0.5}, {"hidden": (9,)}])
def test_options_that_nothing_would_use_are_refused(name: str, option: dict[str, Any]) -> None:
    """Inputs that are not images are taken as they are; images are embedded."""
    make, config = {"cnp": (Cnp, CnpConfig), "snail": (Snail, SnailConfig)}[name]
    with pytest.raises(ValueError, match=f"uses --{next(iter(option))} for images only"):
        make(config(**option), "regression", network("regression"))
    make(config(**option), "regression", network("regression", images=True))


def test_a_cnps_deviation_is_that_of_its_loss() -> None:
    """−log N(y; mean, deviation), without its constant."""
    learner = READERS["cnp"]("regression", network("regression"))
    theta, task = start(learner), take(batch("regression"), 0)
    code = learner.adapt(theta, task.support)
    x, y = (torch.cat(pair) for pair in zip(*task, strict=True))
    normal = torch.distributions.Normal(
        learner.predict(theta, code, x), learner.deviation(theta, code, x)
    )
    constant = 0.5 * torch.log(torch.tensor(2 * torch.pi))
    torch.testing.assert_close(
        learner.loss(theta, task), (-normal.log_prob(y)).mean() - constant.double()
    )


def test_attention_is_a_distribution_over_the_support_set() -> None:
    """Whose votes are the answer."""
    learner = READERS["matching-net"]("classification", network("classification"))
    theta, task = start(learner), take(batch("classification"), 0)
    memory = learner.adapt(theta, task.support)
    weights = learner.attention(theta, memory, task.query.x)
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(task.query.x)).double())
    votes = torch.stack([weights[:, task.support.y == k].sum(-1) for k in range(WAYS)], -1)
    logits = learner.predict(theta, memory, task.query.x)
    torch.testing.assert_close(logits.exp(), votes, rtol=0, atol=1e-5)


def test_r2d2_is_ridge_regression() -> None:
    """(XᵀX + λI)⁻¹ XᵀY, the other side of Woodbury's identity."""
    learner = READERS["r2d2"]("regression", network("regression"))
    theta, task = start(learner), take(batch("regression"), 0)
    theta["log_ridge"] = torch.tensor(0.7, dtype=torch.float64).log()
    x = torch.cat([learner.network.features(theta, task.support.x), torch.ones(SHOTS, 1)], -1)
    eye = torch.eye(x.shape[1], dtype=torch.float64)
    expected = torch.linalg.solve(x.T @ x + 0.7 * eye, x.T @ task.support.y)
    torch.testing.assert_close(learner.adapt(theta, task.support), expected)


def far_off(scale: float) -> tuple[R2D2, Params, Split]:
    """Inputs of single precision that many deviations off, each twenty times."""
    learner = R2D2(R2D2Config(), "regression", Mlp(2, 1, (40,)))
    rows = [[part.float().repeat(1, 20, 1) for part in half] for half in batch("regression")]
    halves = (Examples(scale * x, y) for x, y in rows)
    return learner, learner.init(torch.Generator().manual_seed(0)), Split(*halves)


@pytest.mark.parametrize("scale", [1.0, 1e3, 3e4, 1e6])
def test_r2d2_is_ridge_regression_for_inputs_that_are_far_off(scale: float) -> None:
    """Though single precision loses λ beside the squares of features."""
    learner, theta, tasks = far_off(scale)
    task = take(tasks, 0)
    x = torch.cat([learner.network.features(theta, task.support.x), torch.ones(20 * SHOTS, 1)], -1)
    ridge = Ridge(1.0, fit_intercept=False, solver="svd").fit(x.double(), task.support.y.double())
    head = learner.adapt(theta, task.support).double().squeeze(-1)
    expected = torch.from_numpy(ridge.coef_).reshape(-1)
    assert float((head - expected).norm() / expected.norm()) < 1e-3


@pytest.mark.parametrize("scale", [1e12, 1e30])
def test_r2d2_leaves_updates_out_that_it_cannot_solve_for(scale: float) -> None:
    """No number comes of them, and no error."""
    learner, theta, tasks = far_off(scale)
    assert bool(learner.adapt(theta, take(tasks, 0).support).isnan().all())
    trainer = FewShot(learner.config, learner)
    state, metrics = trainer.iteration(trainer.init(0), tasks)
    assert float(metrics["outer/non_finite"]) == 1.0
    assert all(bool(p.isfinite().all()) for p in state.theta.values())


def test_r2d2_scales_its_outputs_and_offsets_them() -> None:
    """α X' W + β, with what was learned."""
    own = {"scale": torch.tensor(3.0).double(), "offset": torch.tensor(-2.0).double()}
    for kind in ("regression", "classification"):
        learner = READERS["r2d2"](kind, network(kind))
        theta, task = start(learner), take(batch(kind), 0)
        head = learner.adapt(theta, task.support)
        plain = learner.predict(theta, head, task.query.x)
        scaled = learner.predict(theta | own, head, task.query.x)
        torch.testing.assert_close(scaled, 3 * plain - 2)


@pytest.mark.parametrize("name", ["r2d2", "matching-net"])
def test_a_class_without_examples_is_never_the_answer(name: str) -> None:
    """Whatever the query looks like; the logits of the others are as without it."""
    learner = READERS[name]("classification", network("classification"))
    many = READERS[name]("classification", Mlp(2, 7, (8,), "tanh", "layer"))
    theta, split = start(learner), batch("classification")
    support = take(split, 0).support
    x = 100 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0)).double()
    logits = many.predict(theta, many.adapt(theta, support), x)
    expected = learner.predict(theta, learner.adapt(theta, support), x)
    torch.testing.assert_close(logits[:, :WAYS], expected)
    assert bool((logits.argmax(-1) < WAYS).all())
    for how in ("loop", "vmap"):
        gradient = FewShot(many.config, many, how=how).gradient(theta, split)[1]
        assert all(bool(torch.isfinite(g).all()) for g in gradient.values())


@pytest.mark.parametrize(("name", "kind", "images"), CASES)
def test_every_meta_parameter_is_learned(name: str, kind: Kind, images: bool) -> None:
    """But for what cancels: what all logits of a softmax share."""
    learner = READERS[name](kind, network(kind, images=images))
    _, gradient = FewShot(learner.config, learner, how="loop").gradient(
        start(learner), batch(kind, images)
    )
    still = {k for k, g in gradient.items() if float(g.abs().max()) < 1e-12}
    cancels = {"r2d2": ("offset",), "film": ("row.head.bias", "row.layer0.bias")}
    shared = cancels.get(name, ()) if kind == "classification" else ()
    assert not [k for k in still if k not in shared and not k.endswith("key.bias")]


def test_snail_is_causal() -> None:
    """What comes later in a sequence changes nothing before it."""
    learner = READERS["snail"]("regression", network("regression"))
    theta = start(learner)
    width = next(p for k, p in theta.items() if k.endswith("block0.attention.key.weight")).shape[1]
    x = torch.randn(1, 4, width, generator=torch.Generator().manual_seed(0)).double()
    changed = x.clone()
    changed[:, 3] += 1.0
    for layer in (
        lambda s: learner._attention(theta, "block0.attention", s),
        lambda s: learner._convolution(
            theta | {"c.weight": torch.ones(8, width, 2).double(), "c.bias": torch.zeros(8)},
            "c", s, 2,
        ),
    ):  # fmt: skip
        one, other = layer(x), layer(changed)
        torch.testing.assert_close(one[:, :3], other[:, :3], rtol=0, atol=0)
        assert not torch.allclose(one[:, 3], other[:, 3])


def test_film_makes_a_network_per_task() -> None:
    """Scales, shifts and the last layer differ between tasks; all else is shared."""
    learner = READERS["film"]("regression", network("regression"))
    theta, split = start(learner), batch("regression")
    one, other = (learner.adapt(theta, take(split, t).support) for t in (0, 1))
    differ = {k for k in one if not torch.equal(one[k], other[k])}
    assert differ == {"layer0.scale", "layer0.shift", "head.weight", "head.bias"}


def test_the_implicit_gradient_equals_the_explicit_one_at_convergence() -> None:
    """Differentiated through the whole path of the same proximal descent."""
    kind: Kind = "regression"
    config = ImamlConfig(inner_lr=0.05, inner_steps=400, proximity=2.0, cg_iterations=60)
    learner = Imaml(config, kind, Mlp(2, 1, (4,), "tanh"))
    theta, task = start(learner), take(batch(kind), 0)
    _, implicit = learner.task_gradient(theta, task)

    def outer(theta: Params) -> torch.Tensor:
        phi = theta
        for _ in range(config.inner_steps):
            gradient = torch.func.grad(learner.network_loss)(phi, task.support)
            phi = map_params(
                lambda p, g, t: p - config.inner_lr * (g + config.proximity * (p - t)),
                phi, gradient, theta,
            )  # fmt: skip
        return learner.network_loss(phi, task.query)

    explicit = torch.func.grad(outer)(theta)
    torch.testing.assert_close(flatten(implicit), flatten(explicit), rtol=1e-4, atol=1e-5)


def test_implicit_gradients_are_taken_one_task_at_a_time() -> None:
    """Conjugate gradient ends when a task is solved."""
    learner = Imaml(ImamlConfig(), "regression", Mlp(2, 1))
    with pytest.raises(ValueError, match="one task at a time"):
        FewShot(learner.config, learner)


def test_the_learned_optimiser_takes_gradients_as_constants() -> None:
    """With a zero output layer it stands still, and its gradient reaches that layer alone."""
    learner = READERS["learned-optimizer"]("regression", network("regression"))
    theta, split = start(learner), batch("regression")
    for name in ("out.weight", "out.bias"):
        theta[f"optimizer.{name}"] = torch.zeros_like(theta[f"optimizer.{name}"])
    plain = Maml(MamlConfig(inner_steps=0), "regression", learner.network)
    shared = {k: p for k, p in theta.items() if not k.startswith("optimizer.")}
    _, expected = FewShot(plain.config, plain).gradient(shared, split)
    _, gradient = FewShot(learner.config, learner).gradient(theta, split)
    torch.testing.assert_close({k: gradient[k] for k in shared}, expected)
    assert float(gradient["optimizer.out.weight"].abs().max()) > 0
    assert float(gradient["optimizer.gates.weight"].abs().max()) == 0


def slope(loss: Callable[[Params], torch.Tensor], theta: Params, way: Params) -> torch.Tensor:
    """Of the loss along a direction, by central differences."""
    near = [loss(map_params(lambda p, d, s=s: p + s * d, theta, way)) for s in (1e-6, -1e-6)]
    return (near[0] - near[1]) / 2e-6


def direction(theta: Params) -> Params:
    generator = torch.Generator().manual_seed(3)
    return {k: torch.randn(p.shape, generator=generator).double() for k, p in theta.items()}


def product(gradient: Params, way: Params) -> torch.Tensor:
    return torch.stack([(gradient[k] * way[k]).sum() for k in way]).sum()


@pytest.mark.parametrize("norm", NORMS)
def test_the_implicit_gradient_equals_finite_differences(norm: Norm) -> None:
    """Of the outer loss at the inner minimum, with every norm."""
    config = ImamlConfig(inner_lr=0.01, inner_steps=250, proximity=10.0, cg_iterations=60)
    learner = Imaml(config, "regression", Mlp(2, 1, (8,), "tanh", norm))
    theta, task = start(learner), take(batch("regression"), 0)
    assert float(learner.residual(theta, task.support)) < 1e-5
    way = direction(theta)
    _, gradient = learner.task_gradient(theta, task)
    expected = slope(lambda t: learner.loss(t, task), theta, way)
    torch.testing.assert_close(product(gradient, way), expected, rtol=1e-3, atol=1e-5)


def test_by_default_adaptation_comes_near_its_minimum_on_sine_waves() -> None:
    """There the implicit gradient holds; after half as many steps it is further off."""
    learner = Imaml(ImamlConfig(), "regression", Mlp(1, 1, (40, 40), "tanh"))
    theta = learner.init(torch.Generator().manual_seed(0))
    tasks = Sinusoid().sample(9, 10, 10, "train", torch.Generator().manual_seed(1))
    residuals = [float(learner.residual(theta, take(tasks, t).support)) for t in range(9)]
    assert sorted(residuals)[4] < FAR / 2
    early = Imaml(ImamlConfig(inner_steps=2), "regression", learner.network)
    assert float(early.residual(theta, take(tasks, 0).support)) > residuals[0]


@pytest.mark.parametrize("norm", NORMS)
def test_the_learned_optimisers_gradient_equals_finite_differences(
    norm: Norm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the loss whose inner gradients are the constants that they were, with every norm."""
    learner = READERS["learned-optimizer"]("regression", Mlp(2, 1, (8,), "tanh", norm))
    theta, task = start(learner), take(batch("regression"), 0)
    split = Split(*(Examples(half.x[None], half.y[None]) for half in task))
    _, gradient = FewShot(learner.config, learner, how="loop").gradient(theta, split)
    shown: list[torch.Tensor] = []
    see = learned_optimizer._shown
    monkeypatch.setattr(learned_optimizer, "_shown", lambda g: shown.append(see(g)) or shown[-1])
    learner.loss(theta, task)
    assert len(shown) == learner.config.inner_steps
    constants = itertools.cycle(shown[:])
    monkeypatch.setattr(learned_optimizer, "_shown", lambda g: next(constants))
    way = direction(theta)
    expected = slope(lambda t: learner.loss(t, task), theta, way)
    torch.testing.assert_close(product(gradient, way), expected, rtol=1e-5, atol=1e-7)

"""What adaptation changes in a network."""

import pytest
import torch

from metarl.fewshot import Conv4, Mlp, Sinusoid
from metarl.fewshot.analyse import analyse, linear_cka
from metarl.fewshot.learners.configs import MamlConfig, ProtoNetConfig
from metarl.fewshot.learners.maml import Maml
from metarl.fewshot.learners.protonet import ProtoNet
from metarl.fewshot.networks.network import Network


def test_cka_is_one_for_rotations_and_small_for_noise() -> None:
    """Whatever their scale and offset."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(200, 4, generator=generator)
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator)).Q
    torch.testing.assert_close(linear_cka(a, 3 * a @ turn + 5), torch.tensor(1.0))
    assert float(linear_cka(a, torch.randn(200, 4, generator=generator))) < 0.1


@pytest.mark.parametrize(
    ("part", "still"), [("head", {"layer0", "layer1"}), ("body", {"head"}), ("all", set())]
)
def test_layers_that_do_not_adapt_do_not_move(part: str, still: set[str]) -> None:
    """ANIL's features stay the same, BOIL's head stands still."""
    network = Mlp(1, 1, (8, 8))
    learner = Maml(MamlConfig(inner_lr=0.1, adapts=part), "regression", network)  # type: ignore[arg-type]
    theta = learner.init(torch.Generator().manual_seed(0))
    tasks = Sinusoid().sample(4, 5, 30, "test", torch.Generator().manual_seed(1))
    changes = {c.layer: c for c in analyse(learner, network, theta, tasks)}
    assert list(changes) == ["layer0", "layer1", "head"]
    assert {name for name, c in changes.items() if c.moved == 0.0} == still
    if part == "head":
        assert changes["layer1"].similarity == pytest.approx(1.0, abs=1e-5)


def test_learners_without_weights_of_their_own_are_refused() -> None:
    """A prototype is not a layer."""
    network = Mlp(1, 2, (4,))
    learner = ProtoNet(ProtoNetConfig(), "classification", network)
    tasks = Sinusoid().sample(1, 5, 5, "test", torch.Generator().manual_seed(1))
    tasks = tasks._replace(support=tasks.support._replace(y=torch.tensor([[0, 0, 1, 1, 1]])))
    with pytest.raises(ValueError, match="that adapt a network's weights"):
        analyse(learner, network, learner.init(torch.Generator().manual_seed(0)), tasks)


@pytest.mark.parametrize("network", [Mlp(3, 2, (4, 5)), Conv4((1, 16, 16), 2, 4, "max")])
def test_the_last_activations_are_features_and_outputs(network: Network) -> None:
    """By the names of the layers."""
    params = network.init(torch.Generator().manual_seed(0))
    x = torch.randn(6, 3) if isinstance(network, Mlp) else torch.randn(6, 1, 16, 16)
    found = network.activations(params, x)
    *_, features, outputs = found.values()
    torch.testing.assert_close(features, network.features(params, x))
    torch.testing.assert_close(outputs, network(params, x))
    assert set(found) == {name.split(".")[0] for name in params}

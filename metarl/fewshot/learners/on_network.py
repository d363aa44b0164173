"""What all few-shot learners share: a configuration, the kind of targets and a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from torch import Tensor

from metarl.core.params import Params
from metarl.fewshot import losses
from metarl.fewshot.config import FewShotConfig
from metarl.fewshot.data.task import Examples, Kind
from metarl.fewshot.networks.network import Network

Config = TypeVar("Config", bound=FewShotConfig)


class OnNetwork(Generic[Config]):
    """Part of a `FewShotLearner`; its defaults are those of learners that take no steps."""

    takes_steps = False
    any_ways = False
    vmaps = True
    classifies_only = False
    drops_out = True
    undecayed: tuple[str, ...] = ()
    joint = 0

    def __init__(self, config: Config, kind: Kind, network: Network) -> None:
        """Take hyper-parameters, and the network whose weights are learned.

        Args:
            config: hyper-parameters.
            kind: of the targets.
            network: whose weights are learned.

        Raises:
            ValueError: regression, for a learner that only classifies, or dropout for one whose
                adaptation would take the masks for weights.
        """
        if config.dropout and not self.drops_out:
            raise ValueError(f"{type(self).__name__} has no dropout: leave --dropout at 0")
        if self.classifies_only and kind != "classification":
            name = type(self).__name__
            raise ValueError(f"{name} classifies: its data must have classes, not numbers")
        self.config = config
        self.kind: Kind = kind
        self.network = network
        self.transductive = network.norm == "batch"

    def constants(self, iteration: int) -> Params:
        """None."""
        return {}

    def network_loss(self, params: Params, examples: Examples) -> Tensor:
        """Compute the loss of the network with such weights, a scalar."""
        return losses.loss(self.kind, self.network(params, examples.x), examples.y)


def refuse_unused(config: FewShotConfig, algo: str, *names: str) -> None:
    """Refuse options that nothing would use, but for their defaults; raises ValueError."""
    for name in names:
        default = getattr(FewShotConfig, name)
        if getattr(config, name) != default:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{algo} uses {option} for images only: leave it at {default}")


class AdaptsWeights(OnNetwork[Config], ABC):
    """A learner whose adapted state is φ, the network's weights for one task, reached by steps."""

    takes_steps = True

    @abstractmethod
    def path(self, theta: Params, support: Examples, steps: int) -> list[Params]:
        """φ_0 … φ_steps on the support set."""

    def predict(self, theta: Params, adapted: Params, x: Tensor) -> Tensor:
        """Outputs `[N, C]` of inputs `[N, …]`."""
        return self.network(adapted, x)

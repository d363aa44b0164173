"""All that RL² keeps from one iteration to the next."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from metarl.core.params import Params


class Rl2State(NamedTuple):
    """Everything that meta-training changes."""

    params: Params  # of actor and critic
    first: Params  # Adam's first moments
    second: Params  # and its second ones
    counters: Params  # steps of Adam and meta-iterations so far, scalars
    rewards: Params  # statistics of returns; empty without reward normalisation
    normalizer: Params  # statistics of observations; empty without their normalisation

    def tensors(self) -> dict[str, Tensor]:
        """A flat dictionary for a checkpoint."""
        groups = self._asdict().items()
        return {f"{group}/{name}": p for group, params in groups for name, p in params.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Rl2State:
        """The inverse of `tensors`."""
        named = sorted(tensors.items())  # a file does not keep the order that sums depend on
        groups: dict[str, Params] = {group: {} for group in cls._fields}
        for key, p in named:
            group, name = key.split("/", 1)
            groups[group][name] = p
        return cls(**groups)

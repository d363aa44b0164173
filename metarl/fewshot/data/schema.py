"""What is kept of data in a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from metarl.fewshot.data.classes import ClassSource
from metarl.fewshot.data.scaling import Scaling
from metarl.fewshot.data.task import Kind, Source


@dataclass(frozen=True)
class Schema:
    """A learner must know this of its data; it suffices to use what was learned without them."""

    name: str
    kind: Kind
    x_shape: tuple[int, ...]
    outputs: int
    units: Scaling = field(default_factory=Scaling)
    train_classes: int = 0
    """Classes that there are to train on, those made by rotations too; 0 in regression."""

    @classmethod
    def of(cls, source: Source) -> Schema:
        """Read it off a source's tasks."""
        classes = len(source.class_names("train")) if isinstance(source, ClassSource) else 0
        return cls(source.name, source.kind, source.x_shape, source.outputs, source.units, classes)

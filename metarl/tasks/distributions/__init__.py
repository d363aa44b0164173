"""What a task parameter may be: distributions with bounds, a unit and a JSON form."""

from metarl.tasks.distributions.base import Distribution
from metarl.tasks.distributions.choice import Choice
from metarl.tasks.distributions.numbers import LogUniform, Normal, Uniform
from metarl.tasks.distributions.plane import InDisk, OnCircle
from metarl.tasks.distributions.probabilities import Beta, Dirichlet

__all__ = [
    "Beta",
    "Choice",
    "Dirichlet",
    "Distribution",
    "InDisk",
    "LogUniform",
    "Normal",
    "OnCircle",
    "Uniform",
]

"""What a task parameter may be: distributions with bounds, a unit and a JSON form."""

from envs.distributions.base import Distribution
from envs.distributions.choice import Choice
from envs.distributions.numbers import LogUniform, Normal, Uniform
from envs.distributions.plane import InDisk, OnCircle
from envs.distributions.probabilities import Beta, Dirichlet

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

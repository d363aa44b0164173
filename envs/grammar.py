"""Distributions from their JSON form and from the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from envs.distributions import Choice, Distribution, Uniform

DISTRIBUTIONS: dict[str, Callable[..., Distribution]] = {"uniform": Uniform, "choice": Choice}
"""By the name that their JSON form gives."""


def from_json(data: Mapping[str, Any]) -> Distribution:
    """The distribution that `to_json` wrote.

    Raises:
        ValueError: an unknown distribution, or arguments that it does not have.
    """
    rest = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    name = rest.pop("distribution", None)
    if name not in DISTRIBUTIONS:
        raise ValueError(f"unknown distribution {name!r} (known: {', '.join(DISTRIBUTIONS)})")
    try:
        return DISTRIBUTIONS[name](**rest)
    except TypeError as error:
        raise ValueError(f"distribution {name!r}: {error}") from None


VARY = "write NAME=uniform(LOW,HIGH) or NAME=choice(A,B,…), for example g=uniform(6,14)"


def parse_vary(texts: Iterable[str]) -> dict[str, Distribution]:
    """What `--vary g=uniform(6,14) --vary model.opt.gravity[2]=choice(-9.81,-3.7)` says.

    Raises:
        ValueError: malformed; shows the grammar.
    """
    parameters: dict[str, Distribution] = {}
    for text in texts:
        match = re.fullmatch(r"\s*([\w.\[\]]+)\s*=\s*(\w+)\s*\(([^()]*)\)\s*", text)
        try:
            if match is None:
                raise ValueError("it is malformed")
            name, kind, arguments = match.groups()
            values = [float(a) for a in arguments.split(",")]
            if name in parameters:
                raise ValueError(f"{name!r} is given twice")
            parameters[name] = _distribution(kind, values)
        except ValueError as error:
            raise ValueError(f"--vary {text!r}: {error}; {VARY}") from None
    return parameters


def _distribution(kind: str, values: list[float]) -> Distribution:
    if kind == "choice":
        return Choice(tuple(values))
    if kind != "uniform":
        raise ValueError(f"there is no distribution {kind!r}")
    if len(values) != 2:
        raise ValueError(f"uniform takes two numbers, not {len(values)}")
    return Uniform(values[0], values[1])

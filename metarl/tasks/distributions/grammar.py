"""Distributions from their JSON form and from the command line."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from metarl.tasks import distributions as d
from metarl.tasks.distributions.base import Distribution, json_name

KINDS: tuple[type[Distribution], ...] = (
    d.Uniform,
    d.LogUniform,
    d.Normal,
    d.Choice,
    d.OnCircle,
    d.InDisk,
    d.Beta,
    d.Dirichlet,
)
TYPED: dict[str, Callable[..., Distribution]] = {
    "uniform": d.Uniform,
    "loguniform": d.LogUniform,
    "normal": d.Normal,
    "choice": lambda *values: d.Choice(values),
}
"""What the command line takes."""


def from_json(data: Mapping[str, Any]) -> Distribution:
    """The distribution that `to_json` wrote.

    Raises:
        ValueError: an unknown distribution, or arguments that it does not have.
    """
    rest = {k: _tuples(v) for k, v in data.items()}
    kinds = {json_name(kind): kind for kind in KINDS}
    name = rest.pop("distribution", None)
    if name not in kinds:
        raise ValueError(f"unknown distribution {name!r} (known: {', '.join(kinds)})")
    try:
        return kinds[name](**rest)
    except TypeError as error:
        raise ValueError(f"distribution {name!r}: {error}") from None


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


VARY = (
    "write NAME=uniform(LOW,HIGH), loguniform(LOW,HIGH), normal(MEAN,STD) or choice(A,B,…), for "
    "example g=uniform(6,14); a choice may be of numbers, of true and false, of words or of "
    "vectors [1,2]"
)
_TOKEN = re.compile(r"""\s*("[^"]*"|'[^']*'|[\w./:@+-]+|[\[\],])\s*""")


def parse_vary(texts: Iterable[str]) -> dict[str, Distribution]:
    """Read what `--vary g=uniform(6,14) --vary model.opt.gravity[2]=choice(-9.81,-3.7)` says.

    Raises:
        ValueError: malformed; shows the grammar.
    """
    parameters: dict[str, Distribution] = {}
    for text in texts:
        match = re.fullmatch(r"\s*([\w.\[\]]+)\s*=\s*(\w+)\s*\((.*)\)\s*", text)
        try:
            if match is None:
                raise ValueError("it is malformed")
            name, kind, arguments = match.groups()
            if name in parameters:
                raise ValueError(f"{name!r} is given twice")
            parameters[name] = _typed(kind, _values(arguments))
        except ValueError as error:
            raise ValueError(f"--vary {text!r}: {error}; {VARY}") from None
    return parameters


def _typed(kind: str, values: list[Any]) -> Distribution:
    if kind not in TYPED:
        raise ValueError(f"there is no distribution {kind!r}")
    if kind == "choice":
        return TYPED[kind](*values)
    if len(values) != 2:
        raise ValueError(f"{kind} takes two numbers, not {len(values)}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{kind} takes two numbers, not {value!r}")
    return TYPED[kind](*map(float, values))


def _values(text: str) -> list[Any]:
    """The values between commas, of which those in brackets are vectors."""
    written, at, after_value = "", 0, False
    while at < len(text):
        match = _TOKEN.match(text, at)
        is_value = match is not None and match[1] not in ("[", "]", ",")
        if match is None or (is_value and after_value):
            raise ValueError(f"it is malformed at {text[at:]!r}")
        written += repr(_value(match[1])) if is_value else match[1]
        at, after_value = match.end(), is_value
    try:
        values: list[Any] = ast.literal_eval(f"[{written}]")
    except SyntaxError:
        raise ValueError("it is malformed") from None
    return [_tuples(value) for value in values]


def _value(text: str) -> Any:
    """A truth value, a whole number, a number or a word, which may stand in quotes."""
    if text[0] in "'\"":
        return text[1:-1]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if not math.isfinite(number):
            raise ValueError(f"{text} is not finite")
        return number
    return text

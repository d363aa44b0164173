"""Frozen dataclasses to JSON and back; what does not fit is refused with a readable message."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Config = TypeVar("Config")


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint for an unknown name: `did you mean 'tasks'? valid: episodes, tasks`."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    return f"{hint}valid: {', '.join(names) or 'none'}"


def to_json(config: Any) -> dict[str, Any]:
    """A dataclass as JSON: tuples become lists, nested dataclasses become objects.

    Raises:
        ValueError: a number is not finite, or a value has no JSON form; names the field.
        TypeError: `config` is not a dataclass instance.
    """
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"expected an instance of a dataclass, got {config!r}")
    return {
        field.name: _encode(getattr(config, field.name), field.name)
        for field in dataclasses.fields(config)
    }


def from_json(cls: type[Config], data: Mapping[str, Any]) -> Config:
    """The dataclass that `to_json` wrote; fields that are left out take their defaults.

    Args:
        cls: a dataclass of bools, ints, floats, strings, `Literal`s, optionals, tuples, lists,
            string-keyed dicts and such dataclasses.
        data: the JSON object.

    Raises:
        ValueError: an unknown key (names the nearest valid ones), a missing one, a value of the
            wrong type, a number that is not finite, or what the dataclass itself refuses.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{cls.__name__} must be a JSON object, got {data!r}")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise ValueError(f"{cls.__name__} has no field {key!r}; {nearest(key, fields)}")
    for name, field in fields.items():
        missing = dataclasses.MISSING
        if field.default is missing and field.default_factory is missing and name not in data:
            raise ValueError(f"{cls.__name__} needs a value for {name!r}")
    hints = get_type_hints(cls)
    return cls(**{key: _decode(value, hints[key], key) for key, value in data.items()})


def _encode(value: Any, where: str) -> Any:
    """One value to JSON; `where` names it in messages."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return _finite(value, where)
    if isinstance(value, tuple | list):
        return [_encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {str(key): _encode(item, f"{where}.{key}") for key, item in value.items()}
    raise ValueError(f"{where} has no JSON form: {value!r}")


def _decode(value: Any, hint: Any, where: str) -> Any:
    """One JSON value to the type `hint`; `where` names it in messages."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _decode_union(value, args, where)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{where} must be one of {', '.join(map(str, args))}, got {value!r}")
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, value)
    if origin in (tuple, list) and isinstance(value, list | tuple):
        return _decode_sequence(value, origin, args, where)
    if origin is dict and isinstance(value, dict):
        return {key: _decode(item, args[1], f"{where}.{key}") for key, item in value.items()}
    return _decode_scalar(value, hint, where)


def _decode_union(value: Any, options: tuple[Any, ...], where: str) -> Any:
    """The first member of the union that takes the value."""
    for option in options:
        try:
            return _decode(value, option, where)
        except ValueError:
            continue
    expected = " or ".join(_name(option) for option in options)
    raise ValueError(f"{where} must be {expected}, got {value!r}")


def _decode_sequence(
    value: list[Any] | tuple[Any, ...], origin: type, args: tuple[Any, ...], where: str
) -> Any:
    """A list or a tuple, of any length, `tuple[int, ...]`, or of a fixed one, `tuple[int, str]`."""
    any_length = origin is list or args[1:] == (...,)
    hints = (args[0],) * len(value) if any_length else args
    if len(hints) != len(value):
        raise ValueError(f"{where} must have {len(hints)} entries, got {list(value)!r}")
    items = zip(value, hints, strict=True)
    return origin(_decode(item, hint, f"{where}[{i}]") for i, (item, hint) in enumerate(items))


def _decode_scalar(value: Any, hint: Any, where: str) -> Any:
    """A bool, int, float, str or None; an int is taken for a float, a bool never for a number."""
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(float(value), where)
    if hint in (None, type(None)) and value is None:
        return None
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise ValueError(f"{where} must be {_name(hint)}, got {value!r}")


def _finite(value: float, where: str) -> float:
    """The value, unless it is nan or infinite."""
    if not math.isfinite(value):
        raise ValueError(f"{where} must be finite, got {value}")
    return value


def _name(hint: Any) -> str:
    """A type as a message names it."""
    if hint in (None, type(None)):
        return "null"
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)

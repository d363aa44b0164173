"""One label in two spellings is a mistake, not two classes."""

from __future__ import annotations

import unicodedata
from decimal import Decimal, InvalidOperation


def refuse_spellings(source: str, names: list[str], what: str) -> None:
    """Refuse two names that are equal as numbers, or but for blanks; raises ValueError.

    Args:
        source: its name, for the message.
        names: different ones.
        what: they are of, classes or tasks.
    """
    seen: dict[Decimal | str, str] = {}
    for name in names:
        other = seen.setdefault(_meaning(name), name)
        if other != name:
            raise ValueError(
                f"{source} has the {what} {other!r} and {name!r}, which look like one in two "
                "spellings: write both alike, or give them names that differ in more"
            )


def as_number(name: str) -> Decimal | None:
    """Return the very number that a name spells, however large; None where it is not one."""
    text = _without_blanks(name)
    if "_" in text:  # part of numbers in Python alone
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return None if number.is_nan() else number  # which is equal to nothing


def _meaning(name: str) -> Decimal | str:
    """Return what two spellings share: the number that is meant, or all but the blanks."""
    number = as_number(name)
    return _without_blanks(name) if number is None else number


def _without_blanks(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split())

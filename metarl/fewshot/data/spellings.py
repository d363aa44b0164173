"""One label in two spellings is a mistake, not two classes."""

from __future__ import annotations

import unicodedata


def refuse_spellings(source: str, names: list[str], what: str) -> None:
    """Refuse two names that are equal as numbers, or but for blanks; raises ValueError.

    Args:
        source: its name, for the message.
        names: different ones.
        what: they are of, classes or tasks.
    """
    seen: dict[float | str, str] = {}
    for name in names:
        other = seen.setdefault(_meaning(name), name)
        if other != name:
            raise ValueError(
                f"{source} has the {what} {other!r} and {name!r}, which look like one in two "
                "spellings: write both alike, or give them names that differ in more"
            )


def _meaning(name: str) -> float | str:
    """Return what two spellings share: the number that is meant, or all but the blanks."""
    text = "".join(unicodedata.normalize("NFKC", name).split())
    try:
        number = float(text)
    except ValueError:
        return text
    return number if number == number else text  # not a number is equal to nothing

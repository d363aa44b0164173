"""The README says what is there."""

from pathlib import Path

ROOT = Path(__file__).parent.parent


def listed() -> list[tuple[str, str]]:
    """Path and description of every line of the file tree."""
    text = (ROOT / "README.md").read_text().partition("## Files\n\n")[2]
    above: list[str] = []
    found = []
    for line in text.splitlines():
        name, _, description = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip()) - 4) // 2
        above[depth:] = [name.rstrip("/")]
        found.append(("/".join(above), description.strip()))
    return found


def test_the_file_tree_has_a_line_for_every_file() -> None:
    """No file is missing, none is named that is not there."""
    tops = ("envs", "metarl", "scripts", "examples")
    files = [p for top in tops for p in (ROOT / top).rglob("*.py") if p.name != "__init__.py"]
    files += (ROOT / "docs").glob("*.md")
    names = [path for path, _ in listed()]
    assert {p.relative_to(ROOT).as_posix() for p in files} <= set(names)
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert len(names) == len(set(names))


def test_every_file_is_described() -> None:
    """Folders whose name says all are the only exception."""
    assert [path for path, text in listed() if not text] == ["examples", "docs"]

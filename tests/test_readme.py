"""The pages say what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def listed() -> list[tuple[str, str]]:
    """Path and description of every line of the file tree."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    text = page.partition("## Every file\n\n")[2].partition("\n## ")[0]
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
    names = [path for path, _ in listed()]
    assert {p.relative_to(ROOT).as_posix() for p in files} <= set(names)
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert len(names) == len(set(names))


def test_every_file_is_described() -> None:
    """The folder of examples, whose name says all, is the only exception."""
    assert [path for path, text in listed() if not text] == ["examples"]


def test_equations_are_where_the_page_says() -> None:
    """Every name in the table of docs/rl2.md is defined in a file of its row or an earlier one."""
    page = (ROOT / "docs" / "rl2.md").read_text().partition("## Equations")[2].partition("\n## ")[0]
    rows = [line for line in page.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 15
    sources = ""
    for row in rows:
        names = re.findall(r"`([^`]+)`", row.split("|")[-2])
        assert names, row
        sources += "".join((ROOT / name).read_text() for name in names if name.endswith(".py"))
        for name in names:
            parts = [] if name.endswith(".py") else name.split(".")
            assert all(re.search(rf"(def|class) {part}\b", sources) for part in parts), name

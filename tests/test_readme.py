"""The pages say what is there."""

import re
from importlib import import_module
from pathlib import Path

import pytest

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
    """In one line each, short enough to be read in a terminal."""
    assert [path for path, text in listed() if not 3 < len(text) < 77] == []


@pytest.mark.parametrize("page", ["rl2", "maml_trpo"])
def test_equations_are_where_the_page_says(page: str) -> None:
    """Every name in a page's table of equations is defined in a file of its row or one before."""
    text = (ROOT / "docs" / f"{page}.md").read_text().partition("## Equation")[2]
    rows = [row for row in text.partition("\n## ")[0].splitlines() if row.startswith("|")][2:]
    assert len(rows) > 10
    sources = ""
    for row in rows:
        names = re.findall(r"`([^`]+)`", row.split("|")[-2])
        assert names or "the same" in row, row
        sources += "".join((ROOT / name).read_text() for name in names if name.endswith(".py"))
        for name in names:
            parts = [] if name.endswith(".py") else name.split(".")
            assert all(re.search(rf"(def|class) {part}\b", sources) for part in parts), name


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
THEIRS = {"path/to/file.py", "my_bandit.py", "FILE.py"}
"""Files that stand for those of a user."""


@every_page
def test_every_path_on_a_page_exists(page: Path) -> None:
    """Files and folders by their paths from the top, scripts by their names too."""
    text = page.read_text().partition("## Every file")[0]
    text = re.sub(r"\[[^]]*\]\([^)]*\)", "", text)  # links, which are the next test's
    tops = "metarl|envs|scripts|examples|docs|tests"
    paths = {*re.findall(r"[\w./-]+\.py\b", text)}
    paths |= {*re.findall(rf"(?<![\w./])(?:{tops})/[\w./-]*[\w/]", text)}
    paths = {path for path in paths - THEIRS if not re.fullmatch(r"metarl/\w+-v\d+", path)}
    places = ROOT, ROOT / "scripts"
    assert [p for p in sorted(paths) if not any((top / p).exists() for top in places)] == []


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading that it has."""
    wrong = []
    for path, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", page.read_text()):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            wrong.append(f"{path}#{anchor}")
    assert wrong == []


def anchors(text: str) -> set[str]:
    """The links of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@every_page
def test_every_dotted_name_on_a_page_exists(page: Path) -> None:
    """Modules and what they hold, and what examples import of them."""
    text = page.read_text()
    names = set(re.findall(r"\bmetarl(?:_envs)?(?:\.\w+)+", text)) - {"metarl.families"}
    for module, imported in re.findall(r"^ *from (metarl[\w.]*) import (.+)$", text, re.MULTILINE):
        names |= {f"{module}.{name.strip()}" for name in imported.split(",")}
    assert [name for name in sorted(names) if not exists(name)] == []


def exists(name: str) -> bool:
    """Whether a module of this name can be imported, or holds the last part of it."""
    module, _, attribute = name.rpartition(".")
    try:
        import_module(name)
    except ModuleNotFoundError:
        return bool(module) and exists(module) and hasattr(import_module(module), attribute)
    return True

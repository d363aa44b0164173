"""What a docstring must begin with."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
FRAGMENTS = (
    *("Args", "Returns", "Raises ", "Same", "Also", "As ", "Of ", "That ", "Those "),
    *("What ", "How ", "Whether ", "Where ", "Which "),
)


def test_docstrings_begin_with_a_sentence() -> None:
    """None begins like the middle of one, and the first paragraph of each ends with a stop."""
    wrong = []
    files = (p for top in ("metarl", "envs", "scripts") for p in (ROOT / top).rglob("*.py"))
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and (
                doc := ast.get_docstring(node)
            ):
                first = doc.partition("\n\n")[0].rstrip()
                if doc.startswith(FRAGMENTS) or not first.endswith((".", ":", "?")):
                    wrong.append(f"{path.relative_to(ROOT)}, line {node.lineno}: {first}")
    assert wrong == []

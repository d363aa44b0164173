"""Which package may import which: the imports are walked, not believed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Layer -> the layers of this repository that it may import, besides itself. The longest name that
# fits a module is its layer, so that a new part of metarl must be given its place here.
BELOW = {
    "metarl.core",
    "metarl.tasks",
    "metarl.experiment",
    "metarl.rl",
    "metarl.fewshot",
    "metarl.algorithms",
    "metarl.protocols",
    "metarl.metaworld",
    "metarl.plain",
    "metarl.runs",
    "metarl.agent",
    "metarl.training",
}
COUNTED = {"metarl.experiment.seeding", "metarl.experiment.config"}
USERS = {"metarl.tasks.guard", "metarl.tasks.modules"}  # code of users, whatever it makes
MAY_IMPORT: dict[str, set[str]] = {
    "metarl": {"metarl.agent", "metarl.fewshot", "metarl.tasks"},
    "metarl.core": set(),
    "metarl.tasks": USERS,
    "metarl.tasks.guard": set(),
    "metarl.tasks.modules": {"metarl.tasks.guard"},
    "metarl.experiment": set(),
    "metarl.experiment.seeding": set(),
    "metarl.experiment.config": set(),
    "metarl_envs": {"metarl.tasks"},
    "metarl.rl": {"metarl.core"},
    "metarl.fewshot": {"metarl.core", "metarl.experiment", *COUNTED, *USERS},
    "metarl.protocols": {"metarl.rl", "metarl.tasks", "metarl.metaworld"},
    "metarl.metaworld": {"metarl.rl", "metarl.tasks"},
    "metarl.plain": {"metarl.protocols", "metarl.tasks"},
    "metarl.algorithms": {
        "metarl.core",
        "metarl.rl",
        "metarl.tasks",
        "metarl.protocols",
        "metarl.metaworld",
        *COUNTED,
    },
    "metarl.runs": {
        "metarl.algorithms",
        "metarl.tasks",
        "metarl.experiment",
        "metarl.protocols",
        "metarl.rl",
        *COUNTED,
    },
    "metarl.agent": BELOW - {"metarl.training", "metarl.fewshot"} | COUNTED | USERS,
    "metarl.training": BELOW | COUNTED | USERS,
    "metarl.cli": BELOW | COUNTED | USERS,
    "scripts": {*BELOW, *COUNTED, *USERS, "metarl", "metarl.cli"},
}
# Packages from outside that a layer must not import.
MUST_NOT_IMPORT: dict[str, set[str]] = {
    "metarl.tasks": {"stable_baselines3", "sb3_contrib", "tensorboard", "rich", "tyro"},
    "metarl_envs": {"stable_baselines3", "sb3_contrib", "tensorboard", "rich", "tyro", "torch"},
    "metarl.rl": {"stable_baselines3", "sb3_contrib", "mujoco", "tensorboard", "rich", "tyro"},
    "metarl.fewshot": {"stable_baselines3", "sb3_contrib", "mujoco", "gymnasium", "rich", "tyro"},
    "metarl.algorithms": {"stable_baselines3", "sb3_contrib", "mujoco", "tensorboard", "rich"},
    "metarl.experiment": {"mujoco", "gymnasium", "sb3_contrib"},
    "metarl.training": {"mujoco", "rich", "tyro", "sb3_contrib"},
}
CORE_MAY_IMPORT = {
    "collections",
    "contextlib",
    "concurrent",
    "dataclasses",
    "math",
    "signal",
    "threading",
    "torch",
    "typing",
}
FORBIDDEN = {"envs", "pickle", "cloudpickle", "dill", "joblib", "random"}


def modules() -> list[Path]:
    """Every Python file of the packages and scripts."""
    tops = ("metarl", "envs/metarl_envs", "scripts")
    return sorted(p for top in tops for p in (ROOT / top).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "envs" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str | None:
    """The longest declared layer that holds the module; None for packages from outside.

    `metarl` itself is `metarl/__init__.py` only, so that a new part of it must be declared.
    """
    layers = [name for name in MAY_IMPORT if module == name or module.startswith(name + ".")]
    layer = max(layers, key=len, default=None)
    if layer == "metarl" and module != "metarl":
        raise AssertionError(f"{module} belongs to no declared layer")
    return layer


def imports(source: str, module: str, is_package: bool) -> set[str]:
    """Every module that a file imports, anywhere in it, `import_module("…")` included."""
    package = module if is_package else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            found |= {_imported(base, alias.name) for alias in node.names}
        elif isinstance(node, ast.Call) and _called(node) == "import_module":
            found |= {str(name.value) for name in node.args[:1] if isinstance(name, ast.Constant)}
    return found


def _imported(base: str, name: str) -> str:
    """`from metarl import core` imports metarl.core; `from metarl.core import x` metarl.core."""
    top = ROOT / "envs" if base.startswith("metarl_envs") else ROOT
    deeper = top.joinpath(*base.split("."), name)
    return f"{base}.{name}" if deeper.is_dir() or deeper.with_suffix(".py").is_file() else base


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """The imports of a module that its layer does not allow."""
    layer = layer_of(module)
    assert layer is not None, f"{module} belongs to no declared layer"
    wrong = []
    for name in sorted(imports(source, module, is_package)):
        top, target = name.split(".")[0], layer_of(name)
        if target is None:
            in_core = layer == "metarl.core" and top not in CORE_MAY_IMPORT | {"__future__"}
            if in_core or top in MUST_NOT_IMPORT.get(layer, set()) | FORBIDDEN | {"tests"}:
                wrong.append(f"{module} imports {name}")
        elif target != layer and target not in MAY_IMPORT[layer]:
            wrong.append(f"{module} imports {name}")
    return wrong


def test_every_module_imports_only_what_its_layer_may() -> None:
    """The arrows of docs/architecture.md; metarl imports its families by entry point alone."""
    found = [
        message
        for path in modules()
        for message in violations(path.read_text(), module_name(path), path.stem == "__init__")
    ]
    assert found == []


def test_algorithms_and_what_they_stand_on_neither_print_nor_write() -> None:
    """They return metrics; only `metarl.experiment` and the commands show or store anything.

    Some modules read a user's files: images, arrays and tables.
    """
    found = []
    readers = {f"metarl.fewshot.data.{name}" for name in ("images", "arrays", "tables")}
    for path in modules():
        name = module_name(path)
        if layer_of(name) in ("metarl.experiment", "metarl.cli", "scripts") or name in readers:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _called(node) in ("print", "write_text", "open"):
                found.append(f"{module_name(path)}, line {node.lineno} calls {_called(node)}")
    assert found == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("metarl.core.x", "import numpy"),
        ("metarl.core.x", "from metarl.rl import data"),
        ("metarl.core.x", "def f():\n    from ..rl.data import Episodes"),
        ("metarl.core.x", "from metarl import rl"),
        ("metarl.core.x", "importlib.import_module('metarl.rl')"),
        ("metarl.rl.x", "import metarl.tasks.family"),
        ("metarl.rl.x", "from metarl.fewshot.data.task import Split"),
        ("metarl.algorithms.x", "from metarl.experiment import run"),
        ("metarl.algorithms.x", "import metarl"),
        ("metarl.experiment.x", "from metarl.algorithms.maml_trpo.algorithm import MamlTrpo"),
        ("metarl.experiment.x", "import envs"),
        ("metarl.tasks.x", "from metarl.rl.data import BatchedEnv"),
        ("metarl.tasks.x", "from stable_baselines3.common.env_checker import check_env"),
        ("metarl.experiment.x", "import pickle"),
        ("metarl.agent", "import metarl.cli.train"),
        ("metarl.tasks.x", "import metarl_envs"),
        ("metarl.cli.x", "from metarl_envs.bandit import BANDITS"),
        ("metarl_envs.x", "import torch"),
    ],
)
def test_the_walk_finds_what_is_forbidden(module: str, source: str) -> None:
    """Absolute, relative, nested and dynamic imports are all seen."""
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("metarl.core.x", "import math, torch\nfrom torch.func import vmap\nfrom . import params"),
        ("metarl.rl.x", "import numpy, gymnasium\nfrom metarl.core.adapt import adapt"),
        ("metarl.algorithms.x", "from ..rl.data import Episodes"),
        ("metarl.experiment.x", "from stable_baselines3.common.logger import Logger"),
        ("metarl.agent", "from metarl import runs\nfrom metarl.experiment import checkpoint"),
        (
            "metarl.algorithms.presets",
            "from metarl.experiment.config import nearest\nfrom metarl.tasks.task import Task",
        ),
        ("scripts.x", "import metarl, tyro, rich\nfrom metarl import cli"),
        ("metarl_envs.x", "from .bodies import Ant\nfrom metarl.tasks import TaskFamily"),
    ],
)
def test_the_walk_lets_pass_what_is_allowed(module: str, source: str) -> None:
    """The arrows of the design are allowed."""
    assert violations(source, module) == []


def test_a_module_outside_every_layer_is_found() -> None:
    """A new part of `metarl` must be given its place here."""
    with pytest.raises(AssertionError, match="metarl.utils belongs to no declared layer"):
        layer_of("metarl.utils")


def files_of_ours() -> dict[str, set[str]]:
    """Every module of the project → the modules that it imports, for types or not."""
    names = {module_name(path): path for path in modules()}
    graph = {}
    for name, path in names.items():
        found = set()
        for target in named(path.read_text(), name, path.stem == "__init__"):
            while target and target not in names:
                target = target.rpartition(".")[0]
            found.add(target)
        graph[name] = {m for m in found if m and m != name and not name.startswith(m + ".")}
    return graph


def named(source: str, module: str, is_package: bool) -> set[str]:
    """As `imports`, with the names that are imported from a module behind it."""
    package = module if is_package else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def drawn() -> dict[str, set[str]]:
    """Layer → the layers that it may import, by the table of docs/architecture.md."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = [row for row in page.partition("## Words")[0].splitlines() if row.startswith("| `")]
    layers: dict[str, set[str]] = {}
    for row in rows:
        name, _, allowed = (cell.strip() for cell in row.strip("|").split(" | "))
        named_there = set(re.findall(r"`([\w.]+)`", allowed))
        assert named_there <= layers.keys(), f"{name} may import what does not stand above it"
        all_above = allowed.startswith("all above")
        layers[name.strip("`")] = layers.keys() - named_there if all_above else named_there
    return layers


def test_the_page_draws_these_layers() -> None:
    """Arrows run down only: every layer may import layers that stand before it in the table."""
    assert drawn() == {name: below - {name} for name, below in MAY_IMPORT.items()}


def test_no_files_import_each_other_in_a_circle() -> None:
    """Taken away one by one, files that import none of those that are left leave none over."""
    graph = files_of_ours()
    while free := {name for name, targets in graph.items() if not targets & graph.keys()}:
        graph = {name: targets for name, targets in graph.items() if name not in free}
    assert sorted(graph) == []


def test_an_algorithm_never_imports_another() -> None:
    """A folder of `metarl/algorithms` knows its own files and what all share."""
    folders = {p.name for p in (ROOT / "metarl" / "algorithms").iterdir() if p.is_dir()}
    wrong = []
    for name, targets in files_of_ours().items():
        mine = name.split(".")[2:3]
        if name.startswith("metarl.algorithms.") and mine[0] in folders:
            others = {t.split(".")[2] for t in targets if t.startswith("metarl.algorithms.")}
            wrong += [f"{name} imports {other}" for other in others & folders - {mine[0]}]
    assert wrong == []


def test_configurations_and_packages_load_no_torch() -> None:
    """`--help` and the names of all that there is come from them, and must not wait for torch."""
    chosen = ("config", "configs", "choices", "presets", "__init__")
    names = [module_name(p) for p in modules() if p.stem in chosen and "scripts" not in p.parts]
    code = f"import sys, importlib\nfor name in {names}: importlib.import_module(name)\n"
    code += "assert 'torch' not in sys.modules and 'mujoco' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

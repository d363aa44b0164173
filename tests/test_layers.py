"""Which package may import which: the imports are walked, not believed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Layer -> the layers of this repository that it may import, besides itself. The longest name that
# fits a module is its layer. `ROOTS` are composition
# roots: they stand above algorithms and experiment and know the families.
ALL = {"metarl.core", "metarl.rl", "metarl.fewshot", "metarl.algorithms", "metarl.experiment"}
ROOTS = {
    "metarl.agent",
    "metarl.algorithms.chosen",
    "metarl.fewshot.registry",
    "metarl.fewshot.adapted",
    "metarl.fewshot.agent",
    "metarl.fewshot.mapping",
    "metarl.fewshot.presets",
    "metarl.fewshot.steps",
    "metarl.algorithms.registry",
    "metarl.algorithms.presets",
    "metarl.runs",
}
MAY_IMPORT: dict[str, set[str]] = {
    "metarl": {"metarl.agent", "metarl.fewshot.adapted", "metarl.fewshot.agent"},
    "metarl.core": set(),
    "metarl.rl": {"metarl.core"},
    "metarl.fewshot": {"metarl.core", "metarl.tasks.guard", "metarl.tasks.modules"},
    "metarl.algorithms": {"metarl.core", "metarl.rl", "metarl.fewshot"},
    "metarl.experiment": set(),
    "metarl.agent": ALL | ROOTS | {"metarl.tasks"},
    "metarl.algorithms.chosen": ALL | ROOTS | {"metarl.tasks"},
    "metarl.fewshot.registry": ALL | ROOTS | {"metarl.tasks"},
    "metarl.fewshot.adapted": ALL | ROOTS | {"metarl.tasks"},
    "metarl.fewshot.agent": ALL | ROOTS | {"metarl.tasks"},
    "metarl.fewshot.mapping": ALL | ROOTS | {"metarl.tasks"},
    "metarl.fewshot.presets": ALL | ROOTS | {"metarl.tasks"},
    "metarl.fewshot.steps": ALL | ROOTS | {"metarl.tasks"},
    "metarl.algorithms.registry": ALL | ROOTS | {"metarl.tasks"},
    "metarl.algorithms.presets": ALL | ROOTS | {"metarl.tasks"},
    "metarl.runs": ALL | ROOTS | {"metarl.tasks"},
    "metarl.tasks": {"metarl.tasks.guard", "metarl.tasks.modules"},
    "metarl_envs": {"metarl.tasks"},
    "metarl.tasks.guard": set(),
    "metarl.tasks.modules": {"metarl.tasks.guard"},
    "scripts": ALL | ROOTS | {"metarl", "metarl.tasks"},
}
# Packages from outside that a layer must not import.
MUST_NOT_IMPORT: dict[str, set[str]] = {
    "metarl.rl": {"stable_baselines3", "sb3_contrib", "mujoco", "tensorboard", "rich", "tyro"},
    "metarl.fewshot": {"stable_baselines3", "sb3_contrib", "mujoco", "gymnasium", "rich", "tyro"},
    "metarl.algorithms": {"stable_baselines3", "sb3_contrib", "mujoco", "tensorboard", "rich"},
    "metarl.experiment": {"mujoco", "gymnasium", "sb3_contrib"},
    "metarl.algorithms.registry": {"sb3_contrib"},
    "metarl.tasks": {"stable_baselines3", "sb3_contrib", "tensorboard", "rich", "tyro"},
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
    return sorted(
        p for top in ("metarl", "envs/metarl_envs", "scripts") for p in (ROOT / top).rglob("*.py")
    )


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
    """scripts → algorithms → rl, fewshot → core → torch; experiment and envs know none of them."""
    found = [
        message
        for path in modules()
        for message in violations(path.read_text(), module_name(path), path.stem == "__init__")
    ]
    assert found == []


def test_algorithms_and_what_they_stand_on_neither_print_nor_write() -> None:
    """They return metrics; only `metarl.experiment` and the scripts show or store anything.

    Some modules read a user's files: images, arrays and tables.
    """
    found = []
    readers = {f"metarl.fewshot.{name}" for name in ("images", "arrays", "tables")}
    for path in modules():
        name = module_name(path)
        if layer_of(name) in ("metarl.experiment", "scripts") or name in readers:
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
        ("metarl.agent", "import scripts.train_metarl"),
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
        ("metarl.agent", "import metarl.tasks\nfrom metarl.experiment import checkpoint"),
        (
            "metarl.algorithms.presets",
            "import metarl.tasks\nfrom metarl.algorithms.maml_trpo.algorithm import MamlTrpoConfig",
        ),
        ("scripts.x", "import metarl, tyro, rich\nfrom metarl import presets"),
    ],
)
def test_the_walk_lets_pass_what_is_allowed(module: str, source: str) -> None:
    """The arrows of the design are allowed."""
    assert violations(source, module) == []


def test_a_module_outside_every_layer_is_found() -> None:
    """A new part of `metarl` must be given its place here."""
    with pytest.raises(AssertionError, match="metarl.utils belongs to no declared layer"):
        layer_of("metarl.utils")

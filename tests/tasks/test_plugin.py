"""The families are a plugin: a user's own package named envs stays the user's."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import gymnasium
import pytest

from metarl.tasks import family_names, make_family, registry

ROOT = Path(__file__).parents[2]
WALK = """
import gymnasium
import numpy as np
from envs.helper import LIMIT
from metarl.tasks import TaskFamily, Uniform


class Walk(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-LIMIT, LIMIT, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    goal = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = np.zeros(1, np.float32)
        return self.x.copy(), {}

    def step(self, action):
        self.x = np.clip(self.x + action, -LIMIT, LIMIT).astype(np.float32)
        return self.x.copy(), -abs(float(self.x[0]) - self.goal), False, False, {}


family = TaskFamily(env=Walk, parameters={"goal": Uniform(-1.0, 1.0)}, horizon=5)
"""
USED = """
import sys
import metarl
from envs.walk import Walk

if __name__ == "__main__":
    agent = metarl.load_agent("run", workers=1)
    adapted = agent.adapt(Walk(), episodes=2)
    print(adapted.predict(Walk().reset(seed=0)[0], deterministic=True)[0].shape)
    print(sys.modules["envs.walk"].__file__)
"""


def run(folder: Path, *arguments: str) -> str:
    """A Python of its own in a folder; what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("package", ["regular", "namespace"])
def test_a_folder_named_envs_stays_the_users(package: str, tmp_path: Path) -> None:
    """Commands, workers, loading and adapting all work beside it, whichever package it is."""
    own = tmp_path / "envs"
    own.mkdir()
    if package == "regular":
        (own / "__init__.py").write_text("")
    (own / "helper.py").write_text("LIMIT = 9\n")
    (own / "walk.py").write_text(WALK)
    (tmp_path / "use.py").write_text(USED)
    tiny = ["--iterations", "1", "--tasks", "2", "--episodes", "2", "--eval-every", "0"]
    script = str(ROOT / "scripts" / "train_metarl.py")
    workers = ["--workers", "2"]
    run(tmp_path, script, "--env", "envs.walk:family", "--run-dir", "run", *workers, *tiny)
    script = str(ROOT / "scripts" / "evaluate_metarl.py")
    run(tmp_path, script, "run", "--tasks", "2", "--updates", "1", *workers)
    printed = run(tmp_path, "use.py").split()
    assert printed == ["(1,)", str(own / "walk.py")]


def test_nothing_of_ours_is_named_envs() -> None:
    """Neither the package nor the test suite imports one."""
    code = "import sys, metarl.tasks, metarl.agent; assert 'envs' not in sys.modules"
    run(ROOT.parent, "-c", code)


def test_gymnasium_knows_the_families_without_an_import_of_them() -> None:
    """The ids of the catalogue are those of the families, and the first reset may be refused."""
    code = (
        "import sys, gymnasium, metarl.tasks\n"
        "assert 'metarl/HalfCheetahVel-v0' in gymnasium.registry\n"
        "assert 'mujoco' not in sys.modules and 'torch' not in sys.modules\n"
        "env = gymnasium.make('metarl.tasks:metarl/BanditK5-v0')\n"
        "try:\n    env.reset(options={'task': {'nothing': 1}})\n"
        "except ValueError as error:\n    print(error)\n"
        "env.reset(seed=0)\n"
    )
    assert "a task of bandit-k5 has the parameters ['means']" in run(ROOT.parent, "-c", code)
    for catalogue in registry.catalogues():
        for env_id, name in catalogue.env_ids().items():
            assert make_family(name).env_id == env_id
            assert make_family(name).name == name


def test_a_catalogue_that_cannot_be_imported_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is warned of, and the families of others are there."""
    gone = importlib.metadata.EntryPoint("gone", "no_such_package:catalogue", registry.GROUP)
    points = [*importlib.metadata.entry_points(group=registry.GROUP), gone]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    registry.catalogues.cache_clear()
    try:
        with pytest.warns(UserWarning, match="no_such_package"):
            assert "half-cheetah-vel" in family_names()
    finally:
        registry.catalogues.cache_clear()


def test_without_any_family_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where metarl is on the path without having been installed."""
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    monkeypatch.setattr(registry, "_FAMILIES", {})
    registry.catalogues.cache_clear()
    try:
        with pytest.raises(ValueError, match="pip install -e"):
            make_family("half-cheetah-vel")
    finally:
        registry.catalogues.cache_clear()


def test_a_file_that_imports_the_old_name_is_told_the_new_one(tmp_path: Path) -> None:
    """`from envs import TaskFamily` was how a family was written."""
    (tmp_path / "old.py").write_text("from envs import TaskFamily\n")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "check_family.py"), "old.py:family"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "from metarl.tasks import TaskFamily" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_task_environment_renders_and_keeps_its_spec() -> None:
    """What Gymnasium made can be made again from its spec."""
    env = gymnasium.make("metarl/PointNav-v0", render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env.reset(seed=0)
    assert env.render().shape[-1] == 3
    assert gymnasium.make(env.spec).observation_space == env.observation_space


def tracked() -> list[str]:
    """The files of both packages: those of git, or all that are no caches where there is no git."""
    git = ["git", "ls-files", "metarl", "envs"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    files = [p for top in ("metarl", "envs") for p in (ROOT / top).rglob("*") if p.is_file()]
    others = [str(p.relative_to(ROOT)) for p in files if "__pycache__" not in p.parts]
    return listed.stdout.split() if listed.returncode == 0 else others


def test_a_wheel_holds_every_file_that_git_does(tmp_path: Path) -> None:
    """Both packages, their markers included, and nothing else."""
    copy = tmp_path / "source"
    for name in [*tracked(), "pyproject.toml", "README.md", "LICENSE"]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    build = "import sys; from setuptools import build_meta as b; print(b.build_wheel(sys.argv[1]))"
    wheel = tmp_path / run(copy, "-c", build, str(tmp_path)).split()[-1]
    held = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert held == {name.removeprefix("envs/") for name in tracked()}

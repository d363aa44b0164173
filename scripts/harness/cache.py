"""Results of a commit, kept: they do not change."""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from harness.arms import Arm
from harness.difference import digest_of_json
from harness.tree import Failure, Result
from safetensors.numpy import load_file, save_file


class Cache:
    """The results of one commit, in files of a folder that may hold those of others."""

    def __init__(self, folder: Path, commit: str) -> None:
        """Make the folder if it is missing."""
        self._folder, self._commit = folder, commit
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, arm: Arm) -> Result | None:
        """Return what an arm came to, if it is known."""
        place = self._place(arm)
        if not place.is_dir():
            return None
        evaluation = json.loads((place / "evaluation.json").read_text())
        trained, resumed = (load_file(place / f"{name}.safetensors") for name in _TENSORS)
        return Result(trained, evaluation, resumed)

    def put(self, arm: Arm, result: Result | Failure) -> None:
        """Keep a result; a failure may be of the moment."""
        place = self._place(arm)
        if isinstance(result, Failure) or place.exists():
            return
        beside = Path(tempfile.mkdtemp(dir=self._folder, prefix=".new-"))
        for name, tensors in zip(_TENSORS, (result.trained, result.resumed), strict=True):
            save_file(tensors, beside / f"{name}.safetensors")
        (beside / "evaluation.json").write_text(json.dumps(result.evaluation))
        try:
            beside.rename(place)
        except OSError:  # another process was first
            shutil.rmtree(beside)

    def _place(self, arm: Arm) -> Path:
        """The folder of an arm: named after all that its result depends on."""
        machine = platform.node(), platform.machine(), sys.version
        installed = [version(name) for name in ("torch", "numpy", "mujoco", "gymnasium")]
        harness = [file.read_text() for file in sorted(Path(__file__).parent.glob("*.py"))]
        made_by = digest_of_json([arm, machine, installed, harness])
        return self._folder / f"{self._commit[:12]}-{arm.name}-{made_by}"


_TENSORS = ("trained", "resumed")

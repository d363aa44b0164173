"""A checkpoint is whole or not there, and the newest whole one is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from metarl.experiment import checkpoint
from metarl.experiment.checkpoint import CheckpointError, load_latest, save


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {
        "theta/0.weight": torch.full((3, 2), value),
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 4, dtype=torch.float64),
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_what_was_saved_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    """Values, types, shapes and state come back; views and gradients are no obstacle."""
    base = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    saved = {**tensors(1 / 3), "view": base[:, 1], "whole": base}
    path = save(tmp_path, 100, saved, {"best": 0.1 + 0.2, "seen": (1, 2)})
    loaded = load_latest(tmp_path)
    assert path == tmp_path / "checkpoints" / "000100" == loaded.path
    assert loaded.iteration == 100
    assert loaded.state == {"best": 0.1 + 0.2, "seen": [1, 2]}
    assert loaded.skipped == ()
    assert loaded.tensors.keys() == saved.keys()
    for name, tensor in saved.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor.detach())


def test_loaded_tensors_are_aligned_like_fresh_ones(tmp_path: Path) -> None:
    """They are no views into the file's buffer: a resume computes on the same kind of tensors."""
    save(tmp_path, 1, {f"{i}": torch.zeros(2 * i + 1) for i in range(9)}, {})
    assert all(t.data_ptr() % 64 == 0 for t in load_latest(tmp_path).tensors.values())


def test_the_newest_is_loaded_by_number(tmp_path: Path) -> None:
    """Iterations compare as numbers, also beyond six digits."""
    for iteration in (2, 1_000_000, 999_999):
        save(tmp_path, iteration, tensors(iteration), {})
    assert load_latest(tmp_path).iteration == 1_000_000


def flip_a_bit(path: Path) -> None:
    data = bytearray((path / "tensors.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "tensors.safetensors").write_bytes(data)


def truncate(path: Path) -> None:
    data = (path / "tensors.safetensors").read_bytes()
    (path / "tensors.safetensors").write_bytes(data[:-1])


def remove_tensors(path: Path) -> None:
    (path / "tensors.safetensors").unlink()


def remove_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()


def cut_manifest(path: Path) -> None:
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text[: len(text) // 2])


def edit_state(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["state"]["note"] = "edited"
    (path / "manifest.json").write_text(json.dumps(manifest))


def other_format(path: Path) -> None:
    (path / "manifest.json").write_text('{"format": 99}')


DAMAGES = [
    (flip_a_bit, "tensors.safetensors does not match its sha256"),
    (truncate, "tensors.safetensors has .* bytes instead of"),
    (remove_tensors, "tensors.safetensors is missing"),
    (remove_manifest, "manifest.json does not exist"),
    (cut_manifest, "manifest.json is not JSON"),
    (edit_state, "manifest.json does not match its sha256"),
    (other_format, "manifest.json is not of format 1"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_a_corrupt_checkpoint_is_skipped_and_named(
    tmp_path: Path, damage: Any, reason: str
) -> None:
    """The one before it is loaded, and the report says which one was passed over and why."""
    save(tmp_path, 50, tensors(1), {})
    damage(save(tmp_path, 100, tensors(2), {}))
    loaded = load_latest(tmp_path)
    assert loaded.iteration == 50
    assert torch.equal(loaded.tensors["theta/0.weight"], torch.ones(3, 2))
    assert len(loaded.skipped) == 1
    with pytest.raises(CheckpointError, match="000100: .*" + reason):
        raise CheckpointError(loaded.skipped[0])


def test_when_none_verifies_each_is_named(tmp_path: Path) -> None:
    """The error lists every checkpoint with its reason."""
    flip_a_bit(save(tmp_path, 1, tensors(1), {}))
    truncate(save(tmp_path, 2, tensors(1), {}))
    with pytest.raises(CheckpointError, match=r"000002: .* bytes instead.*; 000001: .*sha256"):
        load_latest(tmp_path)


def test_when_there_is_none_the_error_says_what_is_there(tmp_path: Path) -> None:
    """A missing folder, an empty one, a file and a folder of other things are told apart."""
    with pytest.raises(CheckpointError, match="it does not exist"):
        load_latest(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="it is empty"):
        load_latest(tmp_path)
    for i in range(12):
        (tmp_path / f"file-{i:02d}").touch()
    with pytest.raises(CheckpointError, match="it holds file-00, .*file-09 and 2 more; a run"):
        load_latest(tmp_path)
    with pytest.raises(CheckpointError, match="it is not a folder"):
        load_latest(tmp_path / "file-00")


@pytest.mark.parametrize("step", ["_write", "sync_folder", "_put"])
@pytest.mark.parametrize("iteration", [100, 50])
def test_an_interrupted_save_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, iteration: int
) -> None:
    """Whichever step is interrupted, the earlier checkpoint loads and the next save succeeds."""
    save(tmp_path, 50, tensors(1), {})

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, iteration, tensors(2), {})
    loaded = load_latest(tmp_path)
    assert (loaded.iteration, loaded.skipped) == (50, ())
    assert torch.equal(loaded.tensors["theta/0.weight"], torch.ones(3, 2))
    save(tmp_path, iteration, tensors(3), {})
    assert torch.equal(load_latest(tmp_path).tensors["theta/0.weight"], torch.full((3, 2), 3.0))
    assert names(tmp_path) == sorted({"000050", f"{iteration:06d}"})


def test_a_replacement_interrupted_between_its_renames_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replaced checkpoint loads until the new one is in place."""
    save(tmp_path, 50, tensors(1), {})
    rename = Path.rename

    def interrupt_second(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupt_second)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 50, tensors(2), {})
    assert torch.equal(load_latest(tmp_path).tensors["theta/0.weight"], torch.ones(3, 2))
    save(tmp_path, 50, tensors(3), {})
    assert torch.equal(load_latest(tmp_path).tensors["theta/0.weight"], torch.full((3, 2), 3.0))
    assert names(tmp_path) == ["000050"]


def test_only_the_newest_are_kept_when_asked(tmp_path: Path) -> None:
    """`keep` removes the oldest after the new one is in place; without it all stay."""
    for iteration in range(4):
        save(tmp_path, iteration, tensors(1), {})
    assert names(tmp_path) == ["000000", "000001", "000002", "000003"]
    save(tmp_path, 4, tensors(1), {}, keep=2)
    assert names(tmp_path) == ["000003", "000004"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, tensors(1), {}), "iteration >= 0"),
        ((1, {}, {}), "at least one tensor"),
        ((1, tensors(1), {"x": float("nan")}), "must be JSON"),
        ((1, tensors(1), {"x": object()}), "must be JSON"),
    ],
)
def test_what_cannot_be_saved_is_refused_untouched(
    tmp_path: Path, arguments: Any, message: str
) -> None:
    """Nothing is written when the content is refused."""
    with pytest.raises(ValueError, match=message):
        save(tmp_path, *arguments)
    assert list(tmp_path.iterdir()) == []

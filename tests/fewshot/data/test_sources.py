"""Where tasks come from: what is drawn, what is held out, and what is refused."""

import hashlib
import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.fewshot import Mixture, Sinusoid
from metarl.fewshot.data import omniglot
from metarl.fewshot.data.classes import ClassSource, Stock, Ways
from metarl.fewshot.data.holdout import split_classes
from metarl.fewshot.data.sources import DATA_VARIABLE, DataConfig, absolute, make_source
from metarl.fewshot.data.storage import OnDevice
from metarl.fewshot.data.task import PARTS, Source

ROOT = Path(__file__).parents[3]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(classes: int = 12, each: int = 6, rotations: bool = False) -> ClassSource:
    """Images whose pixels are the number of the class, and in one corner that of the example."""
    x = np.zeros((classes * each, 1, 4, 4), dtype=np.uint8)
    labels = np.repeat(np.arange(classes), each)
    x[:] = labels[:, None, None, None]
    x[:, 0, 0, 0] = np.tile(np.arange(each), classes) + 100
    stock = Stock.of(x, labels, [str(i) for i in range(classes)])
    return ClassSource("numbered", stock, split_classes(classes, 0), Ways(2), rotations)


@pytest.mark.parametrize("source", [Sinusoid(), Mixture(), numbered()], ids=lambda s: s.name)
def test_the_same_generator_draws_the_same_tasks(source: Source) -> None:
    """Other seeds draw others."""
    one, same, other = (source.sample(3, 2, 3, "train", generator(s)) for s in (1, 1, 2))
    assert torch.equal(one.query.x, same.query.x)
    assert not torch.equal(one.query.x, other.query.x)


def test_sine_waves_have_the_amplitudes_and_phases_of_the_paper() -> None:
    """Recovered from many points by least squares on sin and cos."""
    split = Sinusoid().sample(500, 50, 1, "train", generator())
    x, y = split.support
    basis = torch.cat([torch.sin(x), torch.cos(x)], -1)
    weights = torch.linalg.lstsq(basis, y).solution
    torch.testing.assert_close(basis @ weights, y, rtol=1e-3, atol=1e-3)
    amplitude = weights.square().sum(1).sqrt()
    phase = torch.atan2(-weights[:, 1], weights[:, 0])
    assert 0.1 <= float(amplitude.min()) < 0.3
    assert 4.8 < float(amplitude.max()) <= 5.001
    assert -0.001 <= float(phase.min()) < 0.1
    assert 3.0 < float(phase.max()) <= 3.142
    assert -5 <= float(x.min()) < -4.9
    assert 4.9 < float(x.max()) <= 5


def test_a_task_has_different_classes_and_different_examples() -> None:
    """No query is in the support set; labels follow the classes."""
    split = numbered().sample(50, 2, 3, "train", generator())
    assert split.support.x.shape == (50, 4, 1, 4, 4)
    assert split.query.y.tolist() == [[0, 0, 0, 1, 1, 1]] * 50
    by_class = split.support.y.argsort(1)
    ordered = split.support.x[torch.arange(50).unsqueeze(1), by_class]
    for support, query in zip(ordered, split.query.x, strict=True):
        pixels = torch.cat([support.view(2, 2, 16), query.view(2, 3, 16)], 1) * 255
        for one in pixels:
            assert len(set(one[:, 1].tolist())) == 1
            assert len(set(one[:, 0].tolist())) == 5
        assert pixels[0, 0, 1] != pixels[1, 0, 1]


def test_support_sets_are_in_random_order() -> None:
    """Else a learner that reads them in order would count on one class after another."""
    split, chosen = numbered().drawn(50, 2, 3, "train", generator())
    orders = {tuple(row) for row in split.support.y.tolist()}
    assert orders == {order for order in itertools.product((0, 1), repeat=4) if sum(order) == 2}
    names = numbered().class_names("train")
    of_class = [names[int(i)] for i in chosen.gather(1, split.support.y).flatten()]
    shown = split.support.x[:, :, 0, 1, 1].flatten() * 255
    assert of_class == [str(round(float(pixel))) for pixel in shown]


def test_labels_of_classes_are_random() -> None:
    """A class is not always the same label, or a network could learn it by heart."""
    split = numbered().sample(300, 1, 1, "train", generator())
    first, second = split.query.x[:, :, 0, 1, 1].T
    assert {(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True) if a > b}
    assert {(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True) if a < b}


def test_parts_share_no_class() -> None:
    """And each draws from its own."""
    source = numbered()
    owned = [set(source.parts[part].tolist()) for part in PARTS]
    assert sorted(set().union(*owned)) == list(range(12))
    assert sum(map(len, owned)) == 12
    for part, own in zip(PARTS, owned, strict=True):
        seen = source.sample(40, 1, 1, part, generator()).support.x[:, :, 0, 1, 1] * 255
        assert {round(v) for v in seen.flatten().tolist()} <= own


def test_rotations_are_classes() -> None:
    """The marked corner tells which; within a class all are turned alike."""
    split = numbered(rotations=True).sample(200, 1, 1, "train", generator())
    corners = [(0, 0), (3, 0), (3, 3), (0, 3)]
    marks = torch.stack([split.support.x[..., 0, i, j] for i, j in corners], -1) * 255 >= 100
    other = torch.stack([split.query.x[..., 0, i, j] for i, j in corners], -1) * 255 >= 100
    assert torch.equal(marks, other[torch.arange(200).unsqueeze(1), split.support.y])
    assert bool(marks.any((0, 1)).all())
    assert bool((marks.sum(-1) == 1).all())


def test_the_protocol_tells_the_parts_apart() -> None:
    """Its hash changes with what is held out, and with nothing else."""
    hashes = []
    for seed in (0, 0, 1):
        source = numbered()
        described = ClassSource("n", source.stock, split_classes(12, seed), Ways(2)).describe()
        hashes.append(described["classes_sha256"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_too_few_examples_or_classes_are_refused() -> None:
    """Before anything is drawn."""
    with pytest.raises(ValueError, match=r"need 7 examples of every class, but '\d+' .* has 6"):
        numbered(each=6).require(3, 4)
    source = numbered()
    with pytest.raises(ValueError, match="tasks of 3 ways need as many classes, but the valid"):
        ClassSource("n", source.stock, source.parts, Ways(3))
    with pytest.raises(ValueError, match="at least 2, got 1"):
        ClassSource("n", source.stock, source.parts, Ways(1))


def own(data: str, **options: object) -> Source:
    return make_source(DataConfig(data, **options))  # type: ignore[arg-type]


def test_options_that_mean_nothing_are_refused() -> None:
    """With those that do."""
    with pytest.raises(ValueError, match=r"--target means nothing for --data sinusoid; .* none"):
        own("sinusoid", target="y")
    with pytest.raises(ValueError, match="--split means nothing for --data sinusoid"):
        own("sinusoid", split="6,0,4")
    with pytest.raises(ValueError, match="--split lake is of omniglot, and the data are folder:x"):
        own("folder:x", split="lake")
    assert own("sinusoid", split="random").kind == "regression"


def test_paths_are_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that they hold in another working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, "data")
    assert absolute(DataConfig("csv:t.csv")).data == f"csv:{tmp_path / 't.csv'}"
    assert absolute(DataConfig("omniglot")).data_dir == str(tmp_path / "data" / "omniglot")
    assert absolute(DataConfig("sinusoid")) == DataConfig("sinusoid")


def test_a_stock_is_moved_to_a_device_once() -> None:
    """Not with every draw."""
    held, device = OnDevice(torch.zeros(3)), torch.device("meta")
    assert held(device)[0] is held(device)[0]
    assert held(device)[0].device == device


def test_a_download_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has another MD5 sum is not kept; an archive that is there already is checked too."""
    remote, local = tmp_path / "remote", tmp_path / "local"
    remote.mkdir()
    (remote / "a.zip").write_bytes(b"drawings")
    monkeypatch.setattr(omniglot, "_URL", remote.as_uri())
    monkeypatch.setattr(omniglot, "ARCHIVES", {"a.zip": hashlib.md5(b"drawings").hexdigest()})
    omniglot.download_omniglot(local)
    assert (local / "a.zip").read_bytes() == b"drawings"
    (local / "a.zip").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"a.zip has the MD5 sum .*: remove it"):
        omniglot.download_omniglot(local)
    (local / "a.zip").unlink()
    (remote / "a.zip").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"a.zip has the MD5 sum"):
        omniglot.download_omniglot(local)
    (remote / "a.zip").unlink()
    with pytest.raises(ValueError, match=r"a.zip cannot be fetched"):
        omniglot.download_omniglot(local)
    assert not list(local.iterdir())


def test_unknown_or_missing_data_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all names, and how to get the archives."""
    with pytest.raises(ValueError, match="valid: sinusoid, mixture, omniglot"):
        own("sinusoids")
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="--data-dir"):
        own("omniglot")
    with pytest.raises(ValueError, match="--download"):
        own("omniglot", data_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"parkinsons_updrs.data is missing"):
        own("parkinsons", data_dir=str(tmp_path))


def shared(name: str) -> Path:
    """The folder of a real data set; skips where there is none."""
    root = Path(os.environ.get(DATA_VARIABLE, ROOT.parent / "shared" / "data"))
    if not (root / name).is_dir():
        pytest.skip(f"needs {name} beside the repository or in {DATA_VARIABLE}")
    return root / name


def test_omniglot_is_whole() -> None:
    """1,623 characters of 20 drawings; white ink is rare."""
    folder = str(shared("omniglot"))
    source = own("omniglot", data_dir=folder)
    assert isinstance(source, ClassSource)
    assert [len(source.parts[part]) for part in PARTS] == [1100, 100, 423]
    assert set(source.stock.count.tolist()) == {20}
    assert 0.05 < float(source.stock.x.float().mean() / 255) < 0.12


def test_patients_are_tasks() -> None:
    """42 of them, with 16 features of the voice."""
    source = own("parkinsons", data_dir=str(shared("parkinsons")))
    described = source.describe()
    assert source.x_shape == (16,)
    assert sum(described["tasks"].values()) == 42

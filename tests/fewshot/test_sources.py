"""Where tasks come from: what is drawn, what is held out, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metarl.fewshot import Mixture, Sinusoid
from metarl.fewshot.classes import ClassSource, Stock, Ways, split_classes
from metarl.fewshot.data import PARTS, Source
from metarl.fewshot.sources import DATA_VARIABLE, DataConfig, make_source

ROOT = Path(__file__).parents[2]


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
    for support, query in zip(split.support.x, split.query.x, strict=True):
        pixels = torch.cat([support.view(2, 2, 16), query.view(2, 3, 16)], 1) * 255
        for one in pixels:
            assert len(set(one[:, 1].tolist())) == 1
            assert len(set(one[:, 0].tolist())) == 5
        assert pixels[0, 0, 1] != pixels[1, 0, 1]


def test_labels_of_classes_are_random() -> None:
    """A class is not always the same label, or a network could learn it by heart."""
    split = numbered().sample(300, 1, 1, "train", generator())
    first = split.support.x[:, 0, 0, 1, 1]
    second = split.support.x[:, 1, 0, 1, 1]
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
    assert torch.equal(marks, other)
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
    with pytest.raises(ValueError, match=r"need 7 examples of every class, but \d+ .* has 6"):
        numbered(each=6).require(3, 4)
    source = numbered()
    with pytest.raises(ValueError, match="tasks of 3 ways need as many classes, but the valid"):
        ClassSource("n", source.stock, source.parts, Ways(3))
    with pytest.raises(ValueError, match="at least 2, got 1"):
        ClassSource("n", source.stock, source.parts, Ways(1))


def write_images(folder: Path, classes: int = 8, each: int = 3, size: int = 30) -> Path:
    noise = np.random.default_rng(0)
    for c in range(classes):
        (folder / f"class{c}").mkdir(parents=True)
        for i in range(each):
            pixels = noise.integers(0, 255, (size, size), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class{c}" / f"{i}.png")
    return folder


def own(data: str, **options: object) -> Source:
    return make_source(DataConfig(data, **options))  # type: ignore[arg-type]


def test_a_folder_of_images_is_a_source(tmp_path: Path) -> None:
    """A class per folder, pixels between 0 and 1."""
    source = own(f"folder:{write_images(tmp_path / 'mine')}", ways=2)
    split = source.sample(4, 1, 2, "train", generator())
    assert source.name == "mine"
    assert source.x_shape == (1, 28, 28)
    assert split.support.x.shape == (4, 2, 1, 28, 28)
    assert 0.0 <= float(split.support.x.min()) < float(split.support.x.max()) <= 1.0


def test_bad_images_are_named(tmp_path: Path) -> None:
    """Unreadable ones, and those of another size."""
    folder = write_images(tmp_path / "mine")
    Image.fromarray(np.zeros((31, 30), dtype=np.uint8)).save(folder / "class3" / "1.png")
    with pytest.raises(ValueError, match=r"class3/1.png has 30 × 31"):
        own(f"folder:{folder}")
    (folder / "class3" / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"class3/1.png cannot be read as an image"):
        own(f"folder:{folder}")
    with pytest.raises(ValueError, match="is not a folder"):
        own(f"folder:{tmp_path / 'nowhere'}")


def test_arrays_are_a_source(tmp_path: Path) -> None:
    """Numbers or images, with classes of integers or strings."""
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.repeat([*"abcdefgh"], 5)
    np.savez(tmp_path / "table.npz", x=x, y=y)
    source = own(f"npz:{tmp_path / 'table.npz'}", ways=2)
    assert (source.x_shape, source.kind) == ((3,), "classification")
    np.savez(tmp_path / "pictures.npz", x=np.zeros((40, 9, 9, 3), np.uint8), y=y)
    assert own(f"npz:{tmp_path / 'pictures.npz'}", ways=2).x_shape == (3, 9, 9)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 2))}, "no array y"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(3, int)}, r"y must be \[M\]"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(4)}, "y must be classes"),
        ({"x": np.array([[0.0], [np.nan]]), "y": np.array([0, 1])}, "not finite in row 1"),
    ],
)
def test_bad_arrays_are_refused(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    """With what is wrong."""
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        own(f"npz:{tmp_path / 'bad.npz'}")


def write_table(path: Path, rows: int = 60) -> Path:
    """Six people; y = 2 a + the person's number."""
    lines = ["person,a,b,y"]
    for i in range(rows):
        person, a = i % 6, (i * 7 % 13) / 13
        lines.append(f"p{person},{a},{i % 5},{2 * a + person}")
    path.write_text("\n".join(lines))
    return path


def test_a_table_with_a_task_column_is_regression(tmp_path: Path) -> None:
    """A task's rows are one person's; inputs and targets are standardised on training tasks."""
    path = write_table(tmp_path / "t.csv")
    source = own(f"csv:{path}", target="y", task="person")
    assert (source.kind, source.x_shape, source.outputs) == ("regression", (2,), 1)
    x, y = source.sample(5, 8, 1, "train", generator()).support
    slope = torch.linalg.lstsq(torch.cat([x, torch.ones(5, 8, 1)], -1), y).solution
    torch.testing.assert_close(slope[:, 0], slope[:1, 0].expand(5, 1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(slope[:, 1], torch.zeros(5, 1), rtol=0, atol=1e-3)


def test_a_table_without_one_is_classification(tmp_path: Path) -> None:
    """By the values of the target."""
    rows = [f"{i},{i % 20}" for i in range(100)]
    (tmp_path / "t.csv").write_text("\n".join(["a,kind", *rows]))
    source = own(f"csv:{tmp_path / 't.csv'}", target="kind", ways=2)
    assert (source.kind, source.x_shape, source.outputs) == ("classification", (1,), 2)


def test_bad_tables_are_refused(tmp_path: Path) -> None:
    """Unknown columns, values that are no numbers (row and column), rows of another length."""
    path = write_table(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="no column 'z'; it has person, a, b, y"):
        own(f"csv:{path}", target="z", task="person")
    with pytest.raises(ValueError, match="needs --target"):
        own(f"csv:{path}")
    for bad, message in (
        ("p0,nan,1,2", "row 61, column 'a': not a finite number: 'nan'"),
        ("p0,x,1,2", "row 61, column 'a': not a finite number: 'x'"),
        ("p0,1,2", "row 61 has 3 values, the header 4"),
    ):
        text = write_table(tmp_path / "bad.csv").read_text()
        (tmp_path / "bad.csv").write_text(f"{text}\n{bad}")
        with pytest.raises(ValueError, match=message):
            own(f"csv:{tmp_path / 'bad.csv'}", target="y", task="person")
    with pytest.raises(ValueError, match="need 11 rows of every task, but p0 of t has 10"):
        own(f"csv:{path}", target="y", task="person").require(5, 6)


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

"""Data of the user's own: images, arrays and tables, and what of them is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metarl.fewshot import Conv4
from metarl.fewshot.data.classes import ClassSource
from metarl.fewshot.data.rows import RowSource
from metarl.fewshot.data.sources import DataConfig, make_source
from metarl.fewshot.data.task import PARTS, DataWarning, Source


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
    """Those that cannot be read, and folders that are not there."""
    folder = write_images(tmp_path / "mine")
    (folder / "class3" / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"class3/1.png cannot be read as an image"):
        own(f"folder:{folder}")
    with pytest.raises(ValueError, match="is not a folder"):
        own(f"folder:{tmp_path / 'nowhere'}")


def test_images_of_any_size_are_squashed_to_one(tmp_path: Path) -> None:
    """An image that is twice as wide is the same afterwards as one that is not."""
    folder = write_images(tmp_path / "mine", each=2, size=9)
    pixels = np.random.default_rng(1).integers(0, 255, (9, 9), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "class0" / "0.png")
    Image.fromarray(pixels.repeat(2, 1)).save(folder / "class0" / "1.png")
    source = own(f"folder:{folder}", ways=2, image_size=9)
    assert isinstance(source, ClassSource)
    assert torch.equal(source.stock.x[0], source.stock.x[1])


def test_a_file_is_opened_as_an_image_only(tmp_path: Path) -> None:
    """Whatever it is called: Pillow would start Ghostscript on PostScript. All formats are read."""
    folder = write_images(tmp_path / "mine")
    for i, kind in enumerate(("BMP", "GIF", "JPEG", "MPO", "TIFF", "WEBP")):  # MPO: of telephones
        image = Image.new("RGB", (9, 9), "red")
        suffix = {"JPEG": "jpg", "MPO": "jpeg"}.get(kind, kind.lower())
        image.save(folder / f"class{i}" / f"other.{suffix}", format=kind)
    assert own(f"folder:{folder}", ways=2).x_shape == (3, 28, 28)
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    (folder / "class0" / "0.png").write_bytes(script)
    with pytest.raises(ValueError, match=r"class0/0.png cannot be read as an image"):
        own(f"folder:{folder}", ways=2)


def write_parts(folder: Path, **parts: str) -> Path:
    """Folders with classes of two images inside, a class per letter."""
    for part, classes in parts.items():
        for kind in classes:
            (folder / part / kind).mkdir(parents=True)
            for i in range(2):
                pixels = np.full((8, 8), ord(kind) + i, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / kind / f"{part}{i}.png")
    return folder


def test_train_val_and_test_inside_say_what_is_held_out(tmp_path: Path) -> None:
    """Validation may be missing; --split random leaves them out of account."""
    data = f"folder:{write_parts(tmp_path / 'mine', train='abc', val='de', test='fg')}"
    source = own(data, ways=2)
    assert isinstance(source, ClassSource)
    assert [source.class_names(part) for part in PARTS] == [[*"abc"], [*"de"], [*"fg"]]
    assert source.describe()["split"] == "by folders"
    with pytest.raises(ValueError, match="--split-seed 1 means nothing beside it"):
        own(data, ways=2, split_seed=1)
    random = own(data, ways=2, split="random", split_seed=1)
    assert isinstance(random, ClassSource)
    assert random.class_names("train") != source.class_names("train")
    two = own(f"folder:{write_parts(tmp_path / 'two', train='abc', test='fg')}", ways=2)
    assert two.sample(2, 1, 1, "test", generator()).query.x.shape == (2, 2, 1, 28, 28)
    with pytest.raises(ValueError, match="two has no classes for validation"):
        two.sample(2, 1, 1, "validation", generator())


def test_parts_with_the_same_classes_are_put_together(tmp_path: Path) -> None:
    """For whole classes are held out; it is said."""
    folder = write_parts(tmp_path / "mine", train="abcdef", test="abcdef")
    with pytest.warns(DataWarning, match="the class 'a' in more than one of its parts"):
        source = own(f"folder:{folder}", ways=2)
    assert isinstance(source, ClassSource)
    assert source.stock.count.tolist() == [4] * 6
    assert source.describe()["split"] == "random classes"


def test_a_class_in_two_spellings_cannot_be_in_train_and_test(tmp_path: Path) -> None:
    """Its images would be learned from and tested on."""
    folder = write_parts(tmp_path / "mine", train="abc", test="fg")
    (folder / "test" / "f").rename(folder / "test" / "a ")
    with pytest.raises(ValueError, match="mine has the classes 'a' and 'a ', which look like one"):
        own(f"folder:{folder}", ways=2)


def test_classes_with_too_few_images_are_left_out(tmp_path: Path) -> None:
    """With a warning that names them, empty ones always; the others serve."""
    folder = write_images(tmp_path / "mine", classes=7)
    (folder / "class3" / "1.png").unlink()
    (folder / "class7").mkdir()
    with pytest.warns(
        DataWarning, match=r"1 of the 8 classes of mine .* 1 examples: 'class7' \(0\)"
    ):
        assert len(own(f"folder:{folder}", ways=2).describe()["classes"]) == 3
    with pytest.warns(DataWarning, match=r"3 examples: 'class3' \(2\), 'class7' \(0\)"):
        source = own(f"folder:{folder}", ways=2, min_examples=3)
    assert isinstance(source, ClassSource)
    source.require(1, 2)
    assert source.stock.names == ("class0", "class1", "class2", "class4", "class5", "class6")
    with pytest.raises(ValueError, match="none of the 8 classes of mine has 9 examples"):
        own(f"folder:{folder}", ways=2, min_examples=9)


def test_pictures_of_any_kind_are_read_as_they_look(tmp_path: Path) -> None:
    """16 bits become 8, transparent is white, and --image-size says how large they are."""
    folder = write_images(tmp_path / "mine", each=1)
    grey = np.full((30, 30), 0x8000, dtype=np.uint16)
    Image.fromarray(grey).save(folder / "class0" / "0.png")
    Image.new("RGBA", (30, 30), (0, 0, 0, 0)).save(folder / "class1" / "0.png")
    source = own(f"folder:{folder}", ways=2, image_size=9)
    assert isinstance(source, ClassSource)
    assert source.x_shape == (3, 9, 9)
    assert source.stock.x[:2, 0, 0, 0].tolist() == [128, 255]


def test_own_images_are_turned_on_request(tmp_path: Path) -> None:
    """Then two classes are enough for eight ways, and one for each part."""
    folder = write_images(tmp_path / "mine", classes=6)
    assert not own(f"folder:{folder}", ways=2).describe()["rotations_as_classes"]
    source = own(f"folder:{folder}", ways=8, rotations="on")
    assert source.sample(2, 1, 1, "test", generator()).query.y.shape == (2, 8)
    np.savez(tmp_path / "t.npz", x=np.zeros((12, 3)), y=np.arange(12) // 2)
    with pytest.raises(ValueError, match="--rotations on turns square images, but t has"):
        own(f"npz:{tmp_path / 't.npz'}", ways=2, rotations="on")


def test_what_is_no_image_in_a_folder_is_refused(tmp_path: Path) -> None:
    """Sub-folders, other files, images beside the folders, and too large ones."""
    folder = write_images(tmp_path / "mine")
    inside = folder / "class0" / "more"
    inside.mkdir()
    with pytest.raises(ValueError, match=r"class0/more is a folder"):
        own(f"folder:{folder}")
    inside.rmdir()
    (folder / "class0" / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"notes.txt is none of .bmp"):
        own(f"folder:{folder}")
    (folder / "class0" / "notes.txt").rename(folder / "README.txt")
    Image.new("1", (20_000, 10_000)).save(folder / "class0" / "0.png")
    with pytest.raises(ValueError, match=r"class0/0.png has more than 89,478,485 pixels"):
        own(f"folder:{folder}")
    (folder / "class0" / "0.png").rename(folder / "0.png")
    with pytest.raises(ValueError, match=r"0.png lies beside the folders of the classes"):
        own(f"folder:{folder}")


def test_too_few_classes_are_counted_for_all_parts(tmp_path: Path) -> None:
    """Of folders and of tables alike, without a warning of numpy's."""
    with pytest.raises(ValueError, match="mine has 3 classes, but tasks of 2 ways need 6: 2 to"):
        own(f"folder:{write_images(tmp_path / 'mine', classes=3)}", ways=2)
    (tmp_path / "t.csv").write_text("a,kind\n" + "".join(f"{i},{i % 3}\n" for i in range(9)))
    with pytest.raises(ValueError, match="t has 3 classes, but tasks of 5 ways need 15: 5 to"):
        own(f"csv:{tmp_path / 't.csv'}", target="kind")


def test_arrays_are_a_source(tmp_path: Path) -> None:
    """Numbers or images, with classes of integers or strings."""
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.repeat([*"abcdefgh"], 5)
    np.savez(tmp_path / "table.npz", x=x, y=y)
    source = own(f"npz:{tmp_path / 'table.npz'}", ways=2)
    assert (source.x_shape, source.kind) == ((3,), "classification")
    np.savez(tmp_path / "pictures.npz", x=np.zeros((40, 9, 9, 3), np.uint8), y=y)
    assert own(f"npz:{tmp_path / 'pictures.npz'}", ways=2).x_shape == (3, 9, 9)
    np.savez(tmp_path / "floats.npz", x=np.full((40, 9, 8), 0.5), y=y)
    floats = own(f"npz:{tmp_path / 'floats.npz'}", ways=2)
    assert floats.x_shape == (1, 9, 8)
    assert float(floats.sample(1, 1, 1, "train", generator()).query.x.min()) == 0.5


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 2))}, "no array y"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(3, int)}, r"y must be \[M\]"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(4)}, "y must be classes"),
        ({"x": np.array([[0.0], [np.nan]]), "y": np.array([0, 1])}, "not finite in row 1"),
        ({"x": np.zeros((0, 3)), "y": np.zeros(0, int)}, r"y must be \[M\]"),
        ({"x": np.zeros(4), "y": np.zeros(4, int)}, r"x must be rows of numbers \[M, D\]"),
        ({"x": np.zeros((4, 3, 9, 9)), "y": np.zeros(4, int)}, "with at most 4 channels"),
        ({"x": np.full((4, 9, 9), 255.0), "y": np.zeros(4, int)}, "uint8 or between 0 and 1"),
        ({"x": np.array(["a"]), "y": np.zeros(1, int)}, "bad.npz: x must be numbers"),
    ],
)
def test_bad_arrays_are_refused(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    """With what is wrong."""
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        own(f"npz:{tmp_path / 'bad.npz'}")


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    """A truncated one, and a single array under another name."""
    file = tmp_path / "bad.npz"
    np.savez(file, x=np.zeros((40, 3)), y=np.zeros(40, int))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"bad.npz cannot be read as .npz"):
        own(f"npz:{file}")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(file)
    with pytest.raises(ValueError, match=r"bad.npz cannot be read as .npz: it holds one array"):
        own(f"npz:{file}")


def test_images_that_pooling_leaves_nothing_of_are_refused() -> None:
    """Strides round up, max-pooling down."""
    assert Conv4((1, 9, 9), 5, pooling="stride").width == 64
    with pytest.raises(ValueError, match="leaves nothing of 9 × 15 pixels: use --pooling stride"):
        Conv4((1, 9, 15), 5, pooling="max")


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
    assert isinstance(source, RowSource)
    a, y = source.units.x.outwards(source.x)[:, :1], source.units.y.outwards(source.y)
    person = torch.arange(6).repeat_interleave(10).unsqueeze(-1)
    torch.testing.assert_close(y, 2 * a + person)


def test_a_table_without_one_is_classification(tmp_path: Path) -> None:
    """By the values of the target."""
    rows = [f"{i % 7},{i % 20}" for i in range(100)]
    (tmp_path / "t.csv").write_text("\n".join(["a,kind", *rows]))
    source = own(f"csv:{tmp_path / 't.csv'}", target="kind", ways=2)
    assert (source.kind, source.x_shape, source.outputs) == ("classification", (1,), 2)


def test_bad_tables_are_refused(tmp_path: Path) -> None:
    """Unknown columns, values that are no numbers (line and column), rows of another length."""
    path = write_table(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="no column 'z'; it has 'person', 'a', 'b', 'y'"):
        own(f"csv:{path}", target="z", task="person")
    with pytest.raises(ValueError, match="needs --target"):
        own(f"csv:{path}")
    for bad, message in (
        ("p0,nan,1,2", "line 62, column 'a': not a finite number: 'nan'"),
        ("p0,x,1,2", "line 62, column 'a': not a finite number: 'x'"),
        ("p0,1,2", "line 62 has 3 values, the header 4"),
    ):
        text = write_table(tmp_path / "bad.csv").read_text()
        (tmp_path / "bad.csv").write_text(f"{text}\n{bad}")
        with pytest.raises(ValueError, match=message):
            own(f"csv:{tmp_path / 'bad.csv'}", target="y", task="person")
    with pytest.raises(ValueError, match="need 11 rows of every task, but 'p0' of t has 10"):
        own(f"csv:{path}", target="y", task="person").require(5, 6)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "has no header: it is empty"),
        ("a,kind\n", {}, "has no rows"),
        ("a,a,kind\n1,2,x\n", {}, "has the column 'a' twice"),
        ("a,kind\n\n1,x\n\n2,\n", {}, "line 5, column 'kind': no value: ''"),
        ("a,kind\n1,x\n2,NaN\n", {}, "line 3, column 'kind': no value: 'NaN'"),
        ("a,kind\n1,0.5\n2,0.5\n", {}, "say with --task COLUMN which rows are a task"),
        ("a,kind\n1,4\n2,5\n", {}, "say with --task COLUMN which rows are a task"),
        ("a,kind\n1,4\n", {"task": "kind"}, "--target and --task are both 'kind'"),
        ("a,kind\n1,4\n", {"task": "a", "ways": 3}, "--ways means nothing for --data csv"),
    ],
)
def test_tables_that_say_no_classes_are_refused(
    text: str, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    """With the line of the file; a byte order mark is none of the first column's name."""
    (tmp_path / "t.csv").write_text(text, encoding="utf-8-sig")
    with pytest.raises(ValueError, match=message):
        own(f"csv:{tmp_path / 't.csv'}", target="kind", **options)

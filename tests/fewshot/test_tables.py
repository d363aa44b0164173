"""Tables as they come: columns that give the answer away, and labels in two spellings."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from metarl.fewshot.data.classes import ClassSource
from metarl.fewshot.data.sources import DataConfig, make_source
from metarl.fewshot.data.task import DataWarning, Source

KINDS = np.repeat(np.arange(12), 20)


def write(path: Path, target: object = KINDS, **columns: object) -> Path:
    """Noise a and b beside the columns that are given, and the target y; `nameless` has none."""
    noise = np.random.default_rng(0)
    table = {**columns, "a": noise.normal(size=240), "b": noise.normal(size=240), "y": target}
    header = ",".join("" if name == "nameless" else name for name in table)
    rows = zip(*(list(column) for column in table.values()), strict=True)  # type: ignore[call-overload]
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))
    return path


def own(path: Path, **options: object) -> Source:
    ways = {} if options.get("task") else {"ways": 2}
    return make_source(DataConfig(f"csv:{path}", target="y", **ways, **options))  # type: ignore[arg-type]


def said(path: Path, **options: object) -> str:
    """What is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        own(path, **options)
    assert all(issubclass(w.category, DataWarning) for w in caught)
    return "\n".join(str(w.message) for w in caught)


shuffled = np.random.default_rng(1).permutation(240)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (np.arange(240), "counts the rows"),
        (500 - 2 * np.arange(240), "counts the rows"),
        (np.cumsum(shuffled + 1), "counts the rows"),  # numbers of rows that were chosen
        (KINDS % 2, "is the same in all rows of a class"),
        (KINDS * 7 % 12, "is the same in all rows of a class"),
        (KINDS + shuffled / 480, "alone tells the classes apart"),
        (1e9 + np.arange(240) * 60.5, "alone tells the classes apart"),  # when it was recorded
    ],
)
def test_columns_that_give_the_class_away_are_warned_of(
    column: np.ndarray, reason: str, tmp_path: Path
) -> None:
    """By name and reason; --drop leaves them out, and then nothing is said."""
    path = write(tmp_path / "t.csv", **{"Unnamed: 0": column})
    assert f"'Unnamed: 0' {reason}: what is learned may be that alone" in said(path)
    assert own(path, drop=("Unnamed: 0",)).x_shape == (2,)


@pytest.mark.parametrize(
    "column",
    [
        shuffled,  # numbers that say nothing
        KINDS * 0 + 3,
        shuffled % 2,
        KINDS + np.random.default_rng(2).normal(size=240),  # a good feature
        np.tile(np.arange(20), 12),
    ],
)
def test_other_columns_are_no_matter(column: np.ndarray, tmp_path: Path) -> None:
    """Neither those without a meaning, nor one that helps."""
    assert said(write(tmp_path / "t.csv", c=column)) == ""


def test_columns_that_give_the_target_away_are_warned_of(tmp_path: Path) -> None:
    """Of a regression: row numbers, and the target in another unit or on another scale."""
    y = np.random.default_rng(3).normal(size=240)
    path = write(
        tmp_path / "t.csv", y, id=np.arange(240), other=32 + 1.8 * y, log=np.exp(y), who=KINDS
    )
    warned = said(path, task="who")
    for column, reason in (("id", "counts the rows"), ("other", "alone tells the target")):
        assert f"'{column}' {reason}" in warned
    assert "'log' alone tells the target" in warned
    assert said(path, task="who", drop=("id", "other", "log")) == ""


def test_rows_of_arrays_are_looked_at_too(tmp_path: Path) -> None:
    """By the numbers of their columns, in classification and in regression."""
    noise = np.random.default_rng(0).normal(size=(240, 2))
    x = np.column_stack([noise, np.arange(240)])
    np.savez(tmp_path / "classes.npz", x=x, y=KINDS)
    with pytest.warns(DataWarning, match="column 2 of x counts the rows"):
        make_source(DataConfig(f"npz:{tmp_path / 'classes.npz'}", ways=2))
    np.savez(tmp_path / "tasks.npz", x=x.reshape(12, 20, 3), y=noise.reshape(12, 20, 2))
    with pytest.warns(DataWarning, match="column 0 of x alone tells the target, column 1 of x"):
        make_source(DataConfig(f"npz:{tmp_path / 'tasks.npz'}"))


@pytest.mark.parametrize("task", ["", "who"])
def test_a_column_without_a_name_is_no_input(task: str, tmp_path: Path) -> None:
    """In classification and in regression alike; it is said where it is."""
    path = write(tmp_path / "t.csv", who=KINDS, nameless=np.arange(240))
    with pytest.warns(DataWarning, match="column 2 has no name and no part in the inputs"):
        assert own(path, task=task, drop=() if task else ("who",)).x_shape == (2,)


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (("z",), "no column 'z'; it has 'a', 'b', 'y'"),
        (("y",), "--drop and --target are both 'y'"),
        (("a", "b"), "no columns left for the inputs"),
    ],
)
def test_what_cannot_be_left_out_is_refused(
    drop: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    """By name."""
    with pytest.raises(ValueError, match=message):
        own(write(tmp_path / "t.csv"), drop=drop)


def test_blanks_around_labels_and_columns_are_no_matter(tmp_path: Path) -> None:
    """`c0` and `c0 ` are one class, and a column is found by its name."""
    labels = [f"c{kind}{' ' * (i % 2)}" for i, kind in enumerate(KINDS)]
    path = write(tmp_path / "t.csv", labels)
    path.write_text(path.read_text().replace("a,b,y", "a , b, y"))
    source = own(path, drop=("b",))
    assert isinstance(source, ClassSource)
    assert len(source.stock.names) == 12
    assert source.x_shape == (1,)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("7", "07"),
        ("1e3", "1000"),
        ("New York", "New  York"),
        ("a b", "a\N{NO-BREAK SPACE}b"),
        ("9007199254740993", "9007199254740993.0"),
        ("inf", "Infinity"),
    ],
)
def test_one_label_in_two_spellings_is_refused(one: str, other: str, tmp_path: Path) -> None:
    """Of tables and of arrays, of classes and of tasks; quoted, so that blanks can be seen."""
    labels = [f"c{kind}" if kind > 1 else (one, other)[kind] for kind in KINDS]
    path = write(tmp_path / "t.csv", labels)
    message = "which look like one in two spellings"
    with pytest.raises(ValueError, match=message) as refused:
        own(path)
    assert repr(one) in str(refused.value)
    assert repr(other) in str(refused.value)
    np.savez(tmp_path / "t.npz", x=np.random.default_rng(0).normal(size=(240, 2)), y=labels)
    with pytest.raises(ValueError, match=f"t has the classes .*{message}"):
        make_source(DataConfig(f"npz:{tmp_path / 't.npz'}"))
    tasks = write(tmp_path / "tasks.csv", np.arange(240) * 7 % 50, who=labels)
    with pytest.raises(ValueError, match=f"tasks has the tasks .*{message}"):
        own(tasks, task="who")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("9007199254740992", "9007199254740993"),
        ("1e400", "1e500"),
        ("1_0", "10"),
        ("inf", "-inf"),
        ("Infinity", "infinite"),
        ("1e9999999999999999999999", "1"),
    ],
)
def test_two_labels_that_differ_as_they_are_written_are_two_classes(
    one: str, other: str, tmp_path: Path
) -> None:
    """Whole numbers are as large as they like, infinity is a name, and 1_0 is no number."""
    labels = [f"c{kind}" if kind > 1 else (one, other)[kind] for kind in KINDS]
    source = own(write(tmp_path / "t.csv", labels))
    assert isinstance(source, ClassSource)
    assert {one, other} <= set(source.stock.names)

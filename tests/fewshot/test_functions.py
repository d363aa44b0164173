"""Regression tasks that a function of the user's own draws."""

from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.fewshot.data.functions import FunctionSource
from metarl.fewshot.data.sources import DataConfig, absolute, make_source, tuned_as
from metarl.fewshot.data.task import PARTS, DrawFailed, Source

LINES = """
import numpy as np

calls = 0

def lines(random, n):
    "y = 100 + slope x at places in a row."
    x = np.linspace(0, 50, n)
    return x, 100 + random.uniform(1, 2) * x

def plane(random, n):
    x = random.normal(size=(n, 2))
    return x, np.column_stack([x @ random.normal(size=2), x[:, 0], x[:, 1]])

def always(random, n):
    return np.arange(n), np.arange(n)

def other(random, n):
    return tuple(np.random.default_rng().normal(size=(2, n)))

def one(random, n):
    return random.normal(size=n)

def few(random, n):
    return np.zeros(3), np.zeros(3)

def words(random, n):
    return ["a"] * n, np.zeros(n)

def infinite(random, n):
    return np.zeros(n), np.full(n, np.inf)

def broken(random, n):
    return 1 / 0

def tires(random, n):
    global calls
    calls += 1
    return tuple(random.normal(size=(2, n))) if calls < 70 else random.normal(size=n)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("functions") / "functions_of_a_user.py"
    path.write_text(LINES)
    return path


def own(file: Path, name: str) -> Source:
    return make_source(DataConfig(f"{file}:{name}"))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_function_draws_tasks(file: Path) -> None:
    """Standardised with the mean and deviation of some of them; examples are in random order."""
    source = own(file, "lines")
    assert (source.name, source.kind) == ("lines", "regression")
    assert (source.x_shape, source.outputs) == ((1,), 1)
    split = source.sample(200, 3, 8, "train", generator())
    x = source.units.x.outwards(torch.cat([split.support.x, split.query.x], 1))
    y = source.units.y.outwards(torch.cat([split.support.y, split.query.y], 1))
    torch.testing.assert_close(x.sort(1).values[0, :, 0], torch.linspace(0, 50, 11))
    assert len({tuple(row) for row in x[:, :3, 0].round().tolist()}) > 100
    slope = ((y - 100) / x)[x > 1].reshape(200, 10)
    torch.testing.assert_close(slope, slope[:, :1].expand(-1, 10), rtol=1e-4, atol=1e-4)
    assert 1 <= float(slope.min()) < 1.02 < 1.98 < float(slope.max()) <= 2.0001
    assert abs(float(split.query.y.mean())) < 0.1
    assert 0.9 < float(split.query.y.std()) < 1.1


def test_the_same_generator_draws_the_same_tasks_of_a_function(file: Path) -> None:
    """In every part, and others with another seed; any number of inputs and targets will do."""
    source = own(file, "plane")
    assert (source.x_shape, source.outputs) == ((2,), 3)
    draws = [source.sample(2, 2, 3, part, generator(s)).query.y for part in PARTS for s in (0, 1)]
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])
    assert source.describe() == own(file, "plane").describe()


def test_a_function_that_changes_is_noticed(file: Path, tmp_path: Path) -> None:
    """By the tasks that it draws, not by its text."""
    described = []
    for i, text in enumerate((LINES, LINES + "\n# a remark\n", LINES.replace("100 +", "101 +"))):
        path = tmp_path / f"changed_functions_{i}.py"
        path.write_text(text)
        described.append(own(path, "lines").describe()["data_sha256"])
    assert described[0] == described[1] != described[2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("always", "returns the same task every time: it must draw what varies"),
        ("other", "returns another task for the same random numbers"),
        ("one", "must return x and y, got ndarray"),
        ("few", r"x of 32 examples must be \[32\] or \[32, numbers\], got \(3,\)"),
        ("words", "x must be numbers, got .'a'"),
        ("infinite", "y has values that are not finite"),
        ("broken", r"failed:\n(.|\n)*return 1 / 0\n(.|\n)*ZeroDivisionError"),
        ("nobody", "has no function 'nobody'; it has always, broken, few"),
        ("calls", "has no function 'calls'"),
    ],
)
def test_functions_that_draw_no_tasks_are_refused(name: str, message: str, file: Path) -> None:
    """With the user's own lines, and none of ours."""
    with pytest.raises(ValueError, match=message) as refused:
        own(file, name)
    assert "metarl/fewshot" not in str(refused.value)


def test_what_is_no_module_is_refused(tmp_path: Path) -> None:
    """With all that there is; options of stored data mean nothing."""
    with pytest.raises(
        ValueError, match="unknown data 'fodler:x'; valid: .* as my_module:function"
    ):
        make_source(DataConfig("fodler:x"))
    with pytest.raises(ValueError, match="there is no file"):
        make_source(DataConfig(f"{tmp_path / 'none.py'}:f"))
    with pytest.raises(ValueError, match="--ways means nothing for --data"):
        make_source(DataConfig("math:sin", ways=3))


def test_a_module_is_found_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name; a file's path is kept whole, and is what a module here stands for."""
    (tmp_path / "module_of_a_user.py").write_text(LINES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere", *__import__("sys").path])
    assert isinstance(make_source(DataConfig("module_of_a_user:lines")), FunctionSource)
    whole = absolute(DataConfig("module_of_a_user.py:lines")).data
    assert whole == f"{tmp_path / 'module_of_a_user.py'}:lines"
    assert absolute(DataConfig("module_of_a_user:lines")).data == whole
    assert absolute(DataConfig("os.path:join")).data == "os.path:join"


def test_a_function_may_fail_later(file: Path) -> None:
    """That is told apart from a mistake of ours, so that a run ends in order."""
    source = own(file, "tires")
    with pytest.raises(DrawFailed, match="must return x and y, got ndarray"):
        source.sample(10, 1, 1, "train", generator())


def test_arrays_of_tasks_are_regression(tmp_path: Path) -> None:
    """x `[tasks, n, d]` and y `[tasks, n]` of a .npz file; a task's examples stay together."""
    random = np.random.default_rng(0)
    x, slope = random.normal(50, 9, size=(12, 20, 2)), random.normal(size=(12, 1))
    np.savez(tmp_path / "t.npz", x=x, y=slope * x[:, :, 0])
    source = make_source(DataConfig(f"npz:{tmp_path / 't.npz'}"))
    assert (source.kind, source.x_shape, source.outputs) == ("regression", (2,), 1)
    split = source.sample(30, 4, 6, "train", generator())
    x_of, y_of = (source.units.x.outwards(split.query.x), source.units.y.outwards(split.query.y))
    found = (y_of / x_of[..., :1]).squeeze(-1)
    torch.testing.assert_close(found, found[:, :1].expand(-1, 6), rtol=1e-3, atol=1e-3)
    assert bool(
        torch.isin(
            found[:, 0].round(decimals=2), torch.tensor(slope).float().round(decimals=2)
        ).all()
    )
    assert tuned_as(f"npz:{tmp_path / 't.npz'}") != "omniglot"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((3, 4)), "y": np.zeros((3, 4))}, r"x must be \[tasks, n, d\]"),
        ({"x": np.zeros((3, 4, 1)), "y": np.zeros((3, 5))}, r"got \(3, 4, 1\) and \(3, 5\)"),
        ({"x": np.zeros((3, 4, 1)), "y": np.full((3, 4), "a")}, "y must be numbers in regression"),
        ({"x": np.zeros((3, 4, 1)), "y": np.full((3, 4), np.nan)}, "y is not finite in row 0"),
        ({"x": np.zeros((2, 4, 1)), "y": np.zeros((2, 4))}, "has 2 tasks, but its three parts"),
    ],
)
def test_bad_arrays_of_tasks_are_refused(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path
) -> None:
    """With what is wrong."""
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        make_source(DataConfig(f"npz:{tmp_path / 'bad.npz'}"))
    with pytest.raises(ValueError, match="--ways means nothing for --data npz"):
        make_source(DataConfig(f"npz:{tmp_path / 'bad.npz'}", ways=3))

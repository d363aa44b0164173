"""What a few-shot run has learned, used on a user's own data, with and without those of the run."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import metarl
from metarl.cli.evaluate_few_shot import main as evaluate
from metarl.cli.train_few_shot import main as train
from metarl.experiment import checkpoint
from metarl.fewshot.comparison import TRAIN_TASKS
from metarl.fewshot.data.inputs import OutsideWarning
from metarl.fewshot.data.task import Split

# what is made up here is easier than anything real
pytestmark = pytest.mark.filterwarnings("ignore:.*alone tells")

TINY = ["--iterations", "2", "--tasks", "2", "--compile", "off", "--how", "loop", "--hidden", "4"]
SMALL = ["--shots", "2", "--queries", "2", "--ways", "2", "--filters", "4"]


def write_patients(path: Path, patients: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets far from 0 and 1."""
    noise = np.random.default_rng(0)
    x = noise.normal(1e6, 30.0, size=(patients * 20, 2))
    y = 500 + 3 * (x[:, 0] - 1e6)
    rows = [
        f"{i % patients},{a!r},{b!r},{t!r}"
        for i, ((a, b), t) in enumerate(zip(x.tolist(), y.tolist(), strict=True))
    ]
    path.write_text("\n".join(["patient,a,b,score", *rows]))
    return x, y


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of regression beside its table."""
    folder = tmp_path_factory.mktemp("patients")
    write_patients(folder / "t.csv")
    data = ["--data", f"csv:{folder / 't.csv'}", "--target", "score", "--task", "patient"]
    algo = ["--algo", "r2d2", "--iterations", "300", "--lr", "0.01", "--shots", "8"]
    assert train([*data, *TINY, *algo, "--run-dir", str(folder / "run")]) == 0
    return folder


def write_pictures(folder: Path, classes: int = 6) -> Path:
    noise = np.random.default_rng(0)
    for c in range(classes):
        (folder / f"class{c}").mkdir(parents=True, exist_ok=True)
        for i in range(4):
            pixels = noise.integers(0, 255, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class{c}" / f"{i}.png")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A run of classification beside its pictures."""
    data = ["--data", f"folder:{write_pictures(tmp_path / 'mine')}", "--image-size", "16"]
    options = [*data, *TINY, *SMALL, "--algo", "protonet", "--run-dir", str(tmp_path / "run")]
    assert train(options) == 0
    return tmp_path


def test_an_agent_takes_and_gives_the_units_of_its_table(patients: Path, tmp_path: Path) -> None:
    """A line is learned from eight raw rows; the exported program and the saved file know it."""
    x, y = write_patients(tmp_path / "other.csv")
    adapted = metarl.load_few_shot(patients / "run").adapt((x[:8], y[:8]))
    predicted = adapted.predict(x[8:])
    error = (predicted[:, 0].numpy() - y[8:]) / y.std()
    assert np.sqrt(np.square(error).mean()) < 0.5
    adapted.save(tmp_path / "adapted.safetensors")
    loaded = metarl.load_adapted(tmp_path / "adapted.safetensors", device="auto")
    torch.testing.assert_close(loaded.predict(x[8:]).cpu(), predicted)
    program = adapted.export(x[:1]).module()
    torch.testing.assert_close(program(torch.from_numpy(x[8:])), predicted)


def test_deviations_are_in_the_units_of_the_table(tmp_path: Path) -> None:
    """A CNP predicts standardised ones."""
    x, y = write_patients(tmp_path / "t.csv")
    data = ["--data", f"csv:{tmp_path / 't.csv'}", "--target", "score", "--task", "patient"]
    options = ["--algo", "cnp", "--shots", "8", "--run-dir", str(tmp_path / "run")]
    assert train([*data, *TINY[:-2], *options]) == 0
    adapted = metarl.load_few_shot(tmp_path / "run").adapt((x[:8], y[:8]))
    units, shown = adapted.config.form.units, torch.from_numpy(x[8:])
    learned = adapted.learner.deviation(adapted.theta, adapted.adapted, units.inputs(shown))
    assert units.y.deviation[0] == pytest.approx(90, rel=0.2)
    torch.testing.assert_close(adapted.deviation(x[8:]), learned * units.y.deviation[0])


class Recorder:
    """A source that keeps the tasks that it gives, by their part."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.tasks: list[tuple[str, Split]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def sample(self, tasks: int, shots: int, queries: int, part: str, generator: Any) -> Split:
        self.tasks.append((part, self._source.sample(tasks, shots, queries, part, generator)))
        return self.tasks[-1][1]


def test_learners_of_one_task_are_settled_on_other_tasks_than_they_are_judged_on(
    tmp_path: Path,
) -> None:
    """And judged on those of the evaluation."""
    options = ["--data", "sinusoid", "--algo", "maml", "--run-dir", str(tmp_path / "run")]
    assert train([*options, *TINY]) == 0
    agent = metarl.load_few_shot(tmp_path / "run")
    agent.source = source = Recorder(agent.source)
    agent.compare(agent.evaluate(tasks=TRAIN_TASKS))  # as many, or the draws would differ anyhow
    (one, judged), (other, settled), (again, compared) = source.tasks
    assert (one, other, again) == ("test", "train", "test")
    torch.testing.assert_close(judged.support.x, compared.support.x)
    seen = {row.numpy().tobytes() for row in judged.query.y}
    assert not seen & {row.numpy().tobytes() for row in settled.query.y}


def test_bytes_are_pictures_between_0_and_1(pictures: Path) -> None:
    """Of the support set and of the queries, and in an exported program."""
    pixels = np.random.default_rng(0).integers(0, 255, (4, 1, 16, 16), dtype=np.uint8)
    agent, y = metarl.load_few_shot(pictures / "run"), [0, 0, 1, 1]
    adapted, floats = agent.adapt((pixels, y)), agent.adapt((pixels / 255, y))
    torch.testing.assert_close(adapted.predict(pixels), floats.predict(pixels / 255))
    program = adapted.export(pixels).module()
    torch.testing.assert_close(program(torch.from_numpy(pixels)), adapted.predict(pixels))


def test_inputs_that_are_unlike_those_of_training_are_told(
    pictures: Path, patients: Path, tmp_path: Path
) -> None:
    """By light and dark, by units, and by axes; those of the run's own kind are not."""
    agent, y = metarl.load_few_shot(pictures / "run"), [0, 0, 1, 1]
    noise = np.random.default_rng(1).integers(0, 255, (4, 1, 16, 16), dtype=np.uint8)
    agent.adapt((noise, y))
    with pytest.warns(OutsideWarning, match="an image's mean is 0.0"):
        agent.adapt((noise // 64, y))
    with pytest.raises(ValueError, match=r"their channels come last: x.movedim\(-1, 1\)"):
        agent.adapt((noise.transpose(0, 2, 3, 1), y))
    with pytest.raises(ValueError, match=r"they have no axis of channels: x\[:, None\]"):
        agent.adapt((noise[:, 0], y))
    with pytest.raises(ValueError, match=r"it is a single one: x\[None\]"):
        agent.adapt((noise[0], y))
    x, targets = write_patients(tmp_path / "other.csv")
    agent = metarl.load_few_shot(patients / "run")
    agent.adapt((x[:8], targets[:8]))
    with pytest.warns(OutsideWarning, match=r"in the columns 0, 1 \(counted from 0\)"):
        agent.adapt((x[:8] + 1e3, targets[:8]))


def test_examples_that_nothing_can_be_learned_from_are_refused(patients: Path) -> None:
    """Beside the warning that they are far off; some that are less so are learned from."""
    agent = metarl.load_few_shot(patients / "run")
    x, y = write_patients(patients / "again.csv")
    with pytest.warns(OutsideWarning):
        adapted = agent.adapt((x[:8] + 1e6, y[:8]))
    errors = adapted.predict(x[:8] + 1e6).numpy().squeeze(-1) - y[:8]
    assert np.square(errors).mean() < y[:8].var()
    with pytest.warns(OutsideWarning), pytest.raises(ValueError, match="nothing finite can be"):
        agent.adapt((x[:8] * 1e30, y[:8]))


def test_a_run_is_used_without_its_data(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only evaluating it and going on with it need them."""
    shutil.rmtree(pictures / "mine")
    agent = metarl.load_few_shot(pictures / "run", device="cpu")
    assert agent.adapt((torch.rand(2, 1, 16, 16), [0, 1])).predict(torch.rand(3, 1, 16, 16)).shape
    assert evaluate([str(pictures / "run"), "--tasks", "2"]) == 2
    assert train(["--resume", str(pictures / "run"), "--iterations", "4"]) == 2
    assert capsys.readouterr().err.count(f"{pictures / 'mine'} is not a folder") == 2


def test_a_joint_head_is_used_without_its_data(pictures: Path, tmp_path: Path) -> None:
    """It has an output per class of training, those by rotations too."""
    data = ["--data", f"folder:{pictures / 'mine'}", "--image-size", "16", "--rotations", "on"]
    run = ["--algo", "pretrain", "--eval-steps", "0", "--run-dir", str(tmp_path / "joint")]
    assert train([*data, *TINY, *SMALL, *run]) == 0
    shutil.rmtree(pictures / "mine")
    agent = metarl.load_few_shot(tmp_path / "joint")
    classes = agent.config.protocol["classes"]["train"]
    assert agent.state.theta["joint.bias"].shape == (agent.config.form.train_classes,)
    assert agent.config.form.train_classes == 4 * classes
    adapted, x = agent.adapt((torch.rand(2, 1, 16, 16), [0, 1]), steps=1), torch.rand(3, 1, 16, 16)
    adapted.save(tmp_path / "adapted.safetensors")
    loaded = metarl.load_adapted(tmp_path / "adapted.safetensors")
    assert torch.equal(loaded.predict(x), adapted.predict(x))
    with pytest.raises(ValueError, match="steps must be at least 0, got -1"):
        agent.adapt((x, [0, 1, 1]), steps=-1)


def test_changed_data_are_refused(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else classes of training could become those of tests."""
    write_pictures(pictures / "mine", classes=9)
    assert evaluate([str(pictures / "run"), "--tasks", "2"]) == 2
    assert train(["--resume", str(pictures / "run"), "--iterations", "4"]) == 2
    err = capsys.readouterr().err
    assert err.count("has changed since this run began: classes was {'train': 2") == 2
    write_pictures(pictures / "mine")
    for folder in (pictures / "mine").glob("class[678]"):
        shutil.rmtree(folder)
    Image.new("L", (16, 16)).save(pictures / "mine" / "class0" / "0.png")
    assert evaluate([str(pictures / "run"), "--tasks", "2"]) == 2
    assert "has changed since this run began: data_sha256 was" in capsys.readouterr().err


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    """Though its parameters would fit."""
    for data in ("sinusoid", "mixture"):
        assert train(["--data", data, *TINY, "--run-dir", str(tmp_path / data)]) == 0
    shutil.rmtree(tmp_path / "mixture" / "checkpoints")
    shutil.copytree(tmp_path / "sinusoid" / "checkpoints", tmp_path / "mixture" / "checkpoints")
    with pytest.raises(ValueError, match="was trained on other data than the run describes"):
        metarl.load_few_shot(tmp_path / "mixture")


def test_a_run_holds_in_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that knows nothing of its data's form yet is still read."""
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "mine")
    options = ["--algo", "protonet", "--run-dir", str(tmp_path / "run")]
    assert train(["--data", "folder:mine", *TINY, *SMALL, *options]) == 0
    monkeypatch.chdir("/")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    form = config.pop("form"), config.pop("protocol")
    assert form[0]["name"] == "mine"
    assert evaluate([str(tmp_path / "run"), "--tasks", "2"]) == 0
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    saved = checkpoint.load_latest(tmp_path / "run")
    checkpoint.save(tmp_path / "run", saved.iteration, saved.tensors, {})
    loaded = metarl.load_few_shot(tmp_path / "run").config
    assert loaded.form.x_shape == tuple(form[0]["x_shape"])


def test_examples_that_cannot_be_learned_from_are_refused(pictures: Path, patients: Path) -> None:
    """Labels between two classes, values that are no numbers, other shapes, no examples."""
    agent, x = metarl.load_few_shot(pictures / "run"), torch.rand(2, 1, 16, 16)
    for y in ([0.7, 1.0], [0, 2], [-1, 0], [[0], [1]]):
        with pytest.raises(ValueError, match=r"classes must be \[N\] integers from 0 to 1"):
            agent.adapt((x, y))
    with pytest.raises(ValueError, match="got 2 inputs and 1 targets"):
        agent.adapt((x, [0]))
    with pytest.raises(ValueError, match="uint8 from 0 to 255 or numbers from 0 to 1, got .*255"):
        agent.adapt((torch.full((2, 1, 16, 16), 255), [0, 1]))
    with pytest.raises(ValueError, match="protonet does not adapt by steps: leave steps out"):
        agent.adapt((x, [0, 1]), steps=1)
    with pytest.raises(ValueError, match="is a run of few-shot learning: metarl.load_few_shot"):
        metarl.load_agent(pictures / "run")
    with pytest.raises(ValueError, match=r"inputs must be \[N, 1, 16, 16\], got \[2, 1, 16\]"):
        agent.adapt((x, [0, 1])).predict(x[..., 0])
    agent, rows = metarl.load_few_shot(patients / "run"), torch.ones(2, 2)
    for x, y in ((rows, [1.0, float("nan")]), (rows / 0, [1.0, 2.0])):
        with pytest.raises(ValueError, match="has a value that is not finite"):
            agent.adapt((x, y))
    with pytest.raises(ValueError, match="shots must be at least 1, got 0"):
        agent.evaluate(shots=0)
    with pytest.raises(ValueError, match="queries must be at least 1, got 0"):
        agent.evaluate(queries=0)


def test_a_file_that_is_no_adapted_model_is_refused(patients: Path, tmp_path: Path) -> None:
    """A damaged one, and tensors of something else."""
    (tmp_path / "bad").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="bad cannot be read as an adapted model"):
        metarl.load_adapted(tmp_path / "bad")
    (tensors,) = (patients / "run").glob("checkpoints/000300/*.safetensors")
    with pytest.raises(ValueError, match="is no adapted model"):
        metarl.load_adapted(tensors)

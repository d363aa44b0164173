"""The few-shot command: what it writes, how it goes on, what it refuses."""

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import metarl
from metarl.cli.command import plain_warnings
from metarl.cli.train_few_shot import main
from metarl.core.mapping import TaskMapping
from metarl.fewshot import Sinusoid
from metarl.fewshot.data.sources import DataConfig
from metarl.fewshot.data.task import DataWarning
from metarl.fewshot.learners.configs import MamlConfig
from metarl.fewshot.registry import ALGORITHMS, preset_config
from metarl.fewshot.run import FewShotRunConfig, describe
from metarl.training.few_shot import FewShotTraining

TINY = ("--iterations", "3", "--tasks", "2", "--compile", "off", "--eval-tasks", "5")


def train(folder: Path, *options: str) -> int:
    return main(["--run-dir", str(folder), *TINY, *options])


def results(folder: Path) -> dict:
    data: dict = json.loads((folder / "results.json").read_text())
    return data


def drawings(folder: Path) -> Path:
    noise = np.random.default_rng(0)
    for c in range(9):
        (folder / f"c{c}").mkdir(parents=True)
        for i in range(4):
            pixels = noise.integers(0, 255, (28, 28), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"c{c}" / f"{i}.png")
    return folder


def of_sinusoid(options: MamlConfig, how: TaskMapping) -> FewShotRunConfig:
    """MAML on sine waves, evaluated only in the end."""
    first = "maml", "default", 0, "cpu", how, False, 0, 1000, DataConfig()
    return FewShotRunConfig(*first, algorithm=options, **describe(Sinusoid()))


def data_for(algo: str, folder: Path) -> list[str]:
    """Options: pictures for algorithms that only classify, sine waves for the others."""
    if algo not in ("protonet", "matching-net"):
        return []
    own = ["--data", f"folder:{drawings(folder)}", "--ways", "2", "--shots", "1"]
    return [*own, "--queries", "2", "--filters", "4"]


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm_trains_on_pictures_or_curves(algo: str, tmp_path: Path) -> None:
    """And writes what a run has, with the protocol beside the numbers."""
    data = data_for(algo, tmp_path / "mine")
    folder = tmp_path / "run"
    width = () if algo in ("cnp", "snail") else ("--hidden", "4")
    assert train(folder, "--algo", algo, *data, *width) == 0
    written = results(folder)
    assert written["finished"]
    assert written["iterations"] == 3
    evaluation = written["evaluation"]
    assert evaluation["request"]["tasks"] == 5
    assert evaluation["source"]["data"] == ("mine" if data else "sinusoid")
    assert {"mean", "ci95", "median", "diverged"} < set(evaluation["points"][0])
    rows = list(csv.DictReader((folder / "progress.csv").read_text().splitlines()))
    assert "outer/loss" in rows[0]
    assert list(folder.glob("events.out.tfevents.*"))


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Bit for bit, with evaluations on the way."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = ("--how", "vmap", "--eval-every", "100", "--lr-schedule", "constant")
    assert train(whole, "--iterations", "250", *options) == 0
    assert train(parts, "--iterations", "130", *options) == 0
    assert main(["--resume", str(parts), "--iterations", "250", "--threads", "1"]) == 0
    one, other = (metarl.load_few_shot(f).state.tensors() for f in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(p, other[name]) for name, p in one.items())
    assert results(whole)["evaluation"] == results(parts)["evaluation"]


def test_evaluations_and_checkpoints_come_when_they_are_due(tmp_path: Path) -> None:
    """To the iteration, though the logs have a row per hundred otherwise."""
    options = ("--iterations", "40", "--eval-every", "10", "--checkpoint-every", "7")
    assert train(tmp_path / "run", "--how", "loop", *options) == 0
    files = (tmp_path / "run").rglob("*.safetensors")
    kept = sorted(int("".join(filter(str.isdigit, path.parent.name))) for path in files)
    assert kept == [28, 35, 40]
    rows = list(csv.DictReader((tmp_path / "run" / "progress.csv").read_text().splitlines()))
    evaluated = [int(row["iteration"]) + 1 for row in rows if row["eval/squared_error_after_1"]]
    assert evaluated == [10, 20, 30, 40]


def test_an_interrupt_is_heard_between_iterations(tmp_path: Path) -> None:
    """Not only where a row of the logs ends."""
    training = FewShotTraining(of_sinusoid(MamlConfig(tasks=2), "loop"), 1, Sinusoid())
    training.step(lambda: training.parts.trainer is not None)
    assert training.iteration == 1


@pytest.mark.parametrize("iterations", ["3", "250"])
def test_a_training_without_a_finite_update_fails(
    iterations: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a hundred of them, or at the end of a shorter one; its checkpoint stays."""
    folder = tmp_path / "run"
    options = ("--inner-lr", "1e30", "--inner-steps", "5", "--iterations", iterations)
    assert train(folder, "--how", "loop", *options) == 1
    assert "updates was finite" in capsys.readouterr().err
    assert results(folder)["iterations"] == min(int(iterations), 100)
    assert not results(folder)["finished"]
    metarl.load_few_shot(folder)


def test_a_gpu_that_is_full_ends_the_run_with_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, what did not fit, and the way out."""

    def full(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")

    monkeypatch.setattr("metarl.training.few_shot.training_tasks", full)
    assert train(tmp_path / "run", "--how", "loop") == 2
    said = capsys.readouterr().err
    assert "2 tasks × their examples do not fit into the memory: CUDA out of memory" in said
    assert "fewer --tasks" in said
    assert (tmp_path / "run" / "checkpoints" / "000000").is_dir()


def test_warnings_are_shown_as_one_line() -> None:
    """Without the code that they come from; those of other packages are as ever."""
    with plain_warnings():
        assert warnings.formatwarning("few rows", DataWarning, "x.py", 1) == "warning: few rows\n"
        assert "x.py:1: UserWarning" in warnings.formatwarning("few", UserWarning, "x.py", 1)
    assert "x.py:1: DataWarning" in warnings.formatwarning("few", DataWarning, "x.py", 1)


def test_what_is_odd_about_data_is_said_before_the_run(tmp_path: Path) -> None:
    """By name: a column that counts the rows, and a class with too few examples."""
    kinds = [f"k{i // 6}" for i in range(38)]
    rows = [f"{i},{i * 5 % 7},{kind}" for i, kind in enumerate(kinds)]
    (tmp_path / "t.csv").write_text("\n".join(["Unnamed: 0,a,kind", *rows]))
    options = ["--data", f"csv:{tmp_path / 't.csv'}", "--target", "kind", "--ways", "2"]
    options += ["--algo", "protonet", "--shots", "1", "--queries", "2"]
    with pytest.warns(DataWarning) as caught:
        assert train(tmp_path / "one", *options) == 0
    said = [str(warning.message) for warning in caught]
    few = "1 of the 7 classes of t are left out, for they have fewer than 3 examples: 'k6' (2)"
    assert said[0] == few
    assert said[1].startswith(f"{tmp_path / 't.csv'}: 'Unnamed: 0' counts the rows")
    with pytest.warns(DataWarning, match="left out"):
        assert train(tmp_path / "two", *options, "--drop", "Unnamed: 0") == 0
    with pytest.warns(DataWarning, match="left out"):
        assert main(["--resume", str(tmp_path / "two"), "--iterations", "4"]) == 0
    assert json.loads((tmp_path / "two" / "config.json").read_text())["data"]["min_examples"] == 3


def test_a_function_of_the_users_is_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gone on with from another folder; where it fails the run ends in order, or never starts."""
    text = (
        "def waves(random, n):\n    x = random.normal(size=n)\n    return x, random.normal() * x\n"
    )
    (tmp_path / "waves_of_a_user.py").write_text(text)
    options = ["--data", f"{tmp_path / 'waves_of_a_user.py'}:waves", "--how", "loop"]
    assert train(tmp_path / "run", *options) == 0
    assert results(tmp_path / "run")["data"] == "waves"
    assert main(["--resume", str(tmp_path / "run"), "--iterations", "4"]) == 0
    assert results(tmp_path / "run")["iterations"] == 4
    failing = "calls = 0\n" + text.replace(
        "    x =", "    global calls\n    calls += 1\n    assert calls < {}, 'tired'\n    x ="
    )
    for calls, code, end in (
        (168, 1, "\na checkpoint was saved; go on with: python"),
        (99, 2, "\n"),
    ):
        (tmp_path / f"fails_{calls}.py").write_text(failing.format(calls))
        options[1] = f"{tmp_path / f'fails_{calls}.py'}:waves"
        assert train(tmp_path / str(calls), *options) == code
        said = capsys.readouterr().err
        assert f"AssertionError: tired{end}" in said
        assert "Traceback" not in said
    assert not (tmp_path / "99").exists()


def test_presets_make_tasks_of_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """20 ways and 60 in training, as published; beside the hyper-parameters."""
    options = ["--algo", "protonet", "--data", "omniglot", "--preset", "snell2017-20way"]
    assert main([*options, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "(default: 20)" in shown
    assert "(default: 60)" in shown
    assert preset_config("reptile", "nichol2018", "omniglot").outer_optimizer == "sgd"
    assert preset_config("maml", "finn2017-20way", "omniglot").inner_steps == 5
    for algo in ("pretrain", "scratch", "imaml"):
        assert preset_config(algo, "default", "omniglot").norm == "group"


def test_own_images_have_the_hyper_parameters_of_images(tmp_path: Path) -> None:
    """Of every algorithm; with those of curves, MAML without a norm learns nothing of them."""
    y = np.arange(6)
    np.savez(tmp_path / "pictures.npz", x=np.zeros((6, 9, 9)), y=y)
    np.savez(tmp_path / "rows.npz", x=np.zeros((6, 9)), y=y)
    for algo in ALGORITHMS:
        expected = preset_config(algo, "default", "omniglot")
        assert expected.norm == "group"
        for data in ("folder:mine", f"npz:{tmp_path / 'pictures.npz'}"):
            assert preset_config(algo, "default", data) == expected
    rows = preset_config("maml", "default", f"npz:{tmp_path / 'rows.npz'}")
    assert rows == preset_config("maml", "default", "npz:nowhere.npz") == MamlConfig()


def test_pre_training_on_pictures_has_a_joint_head(tmp_path: Path) -> None:
    """Of all training classes; it comes back from a checkpoint and fine-tuning leaves it out."""
    pictures = ["--data", f"folder:{drawings(tmp_path / 'mine')}", "--ways", "2", "--shots", "1"]
    options = [*pictures, "--queries", "2", "--filters", "4", "--algo", "pretrain"]
    assert train(tmp_path / "run", *options) == 0
    agent = metarl.load_few_shot(tmp_path / "run")
    classes = len(agent.source.parts["train"])
    assert agent.state.theta["joint.weight"].shape[0] == classes
    x, y = (
        torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0, 1]),
    )
    adapted = agent.adapt((x, y), steps=2)
    assert not [name for name in adapted.adapted if name.startswith("joint")]
    assert adapted.predict(x).shape == (2, 2)


def test_what_an_adapted_model_knows_beside_its_predictions(tmp_path: Path) -> None:
    """A CNP's deviations and a matching network's attention; other learners have none."""
    assert train(tmp_path / "cnp", "--algo", "cnp") == 0
    x = torch.randn(5, 1, generator=torch.Generator().manual_seed(0))
    adapted = metarl.load_few_shot(tmp_path / "cnp").adapt((x, x))
    assert adapted.deviation(x).shape == (5, 1)
    assert bool((adapted.deviation(x) > 0).all())
    with pytest.raises(ValueError, match="only matching-net has attention"):
        adapted.attention(x)
    pictures = ["--data", f"folder:{drawings(tmp_path / 'mine')}", "--ways", "2", "--shots", "1"]
    options = [*pictures, "--queries", "2", "--filters", "4", "--algo", "matching-net"]
    assert train(tmp_path / "match", *options) == 0
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    matching = metarl.load_few_shot(tmp_path / "match").adapt((images, torch.tensor([0, 1])))
    torch.testing.assert_close(matching.attention(images).sum(-1), torch.ones(2))
    with pytest.raises(ValueError, match="only cnp in regression"):
        matching.deviation(images)


def test_auto_says_how_tasks_are_mapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And config.json keeps it."""
    assert train(tmp_path / "run") == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["how"] == "vmap"
    assert "tasks: vmap" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--algo", "mamml"], "unknown algo 'mamml'; did you mean 'maml'"),
        (["--data", "sinusiod"], "unknown data 'sinusiod'; valid: sinusoid"),
        (["--preset", "finn2018"], "unknown preset 'finn2018'; did you mean 'finn2017'"),
        (["--preset", "finn2017", "--algo", "anil"], "has no anil on sinusoid"),
        (["--inner-lr", "nan"], "--inner-lr must be positive and finite, got nan"),
        (["--tasks", "0"], "--tasks must be at least 1, got 0"),
        (["--norm", "instance"], "norm"),
        (["--algo", "protonet"], "ProtoNet classifies"),
        (["--how", "loop", "--compile", "on"], "--compile on serves vmapped"),
        (["--algo", "anil", "--target", "y"], "--target means nothing for --data sinusoid"),
        (["--image-size", "0"], "--image-size must be at least 1, got 0"),
        (["--ways", "9"], "--ways means nothing for --data sinusoid"),
        (["--support-shift", "1"], "--support-shift moves images, and sinusoid has none"),
        (["--algo", "reptile", "--dropout", "0.5"], "Reptile has no dropout"),
        (["--dropout", "1"], "--dropout must be at least 0 and below 1, got 1"),
        (["--seed", "-1"], "--seed must be at least 0"),
        (["--threads", "0"], "--threads must be at least 1"),
    ],
)
def test_mistakes_are_refused_before_anything_starts(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2, one message and no folder."""
    assert train(tmp_path / "run", *options) == 2
    shown = capsys.readouterr()
    assert message in shown.err + shown.out
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_its_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other options are refused, and checkpoints of another model."""
    folder = tmp_path / "run"
    train(folder)
    assert main(["--resume", str(folder), "--inner-lr", "1"]) == 2
    assert "only --iterations, --eval-tasks and --threads may be given" in capsys.readouterr().err
    config = json.loads((folder / "config.json").read_text())
    config["algorithm"]["hidden"] = [5]
    (folder / "config.json").write_text(json.dumps(config))
    assert main(["--resume", str(folder), "--iterations", "9"]) == 2
    err = capsys.readouterr().err
    assert "does not hold the parameters that the run describes: theta/head.weight has the" in err
    assert "shape [1, 40] in it, [1, 5] in the run" in err


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_adapted_model_is_saved_and_exported(algo: str, tmp_path: Path) -> None:
    """The program takes any number of examples, whatever the number that it was shown."""
    data = data_for(algo, tmp_path / "mine")
    assert train(tmp_path / "run", "--algo", algo, *data) == 0
    agent = metarl.load_few_shot(tmp_path / "run")
    x = torch.rand(7, *agent.config.form.x_shape, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1]) if data else x[:2]
    adapted = agent.adapt((x[:2], y))
    adapted.save(tmp_path / "adapted.safetensors")
    loaded = metarl.load_adapted(tmp_path / "adapted.safetensors")
    assert torch.equal(loaded.predict(x), adapted.predict(x))
    torch.export.save(adapted.export(x[:1]), tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    for n in (1, 2, 7):
        torch.testing.assert_close(program(x[:n]), adapted.predict(x[:n]), rtol=1e-4, atol=1e-5)


def test_an_agent_adapts_and_predicts(tmp_path: Path) -> None:
    """From its run folder, on arrays of the user's."""
    train(tmp_path / "run", "--eval-shots", "5")
    agent = metarl.load_few_shot(tmp_path / "run")
    split = Sinusoid().sample(1, 5, 7, "test", torch.Generator().manual_seed(0))
    support = split.support.x[0].numpy(), split.support.y[0].numpy()
    adapted = agent.adapt(support, steps=3)
    x = split.query.x[0]
    expected = adapted.predict(x)
    assert expected.shape == (7, 1)
    assert not torch.equal(expected, agent.adapt(support, steps=0).predict(x))
    with pytest.raises(ValueError, match=r"inputs must be \[N, 1\]"):
        agent.adapt((x.squeeze(-1), x))

"""The training command, on tiny runs."""

import csv
import dataclasses
import errno
import io
import json
import signal
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from metarl import load_agent
from metarl.algorithms.maml_trpo.algorithm import MamlTrpo
from metarl.algorithms.maml_trpo.config import MamlTrpoConfig
from metarl.algorithms.maml_trpo.objective import MetaObjective
from metarl.cli import train as train_metarl
from metarl.cli.display import progress_bar
from metarl.experiment import checkpoint
from metarl.tasks import family_names, registry, task_at
from metarl.tasks.engines.arrays import ArraysEngine

ROOT = Path(__file__).parent.parent.parent
TINY = ["--tasks", "2", "--episodes", "2", "--horizon", "5", "--threads", "1"]
FEW = ["--eval-tasks", "2"]


def train(folder: Path, *options: str, env: str = "point-nav") -> int:
    return train_metarl.main(["--env", env, "--run-dir", str(folder), *TINY, *options])


def resume(folder: Path, *options: str) -> int:
    return train_metarl.main(["--resume", str(folder), *options])


def tensors(folder: Path, iteration: int) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / f"{iteration:06d}" / "tensors.safetensors")


def progress(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]


def results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


def signal_in_first_step(monkeypatch: pytest.MonkeyPatch, number: int, times: int = 1) -> None:
    step = train_metarl.Training.step

    def interrupted(self: train_metarl.Training, stopping: Callable[[], bool]) -> dict[str, float]:
        metrics = step(self, stopping)
        for _ in range(times if self.position.iteration == 1 else 0):
            signal.raise_signal(number)
        return metrics

    monkeypatch.setattr(train_metarl.Training, "step", interrupted)


def assert_same_run(one: Path, other: Path, iteration: int) -> None:
    expected, actual = tensors(one, iteration), tensors(other, iteration)
    assert expected.keys() == actual.keys()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert progress(one) == progress(other)
    assert results(one)["evaluation"] == results(other)["evaluation"]


@pytest.mark.parametrize("env", ["point-nav", "half-cheetah-vel", "half-cheetah-dir"])
def test_a_run_leaves_all_its_files(tmp_path: Path, env: str) -> None:
    """Configuration, events, progress, checkpoints and results."""
    folder = tmp_path / "run"
    assert train(folder, "--iterations", "2", env=env) == 0
    assert json.loads((folder / "config.json").read_text())["family"]["name"] == env
    assert len(progress(folder)) == 2
    assert list(folder.glob("events.out.tfevents.*"))
    assert tensors(folder, 2)
    found = results(folder)
    assert found["finished"]
    assert found["iterations"] == 2
    assert (found["evaluation"]["tasks"], found["evaluation"]["episodes_per_update"]) == (40, 20)
    assert [p["updates"] for p in found["evaluation"]["curve"]] == [0, 1, 2, 3]


def test_lines_say_what_training_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal: a line per iteration, the table, no line broken, no control codes."""
    folder = tmp_path / ("long" * 40)
    train(folder, "--iterations", "1")
    out = capsys.readouterr().out
    assert "1/1  return" in out
    assert all(word in out for word in ("→", "KL", "steps/s", "95 % interval", f"run: {folder}"))
    assert "\x1b" not in out


def test_a_terminal_gets_a_progress_bar() -> None:
    """With the iterations done and the time left."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100)
    with progress_bar(console, completed=3, total=9) as report:
        report(4, "10,000 steps/s")
    assert "4/9" in file.getvalue()
    assert "-:--:--" in file.getvalue()
    assert "10,000 steps/s" in file.getvalue()


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Bit for bit, with another number of threads and evaluations on the way."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = ["--eval-every", "2", "--normalize-observations", "--learn-inner-lr"]
    train(whole, "--iterations", "4", *options)
    train(parts, "--iterations", "2", *options)
    assert resume(parts, "--iterations", "4", "--threads", "2") == 0
    assert_same_run(whole, parts, 4)
    assert "eval/return_after_3" in progress(whole)[1]
    assert json.loads((parts / "config.json").read_text())["algorithm"]["iterations"] == 4


def test_a_resumed_cheetah_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Bit for bit on the MuJoCo engine, evaluated at the end only."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole, *FEW, "--iterations", "2", "--eval-every", "0", env="half-cheetah-vel")
    train(parts, *FEW, "--iterations", "1", "--eval-every", "0", env="half-cheetah-vel")
    assert resume(parts, "--iterations", "2", "--threads", "2") == 0
    assert_same_run(whole, parts, 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_in_order(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    """After the current iteration: checkpoint, results, the command to go on, exit code 130."""
    whole, parts = tmp_path / "whole", tmp_path / "parts of it"
    train(whole, "--iterations", "3")
    signal_in_first_step(monkeypatch, number)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert train(parts, "--iterations", "3") == 130
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert results(parts)["iterations"] == 1
    assert not results(parts)["finished"]
    assert f"train_metarl.py --resume '{parts}'" in capsys.readouterr().out
    assert resume(parts) == 0
    assert_same_run(whole, parts, 3)


def test_a_second_interrupt_quits_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without writing anything more, and without a traceback."""
    signal_in_first_step(monkeypatch, signal.SIGINT, times=2)
    assert train(tmp_path / "run", "--iterations", "3") == 130
    assert not (tmp_path / "run" / "results.json").exists()
    assert "quit at once" in capsys.readouterr().err


def test_a_value_that_is_not_finite_ends_the_run_after_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and one message with task, episode and step; the run can go on."""
    step, calls = ArraysEngine.step, []

    def broken(self: ArraysEngine, action: Any, noise: Any) -> Any:
        out = step(self, action, noise)
        calls.append(1)
        if len(calls) == 18:  # the second iteration's third step: there are three phases of five
            out.reward[1, 0] = np.nan
        return out

    monkeypatch.setattr(ArraysEngine, "step", broken)
    folder = tmp_path / "run"
    assert train(folder, "--iterations", "3") == 1
    err = capsys.readouterr().err
    assert "not finite: task 1 ({'goal': [" in err
    assert "episode 0, step 2" in err
    assert "--resume" in err
    assert tensors(folder, 1)
    assert results(folder)["iterations"] == 1
    assert resume(folder) == 0


def test_a_full_disk_ends_the_run_with_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checkpoint before it stays, and the run can go on."""
    folder, write = tmp_path / "run", checkpoint._write
    full = OSError(errno.ENOSPC, "No space left on device")

    def writing(path: Path, data: bytes) -> None:
        if ".000001" not in str(path):
            raise full
        write(path, data)

    monkeypatch.setattr(checkpoint, "_write", writing)
    assert train(folder, "--iterations", "3", "--checkpoint-every", "1") == 1
    err = capsys.readouterr().err
    assert err.startswith("error: [Errno 28] No space left on device\n")
    assert "cannot be written" in err
    assert "its newest checkpoint stays; go on with" in err
    monkeypatch.setattr(checkpoint, "_write", write)
    assert resume(folder) == 0
    assert results(folder)["iterations"] == 3


def test_a_finished_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Resuming it without more iterations does nothing; fewer than are done is refused."""
    folder = tmp_path / "run"
    train(folder, "--iterations", "2")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert resume(folder) == 0
    assert "all 2 iterations are done; raise --iterations" in capsys.readouterr().out
    assert resume(folder, "--iterations", "1") == 2
    assert "2 are done" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--env", "half-cheetah-vle"], "did you mean half-cheetah-vel"),
        (["--env", "half-cheetah-vle"], "--list-envs"),
        (["--preset", "fin2017"], "did you mean 'finn2017'"),
        (["--preset", "promp2018", "--env", "point-nav"], "preset 'promp2018' has no point-nav"),
        (["--algo", "maml"], "maml-trpo"),
        (["--engine", "thread"], "threads"),
        (["--engine", "arrays", "--env", "half-cheetah-vel"], "use --engine threads"),
        (["--env"], "--env"),
        (["--tasks", "0"], "--tasks must be at least 1, got 0"),
        (["--tasks", "many"], "many"),
        (["--tsks", "3"], "--tasks"),
        (["--horizon", "-1"], "horizon must be at least 1, got -1"),
        (["--inner-lr", "nan"], "--inner-lr must be positive and finite, got nan"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--eval-every", "-1"], "--eval-every must be at least 0, got -1"),
        (["--checkpoint-every", "0"], "--checkpoint-every must be at least 1, got 0"),
        (["--seed", "-1"], "the seed must be between 0"),
        (["--device", "cuda"], "finds no CUDA device"),
    ],
    ids=" ".join,
)
def test_a_mistake_ends_with_code_2_and_one_message(
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything starts: no run folder is made."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert train_metarl.main(["--run-dir", str(tmp_path / "run"), *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.out + captured.err
    assert not (tmp_path / "run").exists()


def test_only_what_the_machine_decides_may_be_given_with_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything else comes from the run folder."""
    assert resume(tmp_path, "--tasks", "3", "--seed=1") == 2
    assert (
        "only --env, --iterations, --eval-tasks, --eval-updates, --eval-episodes, --device, "
        "--compile, --threads and --workers may be given with --resume, got --tasks, --seed"
        in (capsys.readouterr().err)
    )


def test_a_run_is_resumed_on_another_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its GPU or its compiler; config.json records what changes."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    folder = tmp_path / "run"
    train(folder, *FEW, "--iterations", "1")
    file = folder / "config.json"
    config = json.loads(file.read_text())
    for total, change, option, message in (
        ("2", {"device": "cuda", "compiled": True}, ["--device", "cpu"], "finds no CUDA device"),
        ("3", {"compiled": True}, ["--compile", "off"], "use --compile off"),
    ):
        file.write_text(json.dumps({**config, **change}))
        assert resume(folder, "--iterations", total) == 2
        assert message in capsys.readouterr().err
        assert resume(folder, "--iterations", total, *option) == 0
        recorded = json.loads(file.read_text())
        assert (recorded["device"], recorded["compiled"]) == ("cpu", False)


def test_folders_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run folder that is not empty; a resume without a checkpoint, which says what is there."""
    (tmp_path / "note.txt").write_text("mine")
    assert train(tmp_path) == 2
    assert "is not empty" in capsys.readouterr().err
    assert resume(tmp_path) == 2
    assert "no checkpoint" in (err := capsys.readouterr().err)
    assert "note.txt" in err
    assert resume(tmp_path / "nothing") == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_configuration_with_an_unknown_key_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names file, key and the nearest valid one."""
    folder = tmp_path / "run"
    train(folder, "--iterations", "1")
    config = json.loads((folder / "config.json").read_text())
    config["algorithm"]["taks"] = config["algorithm"].pop("tasks")
    (folder / "config.json").write_text(json.dumps(config))
    assert resume(folder) == 2
    err = capsys.readouterr().err
    assert "config.json" in err
    assert "no field 'taks'; did you mean 'tasks'" in err


def test_help_shows_every_hyper_parameter_with_its_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The defaults are those of the preset."""
    assert train_metarl.main(["--preset", "deleu2020", "--help"]) == 0
    out = capsys.readouterr().out
    for field in dataclasses.fields(MamlTrpoConfig):
        assert "--" + field.name.replace("_", "-") in out
    assert "(default: 0.1)" in out.split("--action-scale")[1][:400]


def test_a_preset_changes_defaults_and_options_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """deleu2020 sets horizon and action scale; what the user says holds."""
    monkeypatch.setattr(train_metarl, "train", lambda *_: 0)
    folder = tmp_path / "run"
    options = ["--preset=deleu2020", "--hidden", "8"]
    assert train_metarl.main(["--run-dir", str(folder), *options]) == 0
    config = json.loads((folder / "config.json").read_text())
    assert config["family"]["horizon"] == 100
    assert config["algorithm"]["action_scale"] == 0.1
    assert config["algorithm"]["hidden"] == [8]


def test_all_envs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With what varies and the presets."""
    assert train_metarl.main(["--list-envs"]) == 0
    out = capsys.readouterr().out
    ranges = ("U(0, 2) m/s", "circle of radius 1 m", "disk of radius 3 m", "{-1, 1}", "U(0, 1)^50")
    spaces = ("box 17", "one of 5", "box 270")
    presets = ("maml-trpo: default, finn2017", "tasks only: pearl2019")
    for text in (*family_names(), "target velocity", *ranges, *spaces, *presets):
        assert text in out
    assert max(map(len, out.splitlines())) <= 120


def test_worker_processes_may_change_when_a_run_resumes(tmp_path: Path) -> None:
    """Bit for bit what this process gives, evaluation included."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    train(alone, *FEW, "--iterations", "2", "--engine", "vector")
    train(shared, *FEW, "--iterations", "1", "--engine", "vector")
    assert resume(shared, "--iterations", "2", "--workers", "2") == 0
    assert_same_run(alone, shared, 2)


def test_workers_need_the_engine_that_has_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before a folder is made."""
    assert train(tmp_path / "run", "--workers", "2") == 2
    assert "only the vector engine has workers" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "family", ["cart_pole", "unbounded", "asymmetric", "from_five", "buttons", "walk"]
)
def test_a_custom_family_is_trained_resumed_and_loaded(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of action, from a module that is imported again: bit for bit as at one go."""
    monkeypatch.setattr("metarl.algorithms.maml_trpo.wiring.EPISODES", 2)
    name = family if family in ("cart_pole", "walk") else f"{family}_family"
    spec = f"tests.tasks.gallery:{name}"
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole, *FEW, "--iterations", "2", env=spec)
    train(parts, *FEW, "--iterations", "1", env=spec)
    assert resume(parts, "--iterations", "2") == 0
    assert_same_run(whole, parts, 2)
    agent = load_agent(parts)
    env = agent.family.make()
    task = task_at(agent.family.sample(1, np.random.default_rng(0)), 0)
    env.reset(seed=0, options={"task": task})
    action, _ = agent.adapt(env, episodes=2).predict(env.reset()[0])
    assert env.action_space.contains(action)
    assert env.task == task


def test_any_gymnasium_environment_is_trained_on_from_the_command_line(tmp_path: Path) -> None:
    """What varies is said there, and the run knows it when it resumes."""
    folder = tmp_path / "run"
    vary = ["--vary", "g=uniform(6,14)", "--vary", "l=uniform(0.7,1.5)"]
    assert train(folder, *FEW, "--iterations", "1", *vary, env="Pendulum-v1") == 0
    assert resume(folder, "--iterations", "2") == 0
    assert list(load_agent(folder).family.parameters) == ["g", "l"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "Pendulum-v1"], "say what varies with --vary"),
        (["--env", "Pendulum-v1", "--vary", "g=6"], "write NAME=uniform(LOW,HIGH)"),
        (["--env", "Pendulum-v1", "--vary", "gg=uniform(6,14)"], "no 'gg'"),
        (["--env", "tests.tasks.gallery:walkk"], "did you mean walk"),
        (["--env", "no_such_module:family"], "there is no module no_such_module on the path"),
    ],
)
def test_families_that_cannot_be_made_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and one message."""
    assert train_metarl.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_an_environment_that_fails_ends_the_run_with_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its traceback is shown, and how to go on."""
    folder = tmp_path / "run"
    assert train(folder, env="tests.tasks.trouble:RAISING") == 1
    said = capsys.readouterr().err
    assert "the cart has left the track" in said
    assert "a checkpoint was saved" in said
    assert (folder / "checkpoints" / "000000").is_dir()


FULL = (
    "CUDA out of memory. Tried to allocate 9.00 GiB. GPU 0 has a total capacity of 79.00 GiB of "
    "which 2.00 GiB is free. Including non-PyTorch memory, this process has 77.00 GiB in use."
)


def full(*arguments: Any, **options: Any) -> None:
    raise torch.OutOfMemoryError(FULL)


def test_a_gpu_that_is_full_ends_the_run_after_the_iterations_that_are_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, a message with figures and options, and a checkpoint that goes on the same."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole, "--iterations", "3")
    one, calls = MamlTrpo.outer_step, []

    def full_in_the_third(*arguments: Any) -> Any:
        calls.append(arguments)
        return full() if len(calls) == 3 else one(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(MamlTrpo, "outer_step", full_in_the_third)
        assert train(parts, "--iterations", "3") == 2
    said = capsys.readouterr().err
    assert "2 tasks × 2 episodes × 5 steps of point-nav do not fit into the memory" in said
    assert "86.00 GiB at least with all that is in use there, room for 1 tasks at most" in said
    assert "fewer --tasks or --episodes" in said
    assert "a checkpoint was saved; go on with:" in said
    assert tensors(parts, 2)
    assert resume(parts) == 0
    assert_same_run(whole, parts, 3)


@pytest.mark.parametrize(
    "where",
    ["metarl.tasks.engines.arrays.ArraysEngine.__init__", "metarl.training.reinforcement.rng"],
)
def test_a_gpu_that_is_full_is_told_in_one_message(
    where: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the folder of the run is made, and in its first iteration."""
    monkeypatch.setattr(where, full)
    assert train(tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert "Tried to allocate 9.00 GiB" in said
    assert "Traceback" not in said
    assert (tmp_path / "run").exists() == (where == "metarl.training.reinforcement.rng")


def test_an_evaluation_that_does_not_fit_leaves_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint is that of the last iteration."""
    monkeypatch.setattr("metarl.algorithms.maml_trpo.wiring.adaptation_curve", full)
    assert train(tmp_path / "run", "--iterations", "2") == 2
    said = capsys.readouterr().err
    assert "40 tasks × 5 steps of point-nav do not fit" in said
    assert "Evaluate fewer tasks or episodes at a time" in said
    assert tensors(tmp_path / "run", 2)


def test_what_goes_stale_on_the_command_line_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the physics would stay as it was."""
    vary = ["--vary", "length=uniform(0.25,1)"]
    assert train(tmp_path / "run", *FEW, "--iterations", "1", *vary, env="CartPole-v1") == 0
    assert "warning: computed once" in capsys.readouterr().err


@pytest.mark.parametrize("code", ["gone = 1 / 0", "import sys; sys.exit(3)"])
def test_a_package_that_is_broken_does_not_hide_the_other_families(
    code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry point is named in the list, whatever it raises, and so is a broken environment."""
    (tmp_path / "broken_package.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_package", raising=False)
    named = {"gone": "broken_package:gone", "leaver": "tests.tasks.trouble:LEAVING"}
    broken = {name: EntryPoint(name, value, registry.GROUP) for name, value in named.items()}
    monkeypatch.setattr(registry, "_installed", lambda: broken)
    assert train_metarl.main(["--list-envs"]) == 0
    out = capsys.readouterr().out
    assert "'gone' of an installed package" in out
    assert "making an environment of leaver failed" in out
    assert "point-nav" in out


def test_tasks_that_cannot_be_drawn_are_refused_before_the_run_folder_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the user's own lines."""
    assert train(tmp_path / "run", env="tests.tasks.trouble:UNDRAWN") == 2
    said = capsys.readouterr().err
    assert "drawing 1 task of NoTasks failed" in said
    assert "no tasks today" in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_results_that_a_run_did_not_write_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On resume, with what to do."""
    folder = tmp_path / "run"
    train(folder, "--iterations", "1")
    for text in ("[]", '{"evaluation": 3}'):
        (folder / "results.json").write_text(text)
        assert resume(folder, "--iterations", "2") == 2
        assert "results.json is not what a run writes" in capsys.readouterr().err


def test_a_run_that_could_learn_nothing_ends_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After its iterations, all of which are logged; more of them may go on."""
    tiny = ["--tasks", "1", "--episodes", "1", "--horizon", "1", "--eval-every", "0"]
    options = ["--env", "point-nav", "--iterations", "2", *tiny]
    assert train_metarl.main([*options, "--run-dir", str(tmp_path / "run")]) == 1
    out, err = capsys.readouterr()
    assert out.count("no update") == 2
    assert "nothing was learned in 2 iterations, for every gradient was zero" in err
    assert len((tmp_path / "run" / "progress.csv").read_text().splitlines()) == 3
    assert train_metarl.main(["--resume", str(tmp_path / "run"), "--iterations", "3"]) == 1
    assert "nothing was learned in 3 iterations" in capsys.readouterr().err


def test_a_run_without_a_finite_update_ends_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not one of whose updates one was finite."""
    lost = iter([True, True, True, False])
    start = MetaObjective.start

    def broken(self: MetaObjective) -> tuple[float, torch.Tensor]:
        loss, gradient = start(self)
        return loss, gradient * (torch.nan if next(lost) else 1.0)

    monkeypatch.setattr(MetaObjective, "start", broken)
    options = ["--env", "point-nav", "--tasks", "2", "--episodes", "2", "--horizon", "5"]
    options += ["--iterations", "2", "--eval-tasks", "0", "--inner-steps", "1"]
    assert train_metarl.main([*options, "--run-dir", str(tmp_path / "one")]) == 1
    assert "for no update was finite" in capsys.readouterr().err
    assert train_metarl.main([*options, "--run-dir", str(tmp_path / "other")]) == 0


def test_iterations_and_evaluations_without_success_have_a_rate_of_zero(tmp_path: Path) -> None:
    """From the first iteration on in which an environment has told of any, resumed or not."""
    run = tmp_path / "run"
    options = ["--env", "tests.tasks.habits:fourth_episode", "--tasks", "2", "--episodes", "2"]
    options += ["--inner-steps", "1", "--eval-tasks", "2", "--eval-updates", "0"]
    assert train_metarl.main([*options, "--iterations", "2", "--run-dir", str(run)]) == 0
    assert train_metarl.main(["--resume", str(run), "--iterations", "4"]) == 0
    with (run / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    # an environment has two episodes in an iteration, which it counts anew after the resume
    found = [(row["success/before"], row["success/after"]) for row in rows]
    assert found == [("", ""), ("0.0", "1.0"), ("0.0", "0.0"), ("0.0", "1.0")]
    evaluation = json.loads((run / "results.json").read_text())["evaluation"]
    assert evaluation["success"] == [{"updates": 0, "mean": 0.0, "ci95": 0.0}]

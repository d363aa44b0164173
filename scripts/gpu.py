"""All that is to be done on a GPU, in order of worth, in calls of some minutes each.

python scripts/gpu.py --minutes 9 --folder gpu-results
python scripts/gpu.py --folder gpu-results --only checks device-scaling
python scripts/gpu.py --tiny

Checks, benchmarks, then trainings: each a command of its own, with a log. `parts.json` says how
each of them ended. The next call goes on with what is left: parts that are done, failed or took all
their minutes are not run again unless they are asked for, trainings go on where they stopped, and
whatever else the end of a call has cut off starts again.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import tyro

from metarl.cli.command import exit_code
from metarl.cli.display import fail
from metarl.experiment.files import read_json, write_json
from metarl.experiment.machine import resolve_device

SCRIPTS = Path(__file__).parent
SHORT = 20.0
"""Seconds that are not worth a start."""
GRACE = 60.0
"""Seconds that an ended part has to write what it knows."""


class Piece(NamedTuple):
    """One command."""

    name: str
    command: str  # {python}, {scripts}, {device}, {folder} and {omniglot} are filled in
    minutes: float  # at most, over all calls
    tiny: str | None  # what only shows that it runs; None leaves it out

    @property
    def goes_on(self) -> bool:
        """It is true where a piece starts again where it was ended, as trainings do."""
        return "--run-dir" in self.command

    @property
    def wants_omniglot(self) -> bool:
        """It is true where a piece needs data that is not ours to bring."""
        return "{omniglot}" in self.command


_TRAIN = "{python} {scripts}/train_metarl.py --device {device} --checkpoint-every 5"
_FIFTY_ARMS = (  # trained as five arms are: the default preset of bandit-k50 is for 10 pulls
    "--env bandit-k50 --algo rl2 --tasks 4096 --iterations 800 --cell lstm --value-per-step "
    "--discount 1 --gae-lambda 0.97 --prediction-weight 0.5 --entropy-schedule linear"
)
_TINY = "--iterations 2 --tasks 2 --episodes 2 --horizon 5"
_EVALUATE = "{python} {scripts}/evaluate_metarl.py --device {device} --seed 11"
_FEW_SHOT = "{python} {scripts}/train_fewshot.py --device {device} --eval-every 0"
_BENCH = "{python} {scripts}/benchmark.py {what} --device {device} --json {folder}/{what}.json"

VARIANTS = {"compiled": "--compile on", "tf32": "--precision tf32"}
"""How else the update may be computed."""


def _checks(name: str, marks: str, minutes: float, files: str = "") -> Piece:
    """Tests with these marks, in files with such names."""
    command = (
        f"{{python}} -m pytest -v --durations 10 -m '{marks}' -k '{files}' {{scripts}}/../tests"
    )
    return Piece(name, command, minutes, None)


def _bench(what: str, minutes: float) -> Piece:
    command = _BENCH.replace("{what}", what)
    return Piece(what, command, minutes, f"{command} --tiny")


def _training(name: str, options: str, minutes: float) -> Piece:
    command = f"{_TRAIN} --run-dir {{folder}}/{name} {options}"
    small = f"{command} {_TINY}" + (" --minibatches 1" if "rl2" in options else "")
    return Piece(name, command, minutes, small)


def _variant(name: str, how: str, option: str) -> Piece:
    options = f"--env half-cheetah-vel --preset finn2017 --iterations 20 --eval-every 0 {option}"
    return _training(f"{name}-{how}", options, 3)._replace(tiny=None)


def _evaluation(name: str, tasks: int, options: str = "") -> Piece:
    command = f"{_EVALUATE} {{folder}}/{name} --json {{folder}}/{name}-evaluated.json {options}"
    return Piece(f"{name}-evaluated", f"{command} --tasks {tasks}", 5, f"{command} --tasks 4")


def _omniglot(algo: str, source: str, ways: int, shots: int, minutes: float) -> Piece:
    preset = source if ways == 5 else f"{source}-{ways}way"
    name = f"{algo}-{ways}-way-{shots}-shot"
    data = f"--data omniglot --data-dir {{omniglot}} --preset {preset} --shots {shots}"
    command = f"{_FEW_SHOT} --run-dir {{folder}}/{name} --algo {algo} {data}"
    return Piece(name, command, minutes, f"{command} --iterations 2 --tasks 2")


PARTS = (
    _checks("checks", "gpu and not slow", 8),
    _bench("device-sampling", 6),
    _bench("device-iteration", 5),
    _bench("device-scaling", 5),
    _training("cheetah-vel", "--env half-cheetah-vel --preset finn2017 --iterations 500", 20),
    _evaluation("cheetah-vel", 400),
    _checks("short-trainings", "gpu and slow", 4, "training_on_device"),
    _checks("families", "gpu and slow", 8, "not training_on_device"),
    _training("cheetah-vel-rl2", "--env half-cheetah-vel --algo rl2 --preset varibad2020-gpu", 10),
    _evaluation("cheetah-vel-rl2", 1_000),
    # beside the seconds of cheetah-vel's updates, in progress.csv
    *(_variant("cheetah-vel", how, option) for how, option in VARIANTS.items()),
    _training("bandit-k50-n100", f"{_FIFTY_ARMS} --horizon 100", 15),
    _evaluation("bandit-k50-n100", 10_000, "--oracles"),
    _training("bandit-k50-n500", f"{_FIFTY_ARMS} --horizon 500", 15),
    _evaluation("bandit-k50-n500", 10_000),
    _training("tabular-n100", "--env tabular-mdp --algo rl2 --episodes 100 --context 1000", 25),
    _evaluation("tabular-n100", 4_000),
    *(_omniglot("protonet", "snell2017", ways, shots, 5) for ways in (5, 20) for shots in (1, 5)),
    *(_omniglot("maml", "finn2017", ways, shots, 10) for ways in (5, 20) for shots in (1, 5)),
)


@dataclass(frozen=True)
class GpuOptions:
    """Checks, benchmarks and trainings on a GPU."""

    minutes: float = 9.0
    """Time of this call; the part that runs then is ended, within another minute."""
    folder: Path = Path("gpu-results")
    """Where results and runs go; the next call with it goes on."""
    only: tuple[str, ...] = ()
    """Run these parts, whatever became of them before."""
    omniglot: Path | None = None
    """Folder of Omniglot's archives; without it, the parts that need them are left out."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it all runs."""
    tiny: bool = False
    """Only show that every part runs."""


def command_of(part: Piece, options: GpuOptions, device: str) -> list[str]:
    """Return what to run; a training that has a checkpoint goes on."""
    folder = options.folder
    template = part.tiny if options.tiny and part.tiny else part.command
    values = {"python": sys.executable, "scripts": SCRIPTS, "device": device, "folder": folder}
    command = shlex.split(template.format(**values, omniglot=options.omniglot))
    if part.goes_on:
        run = folder / part.name
        if (run / "checkpoints").is_dir():
            return [*command[:2], "--resume", str(run)]
        shutil.rmtree(run, ignore_errors=True)  # killed before its first checkpoint
    return command


def run_for(command: list[str], log: Path, seconds: float) -> int | None:
    """The exit code of a command, None where it was ended for want of time.

    It is interrupted, at which a training writes a checkpoint and results and pytest what it found.
    """
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return None


def run_part(part: Piece, options: GpuOptions, device: str, before: float, left: float) -> Any:
    """Run a part, which took `before` seconds already, for at most `left`; returns its row."""
    budget = 60 * part.minutes - before
    command, log = command_of(part, options, device), options.folder / f"{part.name}.log"
    print(f"{part.name}: at most {min(budget, left) / 60:.1f} minutes", flush=True)
    started = time.monotonic()
    code = run_for(command, log, min(budget, left))
    ended = "done" if code == 0 else "failed"
    if code is None:
        ended = "timed out" if budget <= left else "cut off"
    lines = log.read_text(errors="replace").split("\n")
    row = {
        "ended": ended,
        "exit_code": code,
        "seconds": before + time.monotonic() - started,
        "command": shlex.join(command),
        "last_line": next((line for line in reversed(lines) if line.strip()), ""),
    }
    print(f"{part.name}: {ended}, {row['seconds']:.0f} s; {log}", flush=True)
    return row


def check_only(options: GpuOptions) -> None:
    """Refuse parts that do not exist or cannot run; raises ValueError."""
    names = [part.name for part in PARTS]
    if unknown := set(options.only) - set(names):
        raise ValueError(f"--only {', '.join(sorted(unknown))}: the parts are {', '.join(names)}")
    wanting = [part.name for part in PARTS if part.wants_omniglot and part.name in options.only]
    if wanting and options.omniglot is None:
        raise ValueError(f"{', '.join(wanting)}: give --omniglot, the folder of its archives")


def run_all(options: GpuOptions) -> int:
    """Run what is left; the exit code is 1 where a part of this call has failed."""
    check_only(options)
    device = resolve_device(options.device)
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "parts.json"
    rows = read_json(file) if file.exists() else {}
    end, failed, first = time.monotonic() + 60 * options.minutes, [], True
    for part in PARTS:
        if (part.name not in options.only) if options.only else not _is_left(part, rows, options):
            continue
        row, left = rows.get(part.name, {}), end - time.monotonic()
        # what starts again is for a call that has time for it
        whole = options.tiny or part.goes_on or first or left >= 60 * part.minutes
        if left < SHORT or not whole:
            continue
        first = False
        before = row["seconds"] if part.goes_on and row.get("ended") == "cut off" else 0.0
        rows[part.name] = run_part(part, options, device, before, left)
        write_json(file, rows)
        failed += [part.name] if rows[part.name]["ended"] == "failed" else []
    if failed:
        return fail(f"failed: {', '.join(failed)}; their logs are in {options.folder}") and 1
    return 0


def _is_left(part: Piece, rows: dict[str, Any], options: GpuOptions) -> bool:
    """Say whether a part has still to be run."""
    if (options.tiny and part.tiny is None) or (part.wants_omniglot and options.omniglot is None):
        return False
    ended: str = rows.get(part.name, {}).get("ended", "cut off")
    return ended == "cut off"


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 all that ran went well, 1 a part failed, 2 a user's mistake, 130 interrupted."""
    os.environ.setdefault("MUJOCO_GL", "egl")
    # a shell's background job ignores interrupts, and so would the parts that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return exit_code(lambda: run_all(tyro.cli(GpuOptions, args=argv)))


if __name__ == "__main__":
    sys.exit(main())

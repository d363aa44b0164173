"""All that is to be done on a GPU, in order of worth, within some minutes.

python scripts/gpu.py --minutes 28 --folder gpu-results
python scripts/gpu.py --tiny

Checks, benchmarks, then trainings. Every part is a command of its own, whose output and exit code
are kept; parts that are done are left out the next time, and trainings go on where they stopped.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import tyro
from display import fail

from metarl.agent import resolve_device
from metarl.experiment.files import read_json, write_json

SCRIPTS = Path(__file__).parent


class Part(NamedTuple):
    """One command."""

    name: str
    command: str  # {device} and {folder} are filled in
    minutes: float  # at most
    tiny: str | None  # what only shows that it runs; None leaves it out


_TRAIN = "{python} {scripts}/train_metarl.py --device {device} --checkpoint-every 5"
_RL2 = "--algo rl2 --eval-every 0"
_TINY = "--iterations 2 --tasks 2 --episodes 2 --horizon 5"
_BENCH = "{python} {scripts}/benchmark.py {what} --device {device} --json {folder}/{what}.json"


def _bench(what: str, minutes: float) -> Part:
    command = _BENCH.replace("{what}", what)
    return Part(what, command, minutes, f"{command} --tiny")


def _training(name: str, options: str, minutes: float) -> Part:
    command = f"{_TRAIN} --run-dir {{folder}}/{name} {options}"
    small = f"{command} {_TINY}" + (" --minibatches 1" if "rl2" in options else "")
    return Part(name, command, minutes, small)


PARTS = (
    Part("checks", "{python} -m pytest -q -m gpu {scripts}/../tests", 8, None),
    _bench("device-sampling", 6),
    _bench("device-iteration", 4),
    _bench("device-scaling", 3),
    _training("cheetah-vel", "--env half-cheetah-vel --preset finn2017 --iterations 500", 10),
    _training(
        "cheetah-vel-rl2",
        "--env half-cheetah-vel --algo rl2 --preset varibad2020-gpu --eval-every 50",
        10,
    ),
    _training("bandit-k50-n100", f"--env bandit-k50 {_RL2} --horizon 100 --iterations 500", 10),
    _training("bandit-k50-n500", f"--env bandit-k50 {_RL2} --horizon 500 --iterations 500", 10),
    _training("tabular-n100", f"--env tabular-mdp {_RL2} --episodes 100 --context 1000", 10),
)


@dataclass(frozen=True)
class Options:
    """Checks, benchmarks and trainings on a GPU."""

    minutes: float = 28.0
    """Time for all of it; a part that would take longer is ended then, in order."""
    folder: Path = Path("gpu-results")
    """Where results and runs go; parts that are done in it are left out."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it all runs."""
    tiny: bool = False
    """Only show that every part runs."""


def run_part(part: Part, options: Options, device: str, seconds: float) -> int:
    """Run a part for at most `seconds`; returns its exit code, 124 where time ran out.

    A training that is ended writes a checkpoint and results first.
    """
    folder = options.folder
    template = part.tiny if options.tiny and part.tiny else part.command
    values = {"python": sys.executable, "scripts": SCRIPTS, "device": device, "folder": folder}
    command = shlex.split(template.format(**values))
    if "--run-dir" in command and (folder / part.name / "checkpoints").is_dir():
        command = [sys.executable, str(SCRIPTS / "train_metarl.py")]
        command += ["--resume", str(folder / part.name)]
    with (folder / f"{part.name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            return 124


def run_all(options: Options) -> int:
    """Run what is not done yet; the exit code is 1 where a part has failed."""
    device = resolve_device(options.device)
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "parts.json"
    done = read_json(file) if file.exists() else {}
    end = time.monotonic() + 60 * options.minutes
    for part in PARTS:
        left = end - time.monotonic()
        skipped = options.tiny and part.tiny is None
        if skipped or done.get(part.name, {}).get("exit_code") == 0 or left < 10:
            continue
        print(f"{part.name}: at most {min(part.minutes, left / 60):.1f} minutes", flush=True)
        started = time.monotonic()
        code = run_part(part, options, device, min(60 * part.minutes, left))
        done[part.name] = {"exit_code": code, "seconds": time.monotonic() - started}
        write_json(file, done)
        print(f"{part.name}: exit code {code}, {options.folder / part.name}.log", flush=True)
    failed = [name for name, row in done.items() if row["exit_code"] not in (0, 124, 130)]
    if failed:
        return fail(f"failed: {', '.join(failed)}; their logs are in {options.folder}") and 1
    return 0


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 all that ran went well, 1 a part failed, 2 a user's mistake."""
    os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        return run_all(tyro.cli(Options, args=argv))
    except SystemExit as stop:  # --help, or a message of tyro's
        return int(stop.code or 0)
    except (ValueError, OSError) as error:
        return fail(error)


if __name__ == "__main__":
    sys.exit(main())

"""What the commands share: reading the command line, and ending with an exit code."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rich.console import Console

from metarl.cli.display import fail, make_console
from metarl.experiment.checkpoint import Checkpoint
from metarl.rl.rollout import NonFiniteError
from metarl.tasks import EnvironmentFailure, FamilyNotFoundError

Job = Callable[[], int]


def given(arguments: list[str], option: str) -> str | None:
    """The value of the last `--option VALUE` or `--option=VALUE`, None where there is none."""
    return next(reversed(given_every(arguments, option)), None)


def given_every(arguments: list[str], option: str) -> list[str]:
    """The values of every `--option VALUE` and `--option=VALUE`."""
    values = []
    for i, argument in enumerate(arguments):
        if argument == option and i + 1 < len(arguments):
            values.append(arguments[i + 1])
        elif argument.startswith(f"{option}="):
            values.append(argument.removeprefix(f"{option}="))
    return values


def given_of(options: Any, *names: str) -> dict[str, Any]:
    """Return the options that were given, by name; None says that one was not."""
    return {name: v for name in names if (v := getattr(options, name)) is not None}


def refuse_beside_resume(arguments: list[str], resumable: Sequence[str]) -> None:
    """Refuse options that a resumed run takes from its folder.

    Raises:
        ValueError: names them and those that may be given (all of `resumable` but --resume and
            --help).
    """
    names = [argument.split("=")[0] for argument in arguments if argument.startswith("--")]
    if refused := [name for name in names if name not in resumable]:
        *most, last = [name for name in resumable if name not in ("--resume", "--help")]
        raise ValueError(
            f"a resumed run takes its configuration from its folder; only {', '.join(most)} and "
            f"{last} may be given with --resume, got {', '.join(refused)}"
        )


def more_iterations(algorithm: Any, iterations: int | None, saved: Checkpoint) -> Any:
    """The configuration with another total of iterations, or as it is if None.

    Raises:
        ValueError: fewer than are done.
    """
    if iterations is None:
        return algorithm
    if iterations < saved.iteration:
        raise ValueError(
            f"--iterations is the total, and {saved.iteration} are done: got {iterations}"
        )
    return replace(algorithm, iterations=iterations)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show warnings of this toolkit as one line, without the place in the code that has them."""
    before = warnings.formatwarning

    def plain(message: Warning | str, category: type[Warning], *place: Any, **line: Any) -> str:
        ours = category.__module__.partition(".")[0] in ("metarl", "metarl_envs")
        return f"warning: {message}\n" if ours else before(message, category, *place, **line)

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = before


def _fail(error: Exception) -> int:
    """Print a user's mistake, with the option that mends it where a family has moved; code 2."""
    moved = isinstance(error, FamilyNotFoundError)
    return fail(f"{error}; --env path/to/file.py:my_family takes another" if moved else error)


def exit_code(body: Callable[[], int | None]) -> int:
    """Return what `body` returns, or how it ended: 1 is an environment that failed, 2 a user's
    mistake, 130 an interrupt.
    """
    try:
        with plain_warnings():
            return body() or 0
    except SystemExit as stop:  # --help, or a message of tyro's
        return int(stop.code or 0)
    except (ValueError, OSError) as error:
        return _fail(error)
    except (NonFiniteError, EnvironmentFailure) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run_command(prepare: Callable[[list[str], Console], Job], argv: list[str] | None) -> int:
    """Prepare a job, which refuses what cannot work, and do it.

    Returns:
        The exit code: 0 done, 1 the environment failed, 2 a user's mistake, 130 interrupted.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        try:
            with plain_warnings():
                job = prepare(arguments, make_console())
        except (ValueError, OSError) as error:
            return _fail(error)
        except EnvironmentFailure as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except SystemExit as stop:  # --help, or a message of tyro's
            return int(stop.code or 0)
        with plain_warnings():
            return job()
    except KeyboardInterrupt:
        print("quit at once; the newest checkpoint stays", file=sys.stderr)
        return 130

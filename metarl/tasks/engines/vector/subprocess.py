"""A look at a family in a process of its own, which may hang or die without this one."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from metarl.tasks.engines.base import EnvironmentFailure
from metarl.tasks.engines.vector.pool import START, ending, launch, sendable
from metarl.tasks.engines.vector.worker import follow_parent, received
from metarl.tasks.protocols import Family

Seen = TypeVar("Seen")
Looked = TypeVar("Looked", bound=Family)


def in_subprocess(look: Callable[[Looked], Seen], family: Looked) -> Seen:
    """`look(family)` in a worker process, within the family's timeout.

    Raises:
        ValueError: the family cannot be sent there, or `look` raised one.
        EnvironmentFailure: the process died or hangs.
    """
    context, data = multiprocessing.get_context("spawn"), sendable(family)
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, look), daemon=True)
    launch(process)
    theirs.close()
    making = f"making an environment of {family.name} in a worker process"
    try:
        with contextlib.suppress(OSError):  # it died; the answer tells how
            ours.send_bytes(data)
        for seconds in (max(START, family.timeout), family.timeout):  # to import, and to look
            if not ours.poll(seconds):
                raise EnvironmentFailure(f"{making} has not returned for {seconds:g} s")
            refused, seen = ours.recv()
    except (EOFError, ConnectionError):
        process.join()
        raise EnvironmentFailure(f"{making} ended that process ({ending(process)})") from None
    finally:
        process.kill()
        process.join()
        process.close()
    if refused:
        raise ValueError(refused)
    found: Seen = seen
    return found


def _answer(pipe: Connection, look: Callable[[Any], Seen]) -> None:
    """The other process: say that it is there, then what it sees."""
    follow_parent()
    family = received(pipe)
    pipe.send(("", None))
    try:
        pipe.send(("", look(family)))
    except ValueError as error:
        pipe.send((str(error), None))

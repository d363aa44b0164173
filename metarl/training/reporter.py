"""What a training tells whoever watches it; a command shows it on a console."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from metarl.fewshot.evaluate import FewShotEvaluation as FewShotEvaluation
from metarl.rl.evaluate import Evaluation

Report = Callable[[int, str], None]
"""Takes the iterations that are complete and the latest one in words."""


class Reporter(Protocol):
    """Takes what is said while a run trains."""

    def progress(self, completed: int, total: int) -> AbstractContextManager[Report]:
        """Show how far a run is, as long as the context is open."""

    def say(self, text: str) -> None:
        """Tell something."""

    def error(self, text: str) -> None:
        """Tell what ended the run."""

    def evaluation(self, evaluation: Evaluation | FewShotEvaluation, title: str) -> None:
        """Show a table of results."""

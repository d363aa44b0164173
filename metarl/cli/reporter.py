"""A training on the console: a progress bar on a terminal, lines everywhere, and tables."""

from __future__ import annotations

from contextlib import AbstractContextManager

from rich.console import Console

from metarl.cli.display import progress_bar, say, show_evaluation, show_few_shot
from metarl.fewshot.evaluate import FewShotEvaluation as FewShotEvaluation
from metarl.rl.evaluate import Evaluation
from metarl.training.reporter import Report


class ConsoleReporter:
    """Shows a run on a console (a `Reporter`)."""

    def __init__(self, console: Console) -> None:
        """Report to a console.

        Args:
            console: where to; errors go to standard error.
        """
        self.console = console

    def progress(self, completed: int, total: int) -> AbstractContextManager[Report]:
        """A bar with the time left on a terminal, and a line per iteration everywhere."""
        return progress_bar(self.console, completed, total)

    def say(self, text: str) -> None:
        """Print a line."""
        say(self.console, text)

    def error(self, text: str) -> None:
        """Print to standard error."""
        say(Console(stderr=True), f"error: {text}")

    def evaluation(self, evaluation: Evaluation | FewShotEvaluation, title: str) -> None:
        """Print a table."""
        if isinstance(evaluation, Evaluation):
            show_evaluation(self.console, evaluation, title)
        else:
            show_few_shot(self.console, evaluation, title)

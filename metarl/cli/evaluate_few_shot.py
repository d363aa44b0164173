"""How well a few-shot run does on tasks that it has not trained on.

python scripts/evaluate_fewshot.py RUN_DIR --tasks 10000 --shots 5 --baselines
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from rich.console import Console
from sklearn.metrics import classification_report

from metarl.cli.command import exit_code
from metarl.cli.display import cores, make_console, say, show_few_shot, show_layers, show_report
from metarl.cli.figures import FIGURE_TYPES, draw_layers
from metarl.experiment.files import write_json
from metarl.experiment.seeding import Phase, sequence, torch_seed
from metarl.fewshot.agent import FewShotAgent, load_few_shot
from metarl.fewshot.analyse import LayerChange, analyse
from metarl.fewshot.comparison import advice
from metarl.fewshot.data.classes import ClassSource
from metarl.fewshot.data.task import take
from metarl.fewshot.evaluate import Request, draw
from metarl.fewshot.registry import EVAL_TASKS
from metarl.fewshot.run import make_network


@dataclass(frozen=True)
class EvaluateFewShotOptions:
    """Evaluate a few-shot run: errors or accuracies on the query sets, with their protocol."""

    run_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of the run, finished or running."""
    part: Literal["train", "validation", "test"] = "test"
    """Which tasks."""
    tasks: int = EVAL_TASKS
    """Number of tasks."""
    shots: int | None = None
    """Examples to learn from; those of the run's evaluations if not given."""
    queries: int | None = None
    """Examples to be judged on; those of the run's evaluations if not given."""
    steps: int | None = None
    """Of adaptation: measure before and after so many; if not given, those of the run's
    evaluations, and --report and --analyse take the most of them."""
    seed: int = 0
    """Of the tasks."""
    threads: int = cores()
    """Worker threads; they never change a result."""
    baselines: bool = False
    """Also show, on the same tasks, scikit-learn's learners of one task: in classification nearest
    centroid, nearest neighbours and logistic regression; in regression the mean of the shots, ridge
    regression and a Gaussian process."""
    report: bool = False
    """Classification: also precision, recall and F1 of every class; the worst ones are shown."""
    analyse: Path | None = None
    """Also show how far each layer moves in adaptation and how similar its features stay, and draw
    it into this file; for learners that adapt the weights of a network."""
    json: Path | None = None
    """Also write all tables to this file."""


def evaluate(options: EvaluateFewShotOptions) -> dict[str, Any]:
    """Print the table; returns it as JSON.

    Raises:
        ValueError: the folder has no valid run, or an option is impossible.
    """
    torch.set_num_threads(1)
    _require_files(options)
    sequence(options.seed)  # refuses an impossible one
    agent = load_few_shot(options.run_dir, threads=options.threads, device="auto")
    if options.report and not isinstance(agent.source, ClassSource):
        raise ValueError("--report is of classification; this run's data has no classes")
    steps = _steps(agent, options.steps)
    evaluation = agent.evaluate(
        part=options.part,
        tasks=options.tasks,
        shots=options.shots,
        queries=options.queries,
        steps=None if options.steps is None else (options.steps,),
        seed=options.seed,
    )
    if options.baselines:
        evaluation = agent.compare(evaluation, options.tasks)
    console = make_console()
    show_few_shot(console, evaluation, f"{options.tasks} tasks of {options.part}")
    if worse := advice(evaluation, agent.config.algo):
        say(console, f"warning: {worse}")
    table = {"run": str(options.run_dir), "steps": steps, **evaluation.to_json()}
    if options.report:
        table["report"] = _report(agent, evaluation.request, steps, console)
    if options.analyse is not None:
        changes = _analyse(agent, evaluation.request, steps)
        show_layers(console, changes)
        draw_layers(changes, options.analyse)
        table["layers"] = [change._asdict() for change in changes]
    return table


def _require_files(options: EvaluateFewShotOptions) -> None:
    """Refuse what is to be written and could not be; raises ValueError."""
    for name, file in (("json", options.json), ("analyse", options.analyse)):
        if file is None:
            continue
        if not file.absolute().parent.is_dir():
            raise ValueError(f"--{name} {file}: its folder does not exist")
        place = file if file.exists() else file.absolute().parent
        if file.is_dir() or not os.access(place, os.W_OK):
            raise ValueError(f"--{name} {file} cannot be written")
    figure = options.analyse
    if figure is not None and figure.suffix.removeprefix(".") not in FIGURE_TYPES:
        raise ValueError(f"--analyse {figure}: end it in .{', .'.join(FIGURE_TYPES)}")


def _steps(agent: FewShotAgent, steps: int | None) -> int | None:
    """Return the steps of the report and the analysis; None for a learner that takes none.

    Raises:
        ValueError: steps of a learner that takes none, or fewer than none.
    """
    if not agent.learner.takes_steps:
        if steps is not None:
            raise ValueError(f"{agent.config.algo} does not adapt by steps: leave --steps out")
        return None
    if steps is not None and steps < 0:
        raise ValueError(f"--steps must be at least 0, got {steps}")
    return max(agent.config.algorithm.eval_steps) if steps is None else steps


def _report(
    agent: FewShotAgent, request: Request, steps: int | None, console: Console
) -> dict[str, Any]:
    """scikit-learn's report over all queries, by the names of their classes."""
    source, learner, theta = agent.source, agent.learner, agent.state.theta
    assert isinstance(source, ClassSource)
    truth, guess = [], []
    for split, classes in draw(source, request, _generator(agent, request)):
        assert classes is not None
        for t in range(len(classes)):
            task = take(split, t)
            with torch.no_grad():
                adapted = learner.adapt(theta, task.support, steps)
                labels = learner.predict(theta, adapted, task.query.x).argmax(-1)
            truth += classes[t][task.query.y].tolist()
            guess += classes[t][labels].tolist()
    every = source.class_names(request.part)
    seen = sorted(set(truth) | set(guess))
    names = [every[i] for i in seen]
    report: dict[str, Any] = classification_report(
        truth, guess, labels=seen, target_names=names, output_dict=True, zero_division=0.0
    )
    show_report(console, report, names)
    return report


def _analyse(agent: FewShotAgent, request: Request, steps: int | None) -> list[LayerChange]:
    """Analyse at most a hundred tasks."""
    few = request._replace(tasks=min(request.tasks, 100))
    ((tasks, _),) = draw(agent.source, few, _generator(agent, request))
    network = make_network(agent.config.algorithm, agent.source)
    return analyse(agent.learner, network, agent.state.theta, tasks, steps)


def _generator(agent: FewShotAgent, request: Request) -> torch.Generator:
    """Make a generator like the evaluation's."""
    seed = torch_seed(request.seed, Phase.EVAL_ROLLOUT)
    return torch.Generator(agent.trainer.device).manual_seed(seed)


def _run(options: EvaluateFewShotOptions) -> None:
    table = evaluate(options)
    if options.json is not None:
        write_json(options.json, table)


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 2 a user's mistake, 130 interrupted."""
    return exit_code(lambda: _run(tyro.cli(EvaluateFewShotOptions, args=argv)))


if __name__ == "__main__":
    sys.exit(main())

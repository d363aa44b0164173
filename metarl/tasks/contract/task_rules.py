"""What a family's tasks must obey: they matter, survive a reset, and are not seen.

Whether a task matters is shown by episodes that differ. Where none does, a task that nothing reads
is dead; one that a rare reward depends on could not be shown to matter.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from metarl.tasks.contract.derived import stale_attributes, unread
from metarl.tasks.contract.probe import Trajectory, play, play_each, some_tasks, wander
from metarl.tasks.custom.compiled import models, stale_constants
from metarl.tasks.custom.env import CustomEnv
from metarl.tasks.custom.setters import get_attribute
from metarl.tasks.family import TaskFamily
from metarl.tasks.task import Task
from metarl.tasks.values import equal, stacked

PROBES = 20
"""Short episodes, most of which hold one action."""
EPISODES = 200
"""Whole episodes that are played at the most, where the short ones show no difference."""
BUDGET = 100_000
"""Steps of whole episodes."""
RARE = 0.9
"""Rewards are rare where this share of them, or more, is one value."""

CONFIRMED = 6
"""Episodes in which an observation must be a task's value to show it."""


class NotShown(Exception):
    """No episode showed that a rule is obeyed, nor that it is not; says what was tried."""


def task_matters(family: TaskFamily) -> str:
    """Say what is wrong where a parameter changes nothing; each is tried alone.

    Raises:
        NotShown: the episodes that were played are paid nothing that could tell.
    """
    dead: list[str] = []
    unclear: list[str] = []
    live: list[list[Task]] = []
    groups = list(_each_alone(family))
    for name, tasks in groups:
        if _short_episodes_differ(family, tasks):
            live.append(tasks)
            continue
        if name and _nothing_reads(family, name):
            dead.append(f"{name} is read by nothing that reset and step do")
            continue
        found, tried = _whole_episodes_differ(family, tasks[:4])
        if not found and not (len(groups) > 1 and _differs_elsewhere(family, name)):
            unclear.append(f"{name or 'the task'} changed nothing in {tried}")
    if unclear:
        reason = _unpaid(family, groups[0][1][0], live)
        if not reason:
            dead += unclear
        elif not dead:
            other = ", perhaps only at other values of the other parameters"
            raise NotShown(
                f"{'; '.join(unclear)}, in which {reason}{other if len(groups) > 1 else ''}, or "
                "the task is not applied; look at an episode that is paid"
            )
    if dead:
        return (
            f"{'; '.join(dead)}: the task reaches nothing, or reset overwrites it; leave out what "
            "does nothing, or give an apply(env, task) function that sets what matters"
        )
    return ""


def _unpaid(family: TaskFamily, task: Task, live: list[list[Task]]) -> str:
    """Say why episodes could not tell what a task changes; nothing if they could.

    Args:
        family: of the tasks.
        task: one of them, whose episodes are judged.
        live: tasks that differ in a parameter which matters, for every such parameter.
    """
    if _pays_by_state(family, task):
        return ""
    env = family.make()
    runs = [wander(env, family, 2 * k, task) for k in range(PROBES)]
    env.close()
    rewards = np.concatenate([run.reward for run in runs])
    if np.unique(rewards, return_counts=True)[1].max() >= RARE * len(rewards):
        return (
            "no reward depended on the state: rewards may be too rare for random actions, or the "
            "task matters where they do not lead"
        )
    if any(_rewards_differ(family, tasks) for tasks in live):
        return ""
    if all(np.array_equal(run.obs, np.broadcast_to(run.obs[0], run.obs.shape)) for run in runs):
        return ""  # there is no place that they did not reach
    return "rewards depended on the actions alone: the task may matter where random play never is"


def _rewards_differ(family: TaskFamily, tasks: list[Task]) -> bool:
    """Say whether the same random actions are paid differently in one of the tasks."""
    first, *others = (run.reward for run in play_each(family, tasks))
    return any(not np.array_equal(first, other, equal_nan=True) for other in others)


def _each_alone(family: TaskFamily) -> Iterator[tuple[str, list[Task]]]:
    """Tasks that differ in one parameter alone, by its name; in all where none is declared."""
    tasks = some_tasks(family)
    if not family.parameters:  # what an environment draws may depend on one another
        yield "", tasks
        return
    alone = {k: _different([{**tasks[0], k: task[k]} for task in tasks]) for k in tasks[0]}
    varied = {name: group for name, group in alone.items() if len(group) > 1}
    yield from varied.items() or [("", tasks)]


def _differs_elsewhere(family: TaskFamily, name: str) -> bool:
    """Say whether a parameter changes a short episode at other values of the other parameters."""
    tasks = some_tasks(family)
    groups = (_different([{**base, name: t[name]} for t in tasks]) for base in tasks[-2:])
    return any(_short_episodes_differ(family, group) for group in groups)


def _different(tasks: list[Task]) -> list[Task]:
    found: list[Task] = []
    for task in tasks:
        if not any(equal(task, other) for other in found):
            found.append(task)
    return found


def _short_episodes_differ(family: TaskFamily, tasks: list[Task]) -> bool:
    for hold in range(PROBES):
        (first,) = play_each(family, tasks[:1], hold=hold)
        for task in tasks[1:]:
            if not first.equals(play_each(family, [task], hold=hold)[0]):
                return True
    return False


def _whole_episodes_differ(family: TaskFamily, tasks: list[Task]) -> tuple[bool, str]:
    """Say whether one of many episodes with random actions does, and how many were played."""
    number = min(EPISODES, max(PROBES, BUDGET // (family.horizon * len(tasks))))
    envs = [family.make() for _ in tasks]
    try:
        for k in range(number):
            runs = [wander(env, family, k, task) for env, task in zip(envs, tasks, strict=True)]
            if not all(runs[0].equals(run) for run in runs[1:]):
                return True, ""
    finally:
        for env in envs:
            env.close()
    share = 100 * (1 - 0.05 ** (1 / number))  # that shows no difference with probability 5 %
    return False, (
        f"{number} whole episodes of random actions (with 95 % certainty it does in fewer than "
        f"{share:.2g} % of them)"
    )


def _pays_by_state(family: TaskFamily, task: Task) -> bool:
    """Say whether the same action is paid differently within an episode."""
    runs: list[Trajectory] = [play_each(family, [task], hold=k)[0] for k in range(1, PROBES)]
    return any(len(run.reward) > 2 and np.ptp(run.reward[:-1]) > 0 for run in runs)


def _nothing_reads(family: TaskFamily, name: str) -> bool:
    """Say whether an attribute is one that an environment's author uses nowhere."""
    env = family.make()
    try:
        own = isinstance(env, CustomEnv) and env.way == "attributes"
        return own and unread(type(env.env.unwrapped), name)  # type: ignore[attr-defined]
    finally:
        env.close()


def task_survives(family: TaskFamily) -> str:
    """Say what is wrong where a reset changes the task."""
    task = some_tasks(family)[0]
    env, told = family.make(), family.make()  # `told` is given the task twice
    for one in (env, told):
        one.reset(seed=0, options={"task": task})
    advice = "reset changes the task: let reset keep it, as only its caller may choose a task"
    if isinstance(env, CustomEnv) and env.way == "attributes":
        for name, value in task.items():
            held = get_attribute(env.env.unwrapped, name)
            words = isinstance(held, str) or isinstance(value, str)
            if held != value if words else not np.allclose(held, value):
                return f"after a reset {name} is {held}, not {value}; {advice}"
    if isinstance(env, CustomEnv) and env.way in ("attributes", "set_task", "reset_task"):
        env.task = {}  # not given again before the next reset: its author's own must keep it
    return "" if play(env, family, 0, None).equals(play(told, family, 0, task)) else advice


def task_is_hidden(family: TaskFamily) -> str:
    """Say what is wrong where the task can be read off an observation."""
    tasks = some_tasks(family)
    runs = play_each(family, tasks)
    hide = "leave it out, or an agent need not learn which task it has"
    first = np.stack([run.obs[0] for run in runs])  # [T, O]
    differs = ~np.isclose(first, first[0], rtol=1e-6, atol=1e-6).all(0)
    if differs.any():
        return (
            f"component {differs.argmax()} of the first observation depends on the task, before "
            f"anything has happened: {hide}"
        )
    shown = _shown(tasks, runs)
    for k in range(1, CONFIRMED):  # two values, and a place that one of them led to, may agree once
        if not shown:
            return ""
        others = play_each(family, tasks, seed=k, hold=k)
        again, steps = _shown(tasks, others), min(len(run.obs) for run in others)
        shown = [one for one in shown if one in again or one[2] >= steps]  # it ended before
    if not shown:
        return ""
    name, i, t = shown[0]
    return f"component {i} of the observation {t} is the task's {name}: {hide}"


def _shown(tasks: list[Task], runs: list[Trajectory]) -> list[tuple[str, int, int]]:
    """Say what each task's episode shows: a parameter, the component and the step that equal it."""
    found = []
    for name in tasks[0]:
        values = stacked([task[name] for task in tasks])
        if values.dtype == object:  # nothing that an observation could hold
            continue
        values = values.reshape(len(tasks), -1).astype(np.float64)  # [T, …]
        for t in range(min(len(run.obs) for run in runs)):
            obs = np.stack([run.obs[t] for run in runs])  # [T, O]
            for k, i in np.ndindex(values.shape[1], obs.shape[1]):
                if np.ptp(values[:, k]) > 0 and np.allclose(obs[:, i], values[:, k], atol=1e-6):
                    found.append((name, i, t))
    return found


def stale_advice(family: TaskFamily) -> str:
    """Say what would go stale when the task changes, and what to do; nothing if nothing would."""
    env = family.make()
    if not isinstance(env, CustomEnv):
        return ""
    tasks = some_tasks(family)
    if constants := _stale_constants(env, tasks):
        return (
            f"MuJoCo computed {', '.join(constants)} of the model before the task changed it: call "
            "mujoco.mj_setConst(model, data) after the change"
        )
    stale = stale_attributes(env, tasks[0], tasks[1]) if env.way == "attributes" else []
    if not stale:
        return ""
    return (
        f"computed once and not again when the task changes: {'; '.join(stale)}. Set it too, by "
        "apply=function of (env, task)"
    )


def _stale_constants(env: CustomEnv, tasks: list[Task]) -> list[str]:
    """The constants of an environment's models that do not fit them under one of the tasks."""
    usual = [] if env.way == "constructor" else stale_constants(models(env.env.unwrapped))
    found: dict[str, None] = {}
    for task in tasks:
        env.reset(seed=0, options={"task": task})
        found |= dict.fromkeys(stale_constants(models(env.env.unwrapped)))
    return [name for name in found if name not in usual]

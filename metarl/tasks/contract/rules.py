"""What a family must obey, checked rule by rule, with what to do where it does not.

    for verdict in check_family(family): print(verdict)

The rules are about meta-learning as much as about Gymnasium: a task that shows in the
observation, or that an environment forgets at a reset, breaks nothing and teaches nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from metarl.tasks.contract.probe import STEPS, play, play_each, raw_env, some_tasks
from metarl.tasks.contract.task_rules import (
    NotShown,
    stale_advice,
    task_is_hidden,
    task_matters,
    task_survives,
)
from metarl.tasks.family import TaskFamily
from metarl.tasks.guard import own_lines


class Verdict(NamedTuple):
    """A rule says this of a family."""

    rule: str
    passed: bool | None  # None where it was not checked, as a rule before it failed, or not shown
    advice: str  # what is wrong and what to do; empty where it passed
    shown: bool = True  # False where no episode showed that it is obeyed, nor that it is not


def check_family(family: TaskFamily) -> list[Verdict]:
    """A verdict for every rule, in the order of `RULES`."""
    verdicts: list[Verdict] = []
    usable = True
    for name, rule in RULES:
        if not usable:
            verdicts.append(Verdict(name, None, "not checked: the rules above come first"))
            continue
        try:
            advice = rule(family)
        except NotShown as error:
            verdicts.append(Verdict(name, None, str(error), shown=False))
            continue
        except (Exception, SystemExit) as error:  # whatever a user's environment raises
            advice, lines = f"{type(error).__name__}: {error}", own_lines(error).rstrip()
            advice += f", from\n{lines}" if lines else ""
        verdicts.append(Verdict(name, not advice, advice))
        usable = not advice or name not in FUNDAMENTAL
    return verdicts


def _can_be_made(family: TaskFamily) -> str:
    family.make().close()
    return ""


def _tasks_can_be_drawn(family: TaskFamily) -> str:
    some_tasks(family)
    return ""


def _resets_with_a_seed(family: TaskFamily) -> str:
    try:
        family.make().reset(seed=0)
    except TypeError as error:
        if "seed" not in str(error):
            raise
        return (
            f"{error}; write reset(self, *, seed=None, options=None) and super().reset(seed=seed)"
        )
    return ""


def _steps(family: TaskFamily) -> str:
    play_each(family, some_tasks(family)[:1])
    return ""


def _observation_type(family: TaskFamily) -> str:
    env = raw_env(family)
    obs, _ = env.reset(seed=0)
    space = env.observation_space
    if isinstance(space, gymnasium.spaces.Box) and np.asarray(obs).dtype != space.dtype:
        return (
            f"observations are {np.asarray(obs).dtype}, their space says {space.dtype}: return "
            f"obs.astype(np.{space.dtype})"
        )
    return ""


def _observation_space(family: TaskFamily) -> str:
    env = raw_env(family)
    space, actions = env.observation_space, env.action_space
    actions.seed(0)
    obs, _ = env.reset(seed=0)
    for t in range(min(STEPS, family.horizon)):
        if isinstance(space, gymnasium.spaces.Box):
            obs = np.asarray(obs).astype(space.dtype)
        if not space.contains(obs):
            return f"after {t} steps the observation {obs} is not in {space}: correct its bounds"
        obs, _, terminated, truncated, _ = env.step(actions.sample())
        if terminated or truncated:
            break
    return ""


def _finite(family: TaskFamily) -> str:
    tasks = some_tasks(family)
    for task, run in zip(tasks, play_each(family, tasks), strict=True):
        if not (np.isfinite(run.obs).all() and np.isfinite(run.reward).all()):
            return f"an observation or a reward of the task {task} is not finite: narrow the range"
    return ""


def _same_seed_same_episode(family: TaskFamily) -> str:
    task = some_tasks(family)[0]
    one, other = (play_each(family, [task])[0] for _ in range(2))
    if one.equals(other):
        return ""
    return (
        "the same seed, task and actions gave two episodes: call super().reset(seed=seed) and draw "
        "from self.np_random only, never from np.random or random"
    )


def _resets_leave_nothing(family: TaskFamily) -> str:
    task = some_tasks(family)[0]
    (fresh,) = play_each(family, [task], seed=1)
    env = family.make()
    play(env, family, 0, task)
    if play(env, family, 1, task).equals(fresh):
        return ""
    return "an episode leaves something behind for the next one: set all that changes in reset"


def _no_autoreset(family: TaskFamily) -> str:
    env: Any = raw_env(family)
    env.action_space.seed(0)
    env.reset(seed=0)
    author, ended, resets = env.unwrapped.reset, False, 0

    def counted(**options: Any) -> Any:
        nonlocal resets
        resets += 1
        return author(**options)

    env.unwrapped.reset = counted  # by whom it may be called but us: itself, or a wrapper
    for _ in range(family.horizon + 1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a step after the end
                *_, terminated, truncated, info = env.step(env.action_space.sample())
        except (Exception, SystemExit):
            if ended:  # it may refuse such a step
                return ""
            raise
        if resets or {"final_obs", "final_observation"} & set(info):
            return (
                "an episode's end, or a step after it, starts another one: remove Autoreset or "
                "your own call of reset, as the true last observation counts"
            )
        if ended:
            return ""
        ended = terminated or truncated
    return ""


def _can_be_sent_to_workers(family: TaskFamily) -> str:
    try:
        ForkingPickler.dumps(family)
    except Exception as error:  # whatever the objects of a user's family raise
        return f"{error}: define functions and classes at the top of a module, or use --workers 0"
    return ""


Rule = Callable[[TaskFamily], str]
RULES: tuple[tuple[str, Rule], ...] = (
    ("an environment can be made, its spaces are supported", _can_be_made),
    ("tasks can be drawn", _tasks_can_be_drawn),
    ("reset takes a seed and returns (obs, info)", _resets_with_a_seed),
    ("step returns (obs, reward, terminated, truncated, info)", _steps),
    ("observations have the type of their space", _observation_type),
    ("observations lie in their space", _observation_space),
    ("observations and rewards are finite", _finite),
    ("the same seed gives the same episode", _same_seed_same_episode),
    ("a reset leaves nothing behind", _resets_leave_nothing),
    ("the task changes what happens", task_matters),
    ("the task survives a reset", task_survives),
    ("the task does not show in the observation", task_is_hidden),
    ("an episode's end is not reset away", _no_autoreset),
    ("what is derived from the task follows it", stale_advice),
    ("it can be sent to worker processes", _can_be_sent_to_workers),
)
FUNDAMENTAL = {name for name, _ in RULES[:4]} | {"the same seed gives the same episode"}
"""Without these nothing else can be checked."""

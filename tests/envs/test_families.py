"""What every family must obey."""

import itertools
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from metarl.tasks import (
    Choice,
    Uniform,
    family_names,
    make_engine,
    make_family,
    stack_tasks,
    task_at,
)
from metarl.tasks.checking import OutOfRange
from metarl.tasks.family import TaskFamily
from metarl.tasks.single import FamilyEnv
from metarl_envs.acrobot import ACROBOT
from metarl_envs.control import CONTROL
from metarl_envs.locomotion import LOCOMOTION
from metarl_envs.physics import PHYSICS

FAMILIES = [make_family(name) for name in family_names()]
# their tasks move the agent differently
CHANGES_WHAT_IS_SEEN = {"tabular-mdp", "acrobot", *(f.name for f in (*CONTROL, *PHYSICS))}
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)


def actions(family: TaskFamily, rng: np.random.Generator, *shape: int) -> np.ndarray:
    """`[*shape, …]` uniform ones."""
    space = family.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return rng.integers(space.n, size=shape)
    return rng.uniform(space.low, space.high, (*shape, *space.shape)).astype(np.float32)


def pushes(family: TaskFamily) -> np.ndarray:
    """`[10, …]` actions: full thrust, or random discrete ones."""
    if isinstance(family.action_space, gymnasium.spaces.Discrete):
        return actions(family, np.random.default_rng(1), 10)
    return np.tile(family.action_space.high, (10, 1))


def run(env: FamilyEnv, task: dict, seed: int = 0) -> tuple[np.ndarray, list[float]]:
    """Observations and rewards of ten steps; the actions are always the same."""
    obs, _ = env.reset(seed=seed, options={"task": task})
    seen, rewards = [obs], []
    for action in pushes(env.family):
        obs, reward, *_ = env.step(action)
        seen.append(obs)
        rewards.append(reward)
    return np.array(seen), rewards


def tasks_of(family: TaskFamily, n: int) -> list[dict]:
    tasks = family.sample(n, np.random.default_rng(3))
    return [task_at(tasks, i) for i in range(n)]


@every_family
@pytest.mark.filterwarnings("ignore:.*infinity.*", "ignore:.*symmetric and normalized.*")
def test_both_checkers_accept_it(family: TaskFamily) -> None:
    """Gymnasium's advice on infinite bounds and SB3's on action ranges may warn, nothing else."""
    gymnasium_check(gymnasium.make(family.env_id).unwrapped, skip_render_check=True)
    sb3_check(gymnasium.make(family.env_id).unwrapped, skip_render_check=True)


@every_family
def test_the_task_changes_the_outcome(family: TaskFamily) -> None:
    """Same seed, same actions, forty tasks: what is seen or paid differs."""
    env = FamilyEnv(family)
    runs = [run(env, task) for task in tasks_of(family, 40)]
    assert any(r[1] != runs[0][1] or (r[0] != runs[0][0]).any() for r in runs)


@every_family
def test_the_task_is_not_in_the_first_observation(family: TaskFamily) -> None:
    """Before the first action, no task can be told from another."""
    env = FamilyEnv(family)
    first = [run(env, task)[0][0] for task in tasks_of(family, 9)]
    assert all((obs == first[0]).all() for obs in first)


@pytest.mark.parametrize("name", [f.name for f in FAMILIES if f.name not in CHANGES_WHAT_IS_SEEN])
def test_a_task_that_only_pays_is_never_observed(name: str) -> None:
    """The same seed and actions give the same observations, whatever the task."""
    env = FamilyEnv(make_family(name))
    seen = [run(env, task)[0] for task in tasks_of(env.family, 9)]
    assert all((obs == seen[0]).all() for obs in seen)


RIGHT, UP = [0.1, 0.0], [0.0, 0.1]
# a task, the actions that meet it, and what else is possible in every step
MEETS = {
    "point-nav": ({"goal": [0.1, 0.1]}, [RIGHT, UP], [RIGHT, UP, [-0.1, 0.0], [0.0, -0.1]]),
    "point-nav-sparse": ({"goal": [0.1, 0.1]}, [RIGHT, UP], [RIGHT, UP, [-0.1, 0.0], [0.0, -0.1]]),
    "grid-navi": ({"goal": [0.0, 2.0]}, [1, 1], list(range(5))),
    "tabular-mdp": ({"rewards": 99 * (np.arange(5) == 3) * np.ones((10, 1))}, [3, 3], range(5)),
    **{
        f"bandit-k{k}": ({"means": (np.arange(k) == 3).astype(float)}, [3, 3], range(k))
        for k in (5, 10, 50)
    },
}


@pytest.mark.parametrize("name", MEETS)
def test_the_reward_is_best_when_the_task_is_met(name: str) -> None:
    """Of all pairs of actions those that meet the task pay most; a wrong sign would show."""
    task, meeting, possible = MEETS[name]
    env = FamilyEnv(make_family(name))
    task = {**env.family.definition.default_task, **task}
    paid = {}
    for i, j in itertools.product(range(len(possible)), repeat=2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OutOfRange)
            env.reset(seed=0, options={"task": task})
        paid[i, j] = sum(env.step(np.asarray(possible[k]))[1] for k in (i, j))
    best = max(paid.values())
    first, second = (list(possible).index(action) for action in meeting)
    assert paid[first, second] == best
    assert best > min(paid.values())
    assert {pair for pair, earned in paid.items() if earned == best} <= {
        (first, second),
        (second, first),
    }


def test_every_family_has_a_test_of_what_it_pays_for() -> None:
    """Those of bodies are in test_locomotion; the others have Gymnasium's own reward, which
    test_control and test_physics compare with Gymnasium's.
    """
    own = {family.name for family in (*CONTROL, ACROBOT, *PHYSICS)}
    assert {f.name for f in FAMILIES} == own | set(MEETS) | {f.name for f in LOCOMOTION}


@every_family
def test_the_same_seed_gives_the_same_bits_and_the_task_survives_reset(family: TaskFamily) -> None:
    """A reset without a task keeps the one that was set."""
    env = FamilyEnv(family)
    task = task_at(family.sample(1, np.random.default_rng(0)), 0)
    first = run(env, task)
    env.reset(seed=5)
    assert env.task == task
    second = run(env, task)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]


@every_family
def test_a_batch_gives_what_single_environments_give(family: TaskFamily) -> None:
    """Same noise and actions: the engine's [T, E] and one environment agree bit for bit."""
    engine = make_engine(family, 3, 2, threads=2)
    rng = np.random.default_rng(0)
    tasks, noise = family.sample(3, rng), engine.draw_noise(rng)
    chosen = actions(family, rng, 4, 3, 2)
    obs = [engine.reset(tasks, noise.reset)]
    rewards = []
    for action, step_noise in zip(chosen, noise.step, strict=False):
        out = engine.step(action, step_noise)
        obs.append(out.obs)
        rewards.append(out.reward)
    for i in range(3):
        for e in range(2):
            one = make_engine(family, 1, 1, threads=1)
            task = {k: v[i : i + 1] for k, v in tasks.items()}
            at = slice(i, i + 1), slice(e, e + 1)
            np.testing.assert_array_equal(one.reset(task, noise.reset[at])[0, 0], obs[0][i, e])
            for t, action in enumerate(chosen):
                out = one.step(action[at], noise.step[(t, *at)])
                np.testing.assert_array_equal(out.obs[0, 0], obs[t + 1][i, e])
                assert out.reward[0, 0] == rewards[t][i, e]
    engine.close()


@pytest.mark.parametrize(
    "family",
    [f.with_options(preset) for f in FAMILIES for preset in f.presets],
    ids=lambda f: f"{f.name}, {f.preset}",
)
def test_every_preset_makes_environments(family: TaskFamily) -> None:
    """Its default task is one of its tasks, and what is seen and paid is finite."""
    task = family.definition.default_task
    for name, values in stack_tasks([task]).items():
        assert family.parameters[name].contains(values).all()
    env = FamilyEnv(family)
    seen, rewards = run(env, task)
    assert seen.shape[1:] == family.observation_space.shape
    assert np.isfinite(seen).all()
    assert np.isfinite(rewards).all()
    env.close()


@every_family
def test_the_horizon_truncates_and_does_not_terminate(family: TaskFamily) -> None:
    """Step H is truncated, step H − 1 is not."""
    engine = make_engine(family.with_options(horizon=3), 1, 1)
    noise = engine.draw_noise(np.random.default_rng(0))
    engine.reset(family.sample(1, np.random.default_rng(0)), noise.reset)
    still = np.zeros((1, 1, *family.action_space.shape), family.action_space.dtype)
    outs = [engine.step(still, step) for step in noise.step]
    assert [bool(o.truncated.item()) for o in outs] == [False, False, True]
    assert not outs[-1].terminated.item()
    engine.close()


@every_family
def test_training_and_test_tasks_come_from_disjoint_streams(family: TaskFamily) -> None:
    """The same seed and path, other tasks; the same split, the same tasks."""
    name = next(iter(family.parameters))
    train, test = (family.split(s).sample(50, 0, 1)[name] for s in ("train", "test"))
    assert not np.array_equal(train, test)
    np.testing.assert_array_equal(train, family.split("train").sample(50, 0, 1)[name])


@every_family
def test_only_a_finite_family_meets_its_training_tasks_again(family: TaskFamily) -> None:
    """`finite` says so: its train and test tasks coincide."""
    train, test = (family.split(name).sample(200, 0) for name in ("train", "test"))
    rows = [{str(task_at(tasks, i)) for i in range(200)} for tasks in (train, test)]
    assert family.finite == (rows[0] == rows[1])


def test_tasks_out_of_distribution_lie_outside_the_training_range() -> None:
    """Where there is a range; a finite family says that it has no outside."""
    names = ("half-cheetah-vel", "point-nav", "point-nav-sparse", "ant-goal", "hopper-params")
    for family in map(make_family, (*names, *(f.name for f in CONTROL))):
        for key, values in family.split("ood").sample(100, 0).items():
            assert not family.parameters[key].contains(values).any()
    with pytest.raises(ValueError, match="no values out of distribution"):
        make_family("half-cheetah-dir").split("ood").sample(3, 0)
    with pytest.raises(ValueError, match="whole circle: no values out of distribution"):
        make_family("ant-dir-2d").split("ood").sample(3, 0)
    with pytest.raises(ValueError, match="no values out of distribution"):
        make_family("bandit-k5").split("ood").sample(3, 0)


def test_one_range_with_an_outside_is_enough_to_leave_the_distribution() -> None:
    """The other parameters are drawn from their own."""
    parameters = {"g": Choice((9.0, 10.0)), "m": Uniform(0.5, 1.5)}
    family = TaskFamily(env="Pendulum-v1", parameters=parameters)
    tasks = family.split("ood").sample(20, 0)
    assert (tasks["m"] > 1.5).all()
    assert set(tasks["g"]) == {9.0, 10.0}


def test_every_family_and_preset_is_documented() -> None:
    """By its name, in docs/families.md."""
    text = (Path(__file__).parents[2] / "docs" / "families.md").read_text()
    for family in FAMILIES:
        assert family.name in text
        assert all(preset in text for preset in family.presets)


def test_unknown_names_are_refused_with_the_nearest_ones() -> None:
    """Family, preset, split and engine."""
    with pytest.raises(ValueError, match="did you mean half-cheetah-vel"):
        make_family("half-cheetah-vle")
    with pytest.raises(ValueError, match="did you mean finn2017"):
        make_family("point-nav", "fin2017")
    with pytest.raises(ValueError, match="unknown split"):
        make_family("point-nav").split("validation")
    with pytest.raises(ValueError, match="did you mean threads"):
        make_engine(make_family("point-nav"), 1, 1, engine="thread")
    with pytest.raises(ValueError, match="use --engine arrays"):
        make_engine(make_family("point-nav"), 1, 1, engine="threads")
    with pytest.raises(ValueError, match=r"'velocity'.*got None"):
        make_engine(make_family("half-cheetah-vel"), 1, 1).reset({}, None)
    point = FamilyEnv(make_family("point-nav"))
    with pytest.raises(ValueError, match=r"goal of point-nav has the shape \(2,\), got \(1,\)"):
        point.reset(options={"task": {"goal": [0.1]}})
    bandit = FamilyEnv(make_family("bandit-k5"))
    bandit.reset()
    for action in (5, -1, 0.5):
        with pytest.raises(
            ValueError, match=r"bandit-k5 are integers from 0 to 4, got .*" + f"{action}"
        ):
            bandit.step(action)

"""Families made of any Gymnasium environment."""

import functools
import importlib.metadata
import json
import sys
from collections import OrderedDict
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from metarl.tasks import (
    Choice,
    EnvironmentFailure,
    TaskFamily,
    Uniform,
    distributions,
    family_from_json,
    family_names,
    load_family,
    make_family,
    register_family,
    registry,
)
from metarl.tasks.checking import OutOfRange
from metarl.tasks.custom.setters import set_attribute
from metarl.tasks.custom.spaces import flat_observations
from metarl.tasks.distributions.grammar import from_json, parse_vary
from metarl.tasks.engines.vector.engine import VectorEngine
from metarl.tasks.task import task_at
from tests.tasks import gallery

TARGET = {"target": Uniform(-1, 1)}


def made(env, parameters=None, **options):
    """One environment of a family of `env`."""
    return TaskFamily(env=env, parameters=parameters or {}, horizon=5, **options).make()


def target_after(env, task: dict) -> float:
    """What the environment holds after a reset with the task and one without."""
    env.reset(seed=0, options={"task": task})
    env.reset(seed=1)
    return env.env.unwrapped.target


def test_a_family_is_an_environment_and_the_names_of_what_varies() -> None:
    """Name and horizon are the environment's own where none is given."""
    family = TaskFamily(env="CartPole-v1", parameters={"length": Uniform(0.25, 1.0, unit="m")})
    assert (family.name, family.horizon) == ("CartPole-v1", 500)
    assert family.with_options(horizon=7).horizon == 7
    unnamed = TaskFamily(env=lambda: gallery.Walk(), parameters=TARGET, horizon=5)
    assert unnamed.name == "custom"  # and not <lambda>, in the name of the run's folder
    assert TaskFamily(env="gymnasium:Pendulum-v1", parameters={"g": Uniform(6, 14)}).horizon == 200
    env = family.make()
    assert env.observation_space == gymnasium.make("CartPole-v1").observation_space
    env.reset(seed=3, options={"task": {"length": 0.7}})
    env.reset(seed=4)
    assert env.env.unwrapped.length == 0.7
    assert family.sample(4, np.random.default_rng(0))["length"].shape == (4,)
    with pytest.raises(
        ValueError, match="no time limit of its own: give it a horizon, such as --horizon"
    ):
        TaskFamily(env=gallery.Walk, parameters=TARGET)
    with pytest.raises(ValueError, match="a family needs an environment"):
        TaskFamily(name="empty", horizon=5)


@pytest.mark.parametrize(
    ("env", "names", "task", "way"),
    [
        (gallery.Walk, ["target"], {"target": 0.5}, "attributes"),
        (gallery.Garage, ["velocity"], {"velocity": 0.5}, "set_task"),
        (gallery.VariBad, ["task"], {"task": 0.5}, "reset_task"),
        (gallery.ByOptions, ["target"], {"target": 0.5}, "options"),
        (gallery.ReadsOptions, ["goal"], {"goal": 0.5}, "options"),
    ],
)
def test_environments_that_speak_a_dialect_run_unchanged(env, names, task, way) -> None:
    """The task survives a reset without one."""
    one = made(env, {name: Uniform(0, 2) for name in names})
    assert one.way == way
    assert target_after(one, task) == 0.5


def test_constructor_keywords_and_functions_set_a_task() -> None:
    """A new environment for another task, and the family's own function."""
    one = made(gallery.Walk, {"gravity": Uniform(1, 20)}, apply="constructor")
    one.reset(options={"task": {"gravity": 3.0}})
    first = one.env
    one.reset(options={"task": {"gravity": 3.0}})
    assert one.env is first
    one.reset(options={"task": {"gravity": 4.0}})
    assert one.env.gravity == 4.0
    cart = gallery.cart_pole.make()
    cart.reset(seed=0, options={"task": {"length": 1.0}})
    assert cart.env.unwrapped.polemass_length == pytest.approx(0.1)
    with pytest.raises(ValueError, match=r"apply must be a function.*got 'setattr'"):
        TaskFamily(env=gallery.Walk, parameters=TARGET, horizon=5, apply="setattr")


@pytest.mark.parametrize("env", [gallery.Garage, gallery.VariBad])
def test_tasks_may_be_drawn_by_the_environment(env) -> None:
    """From its seeded generator: the same stream gives the same tasks, another one others."""
    family = TaskFamily(env=env, horizon=5)
    one, same, other = (family.split("train").sample(9, 0, i) for i in (1, 1, 2))
    (name,) = one
    np.testing.assert_array_equal(one[name], same[name])
    assert (one[name] != other[name]).all()
    engine = VectorEngine(family, 9, 1)
    noise = engine.draw_noise(np.random.default_rng(0))
    start = engine.reset(one, noise.reset)[:, 0, 0]
    reward = engine.step(np.zeros((9, 1, 1)), None).reward[:, 0]
    np.testing.assert_allclose(reward, -np.abs(start - one[name]), atol=1e-6)
    with pytest.raises(ValueError, match="no task is known to be out of distribution"):
        family.split("ood").sample(3, 0)


def test_tasks_drawn_as_arrays_are_handed_back_as_arrays() -> None:
    """As garage's environments draw them, whose `set_task` computes with them."""
    family = TaskFamily(env=gallery.Vectors, horizon=5)
    assert target_after(family.make(), task_at(family.split("train").sample(2, 0), 0)) != 0.0


def test_tasks_that_cannot_be_drawn_are_refused() -> None:
    """An environment without them, and one that draws from a generator of its own."""
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"Walk has no sample_tasks.*parameters="):
        TaskFamily(env=gallery.Walk, horizon=5).sample(3, rng)
    with pytest.raises(ValueError, match=r"other tasks for the same reset seed.*self.np_random"):
        TaskFamily(env=gallery.Unseeded, horizon=5).sample(3, rng)


def test_dotted_paths_reach_into_the_environment() -> None:
    """An element of an array leaves the others; what does not exist is named with what does."""
    one = made(gallery.Walk, {"model.wind[1]": Uniform(0, 1)})
    one.reset(options={"task": {"model.wind[1]": 0.5}})
    np.testing.assert_array_equal(one.env.model.wind, [0, 0.5, 0])
    with pytest.raises(ValueError, match=r"no 'gravty'.*its numbers are: gravity, target; if its"):
        made(gallery.Walk, {"gravty": Uniform(0, 1)})
    for path in ("model.mass", "model.wind[7]", "target.x", "target[0]"):
        with pytest.raises(ValueError, match="its numbers are|what it leads to is"):
            made(gallery.Walk, {path: Uniform(0, 1)})
    with pytest.raises(ValueError, match="is no attribute; write"):
        made(gallery.Walk, {"model[": Uniform(0, 1)})
    with pytest.raises(ValueError, match=r"shape \(3,\).*0.5.*; model.wind\[0\] is one element"):
        set_attribute(one.env, "model.wind", 0.5)
    with pytest.raises(ValueError, match="is no number"):
        made(gallery.Walk, {"metadata": Uniform(0, 1)})


def test_a_compiled_model_is_reached_too() -> None:
    """MuJoCo's fields are views, which a new array is copied into."""
    pendulum = made("InvertedPendulum-v5", {"model.opt.gravity[2]": Uniform(-12, -6)})
    for gravity in (-7.0, -11.0):
        pendulum.reset(seed=0, options={"task": {"model.opt.gravity[2]": gravity}})
        assert pendulum.env.unwrapped.model.opt.gravity.tolist() == [0, 0, gravity]


@pytest.mark.parametrize("family", gallery.odd.values(), ids=gallery.odd)
def test_spaces_of_every_kind_are_stepped(family: TaskFamily) -> None:
    """Observations as `gymnasium.spaces.flatten` gives them, actions within their space."""
    one, raw = family.make(), family.env()
    obs, _ = one.reset(seed=0)
    expected, _ = raw.reset(seed=0)
    flat = spaces.flatten(raw.observation_space, expected)
    np.testing.assert_array_equal(obs, flat.astype(np.float32))
    assert one.observation_space.contains(obs)
    for seed in range(9):
        one.action_space.seed(seed)
        assert one.step(one.action_space.sample())[1] == 1.0


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (gallery.Image, "images.*encoder of yours"),
        (gallery.Words, "MultiDiscrete, Tuple and Dict, got Text"),
        (gallery.binary, "a Box of floats, Discrete or a MultiDiscrete vector, got MultiBinary"),
        (dict, "made dict, which is no gymnasium.Env"),
        ("Pendulm-v1", "Did you mean: `Pendulum`"),
    ],
)
def test_environments_that_do_not_fit_are_named(env, message: str) -> None:
    """With the way out."""
    with pytest.raises(ValueError, match=message):
        made(env, {"bonus": Choice((1.0,))})


def test_the_old_interface_is_named() -> None:
    """Instead of an error about unpacking."""
    one = made(gallery.Old, TARGET)
    one.reset(seed=0)
    with pytest.raises(TypeError, match="old gym API"):
        one.step(np.zeros(1))


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (gallery.PaysRows, r"reward as a number, got array\(\["),
        (gallery.KnowsNothing, "info as a dictionary, got None"),
    ],
)
def test_a_step_that_returns_other_things_is_named(env, message: str) -> None:
    """What it is, instead of an error of whoever meets it first."""
    one = made(env, TARGET)
    one.reset(seed=0)
    with pytest.raises(TypeError, match=message):
        one.step(np.zeros(1, np.float32))


def test_tasks_that_break_the_physics_are_refused() -> None:
    """Outside the range is a task out of distribution; a negative length or a nan is none."""
    cart = gallery.cart_pole.make()
    with pytest.warns(OutOfRange, match=r"length of CartPole-v1 is drawn from U\(0.25, 1\) m"):
        cart.reset(options={"task": {"length": 3.0}})
    with pytest.raises(ValueError, match=r"length of CartPole-v1 must be positive.*got -0.5"):
        cart.reset(options={"task": {"length": -0.5}})
    with pytest.raises(ValueError, match="length of CartPole-v1 must be finite"):
        cart.reset(options={"task": {"length": float("nan")}})
    with pytest.raises(ValueError, match=r"has the parameters \['length'\], got \['mass'\]"):
        cart.reset(options={"task": {"mass": 1.0}})


def test_workers_step_a_custom_family_as_this_process_does() -> None:
    """With its function, which they import by its name."""
    results = []
    for workers in (0, 2):
        engine = VectorEngine(gallery.cart_pole, 3, 2, workers)
        rng = np.random.default_rng(0)
        tasks, noise = gallery.cart_pole.sample(3, rng), engine.draw_noise(rng)
        engine.reset(tasks, noise.reset)
        outs = [engine.step(rng.integers(2, size=(3, 2)), None) for _ in range(10)]
        results.append(np.stack([out.obs for out in outs]))
        engine.close()
    np.testing.assert_array_equal(*results)


def test_vary_makes_a_family_and_malformed_text_shows_the_grammar() -> None:
    """As on the command line; its description makes the same family again."""
    vary = ["g=uniform(6,14)", " l = choice( 0.7, 1.5 ) "]
    family = load_family("Pendulum-v1", vary=vary)
    assert family.parameters == {"g": Uniform(6, 14), "l": Choice((0.7, 1.5))}
    assert family_from_json(family.to_json()) == family
    for bad in ("g", "g=", "g=uniform(1)", "g=uniform(a,b)", "g=cauchy(0,1)", "g=uniform(2,1)"):
        with pytest.raises(ValueError, match=r"--vary '.*write NAME=uniform\(LOW,HIGH\)"):
            load_family("Pendulum-v1", vary=[bad])
    with pytest.raises(ValueError, match="say what varies with --vary.*max_torque"):
        load_family("Pendulum-v1")
    with pytest.raises(ValueError, match="boat.py:boat is a family already"):
        load_family("examples/boat.py:boat", vary=["g=uniform(6,14)"])
    with pytest.raises(ValueError, match="point-nav is a family already"):
        load_family("point-nav", vary=vary)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("true, False", (True, False)),
        ("4x4,8x8", ("4x4", "8x8")),
        ("'a b', \"c,(d)\"", ("a b", "c,(d)")),
        ("1,2", (1, 2)),
        ("1,2.5,.5,1e3", (1, 2.5, 0.5, 1000.0)),
        ("[1,0],[0, 1]", ((1, 0), (0, 1))),
        ("[[1,0],[0,1]],[[0,1],[1,0]]", (((1, 0), (0, 1)), ((0, 1), (1, 0)))),
        ("[SF,FG],['SG',HF]", (("SF", "FG"), ("SG", "HF"))),
    ],
)
def test_a_choice_is_typed_as_it_is_meant(text: str, values: tuple) -> None:
    """Whole numbers, words, truth values and arrays keep their kind."""
    (choice,) = parse_vary([f"x=choice({text})"]).values()
    assert choice == Choice(values)
    assert list(map(type, choice.values)) == list(map(type, values))


@pytest.mark.parametrize("text", ["a b", "1,,2", "[1,2", "1]", "1;2", "inf", "", "true,1", "[1],2"])
def test_a_choice_that_cannot_be_meant_shows_the_grammar(text: str) -> None:
    """With the way to write one."""
    with pytest.raises(ValueError, match=r"--vary .*choice\(A,B,…\)"):
        parse_vary([f"x=choice({text})"])


class Settings(gallery.Walk):
    """Keeps what it was made with."""

    def __init__(self, *, windy=False, map_name="4x4", walls=None, size=3, depth):
        super().__init__()
        self.windy, self.map_name, self.walls = windy, map_name, walls
        self.size, self.depth = size, depth


def test_arguments_of_a_constructor_keep_their_kind() -> None:
    """In this process and in workers, those without a default, too."""
    parameters = {
        "windy": Choice((True, False)),
        "map_name": Choice(("4x4", "8x8")),
        "walls": Choice(((1, 0), (0, 1))),
        "size": Choice((3, 4)),
        "depth": Uniform(0, 1),
    }
    family = TaskFamily(env=Settings, parameters=parameters, apply="constructor", horizon=5)
    tasks = family.split("train").sample(6, 0)
    one = family.make()
    for i in range(6):
        task = task_at(tasks, i)
        one.reset(options={"task": task})
        assert {name: getattr(one.env, name) for name in parameters} == task
        kinds = [type(getattr(one.env, name)) for name in parameters]
        assert kinds == [bool, str, list, int, float]
    with pytest.raises(ValueError, match="no argument 'wind'; its arguments are: windy, map_name"):
        made(Settings, {"wind": Choice((True, False))}, apply="constructor")


def test_attributes_that_are_no_numbers_vary_too() -> None:
    """They keep their kind, and refuse another one."""
    walk = gallery.Walk()
    walk.windy, walk.name = False, "meadow"
    for name, value in (("windy", True), ("windy", 0), ("name", "wood")):
        set_attribute(walk, name, value)
        assert getattr(walk, name) == value
    assert isinstance(walk.windy, bool)
    for name, value in (("windy", 0.5), ("name", 1.0), ("gravity", "low"), ("windy", "yes")):
        with pytest.raises(ValueError, match="is of another kind"):
            set_attribute(walk, name, value)


def test_ids_of_modules_of_the_working_directory_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --vary as without, and when the run is resumed."""
    (tmp_path / "my_walks.py").write_text(
        "import gymnasium\n"
        "if 'MyWalk-v0' not in gymnasium.registry:\n"
        "    gymnasium.register('MyWalk-v0', 'tests.tasks.gallery:Walk', max_episode_steps=5)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.delitem(sys.modules, "my_walks", raising=False)
    family = load_family("my_walks:MyWalk-v0", vary=["target=uniform(0,1)"])
    del sys.modules["my_walks"]
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path)])
    assert family_from_json(family.to_json()) == family
    with pytest.raises(ValueError, match=r"'Other-v0' \(known: none\)"):
        load_family("my_walks:Other-v0")


def test_whole_numbers_stay_whole() -> None:
    """numpy's, too."""
    walk = gallery.Walk()
    walk.steps = np.int64(3)
    set_attribute(walk, "steps", 2.0)
    assert isinstance(walk.steps, int)


@pytest.mark.parametrize("spec", ["GalleryGarage-v0", "tests.tasks.gallery:GalleryGarage-v0"])
def test_an_id_whose_environment_draws_tasks_is_a_family(spec: str) -> None:
    """By itself, from the module that registers it, and from a run's description."""
    family = load_family(spec)
    assert (family.horizon, family.split("train").sample(3, 0)["velocity"].shape) == (5, (3,))
    assert load_family(spec, horizon=2, workers=int(":" in spec)).horizon == 2
    assert family_from_json(family.to_json()) == family
    with pytest.raises(ValueError, match="without sample_tasks.*its numbers are: gravity, target"):
        load_family("tests.tasks.gallery:GalleryWalk-v0")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("HANGING", "environment of Hangs in a worker process has not returned for 0.5 s"),
        ("CLOSING", "environment of HangsAtLast in a worker process has not returned for 0.5 s"),
        ("DYING", r"environment of Dies in a worker process ended that process \(exit code 7\)"),
    ],
)
def test_with_workers_no_environment_is_tried_in_this_process(name: str, message: str) -> None:
    """One that hangs when it is made or closed, or takes its process along, is named."""
    with pytest.raises(EnvironmentFailure, match=message):
        load_family(f"tests.tasks.trouble:{name}", workers=1)


def test_what_a_worker_refuses_is_refused_here() -> None:
    """With the same words; what it finds is known here without another environment."""
    with pytest.raises(ValueError, match=r"(?s)making an environment of Leaves failed.*SystemExit"):
        load_family("tests.tasks.trouble:LEAVING", workers=1)
    walk = load_family("tests.tasks.gallery:walk", workers=1)
    assert "spaces" in vars(walk.definition)
    assert walk.observation_space == gallery.Walk.observation_space


def test_every_distribution_comes_back_from_a_description() -> None:
    """Those that the command line takes, and the others."""
    texts = ["a=uniform(0,1)", "b=loguniform(1,2)", "c=normal(0,1)", "d=choice(3)"]
    typed = parse_vary(texts)
    assert typed["b"] == distributions.LogUniform(1, 2)
    others = [
        distributions.OnCircle(1.0),
        distributions.InDisk(3.0),
        distributions.Beta(size=5),
        distributions.Dirichlet(3, size=(2, 4)),
        Choice(((0.0, 1.0), (1.0, 0.0))),
    ]
    for one in [*typed.values(), *others]:
        assert from_json(json.loads(json.dumps(one.to_json()))) == one
    with pytest.raises(ValueError, match="unknown distribution 'cauchy'"):
        from_json({"distribution": "cauchy"})
    with pytest.raises(ValueError, match="unexpected keyword argument 'hight'"):
        from_json({"distribution": "uniform", "low": 0, "hight": 1})


def test_modules_and_files_hold_families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's description imports them again."""
    family = load_family("tests.tasks.gallery:walk", horizon=4)
    assert (family.horizon, family.parameters) == (4, TARGET)
    assert family_from_json(family.to_json()) == family
    file = tmp_path / "my_walk_family.py"
    file.write_text("from tests.tasks.gallery import walk as mine\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    of_file = load_family(f"{file}:mine")
    assert of_file.to_json()["source"] == f"{file}:mine"
    assert family_from_json(of_file.to_json()) == of_file
    (tmp_path / "numpy.py").write_text("mine = 3\n")
    with pytest.raises(ValueError, match="another module of that name is found first"):
        load_family(f"{tmp_path / 'numpy.py'}:mine")


def test_what_is_wrong_with_a_module_is_said_in_its_own_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line of ours or of Python's import system."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "my_broken_family.py"
    file.write_text("def half(x):\n    return x / 0\n\n\nmine = half(1)\n")
    with pytest.raises(ValueError, match="ZeroDivisionError") as error:
        load_family(f"{file}:mine")
    lines = [line for line in str(error.value).splitlines() if line.startswith("  File")]
    assert [line.split(",")[1] for line in lines] == [" line 5", " line 2"]
    for spec in (":mine", "tests.tasks.gallery:"):
        with pytest.raises(ValueError, match=f"{spec!r} names no family: write my_module"):
            load_family(spec)
    with pytest.raises(ValueError, match="there is no file"):
        load_family(f"{tmp_path / 'none.py'}:mine")
    with pytest.raises(ValueError, match="did you mean cart_pole"):
        load_family("tests.tasks.gallery:cartpole")
    with pytest.raises(ValueError, match="is no metarl.tasks.TaskFamily, but module"):
        load_family("tests.tasks.gallery:no_family")


def test_a_registered_family_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered by hand, or by an installed package's entry point."""
    monkeypatch.setattr(registry, "_FAMILIES", dict(registry._FAMILIES))
    register_family(gallery.walk)
    assert make_family("Walk", horizon=3).horizon == 3
    with pytest.raises(ValueError, match="already registered"):
        register_family(gallery.walk)
    points = {
        name: importlib.metadata.EntryPoint(name, f"tests.tasks.gallery:{value}", registry.GROUP)
        for name, value in {"their-walk": "walk", "none": "no_family", "gone": "gone"}.items()
    }
    monkeypatch.setattr(registry, "_installed", lambda: points)
    assert "their-walk" in family_names()
    assert make_family("their-walk").name == "their-walk"
    with pytest.raises(ValueError, match="is no metarl.tasks.TaskFamily"):
        make_family("none")
    with pytest.raises(ValueError, match="cannot be loaded"):
        make_family("gone")


def test_tasks_that_are_objects_are_looked_up_by_their_index() -> None:
    """A whole number stays one on its way to the environment."""
    family = TaskFamily(
        env=gallery.Walk,
        parameters={"index": Choice((0, 1, 2))},
        apply=gallery.look_up,
        horizon=5,
    )
    tasks = family.split("train").sample(20, 0)
    engine = VectorEngine(family, 20, 1)
    engine.reset(tasks, engine.draw_noise(np.random.default_rng(0)).reset)
    assert engine.step(np.zeros((20, 1, 1)), None).reward.shape == (20, 1)
    assert target_after(family.make(), task_at(tasks, 0)) == gallery.TARGETS[tasks["index"][0]]


def test_keywords_of_an_environment_stay_fixed_with_partial() -> None:
    """A made environment is what is varied."""
    made_with = functools.partial(gallery.Walk, gravity=1.0)
    one = TaskFamily(name="light", env=made_with, parameters=TARGET, horizon=5).make()
    assert one.env.gravity == 1.0


@pytest.mark.parametrize(
    ("space", "seen"),
    [
        (spaces.Box(-1, 1, (0,)), [0.0]),
        (spaces.Dict({}), [0.0]),
        (spaces.Tuple(()), [0.0]),
        (spaces.Dict({"a": spaces.Dict({}), "b": spaces.Box(2, 2, (1,))}), [2.0]),
        (spaces.Tuple((spaces.Tuple(()), spaces.Box(2, 2, (1,)))), [2.0]),
    ],
)
def test_an_environment_that_shows_nothing_is_seen_as_a_zero(space, seen: list[float]) -> None:
    """Parts of a space that show nothing are left out beside others."""

    class Blind(gallery.Walk):
        observation_space = space

        def step(self, action):
            return space.sample(), *super().step(action)[1:]

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return space.sample(), {}

    one = made(Blind, TARGET)
    assert one.observation_space.shape == (1,)
    np.testing.assert_array_equal(one.reset(seed=0)[0], np.float32(seen))
    np.testing.assert_array_equal(one.step(np.zeros(1))[0], np.float32(seen))


def test_parts_of_an_observation_keep_their_order() -> None:
    """That of their author, where nothing is left out."""
    ordered = OrderedDict([("z", spaces.Box(1, 1, (1,))), ("a", spaces.Box(2, 2, (1,)))])
    flat, flatten = flat_observations(spaces.Dict(ordered))
    assert flatten({"a": np.float32([2]), "z": np.float32([1])}).tolist() == flat.low.tolist()

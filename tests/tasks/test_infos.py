"""What an engine makes of an environment's infos."""

import numpy as np
import pytest
import torch

from metarl.tasks import make_engine, make_family
from metarl.tasks.engines.infos import told
from metarl.tasks.engines.vector.engine import VectorEngine
from tests.tasks import habits


@pytest.mark.parametrize(
    ("info", "success"),
    [
        ({"success": True}, 1.0),
        ({"success": np.bool_(False)}, 0.0),
        ({"success": np.array([True])}, 1.0),
        ({"success": np.array(0.0, np.float32)}, 0.0),
        ({"success": torch.tensor([[1.0]])}, 1.0),
        ({"is_success": 1}, 1.0),
        ({"is_success": np.ones(1)}, 1.0),
        ({"success": 0.0, "is_success": 1.0}, 0.0),
        ({"success": "unknown", "is_success": 1.0}, 1.0),
        ({"success": None}, None),
        ({"success": [True]}, 1.0),
        ({"success": (np.bool_(False),)}, 0.0),
        ({"success": [True, False]}, None),
        ({"success": np.ones(2)}, None),
        ({"success": torch.ones(1, requires_grad=True)}, None),
        ({}, None),
    ],
    ids=str,
)
def test_success_is_a_number_or_the_only_one_of_an_array(
    info: dict[str, object], success: float | None
) -> None:
    """Under either of its two names."""
    assert told(info, foreign=True) == ({} if success is None else {"success": success})


def test_infos_of_somebodys_environment_have_names_of_their_own() -> None:
    """Whatever they are called, none is taken for one of the package's metrics."""
    engine = VectorEngine(habits.named, 2, 1)
    engine.reset({"target": np.zeros(2)}, np.zeros((2, 1)))
    metrics = engine.step(np.zeros((2, 1, 1)), None).metrics
    assert set(metrics) == {f"info/{name}" for name in (*habits.Named.NAMES, 7)}
    assert engine.score == ""


def test_a_definition_declares_what_its_rewards_are_expected_to_be() -> None:
    """On whatever engine; others have no such metric."""
    for name in ("bandit-k5", "tabular-mdp"):
        family = make_family(name)
        for kind in ("arrays", "vector"):
            engine = make_engine(family, 2, 1, engine=kind)
            noise = engine.draw_noise(np.random.default_rng(0))
            engine.reset(family.sample(2, np.random.default_rng(0)), noise.reset)
            out = engine.step(np.zeros((2, 1), np.int64), noise.step[0])
            assert engine.score in out.metrics
            engine.close()
    assert make_engine(make_family("point-nav"), 2, 1).score == ""

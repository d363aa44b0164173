"""The command that checks a family."""

import pytest

from metarl.cli import check_family
from metarl.tasks import TaskFamily
from tests.tasks.test_contract_tasks import CORNERS, Corner

far = TaskFamily(env=Corner, parameters=CORNERS, horizon=8)


def test_the_exit_code_says_whether_every_rule_is_obeyed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 with every rule, 1 with what to do, 2 where there is no family."""
    assert check_family.main(["point-nav"]) == 0
    assert "point-nav obeys every rule" in capsys.readouterr().out
    assert check_family.main(["CartPole-v1", "--vary", "length=uniform(0.25,1)"]) == 1
    out = capsys.readouterr().out
    assert "WRONG  what is derived from the task follows it" in out
    assert "CartPole-v1 breaks 1 of 15 rules" in out
    assert check_family.main(["point-nva"]) == 2
    assert "did you mean point-nav" in capsys.readouterr().err


def test_a_module_whose_environment_cannot_be_made_breaks_the_first_rule(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """That is a verdict; what is typed wrong is no family."""
    assert check_family.main(["tests.tasks.broken:picture"]) == 1
    assert "WRONG  an environment can be made, its spaces are supp" in capsys.readouterr().out
    assert check_family.main(["Pendulum-v1", "--vary", "gg=uniform(6,14)"]) == 2
    assert "no 'gg' (of 'gg'); its numbers are: dt, g, l" in capsys.readouterr().err


def test_what_could_not_be_shown_is_no_broken_rule(capsys: pytest.CaptureFixture[str]) -> None:
    """It has a mark of its own."""
    assert check_family.main(["tests.cli.test_check_family:far"]) == 0
    out = capsys.readouterr().out
    assert "    ?  the task changes what happens" in out
    assert "Corner obeys every rule that could be shown; 1 could not" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["is_slippery=choice(true,false)", "--apply", "constructor"], 0, "obeys every rule"),
        (["desc=choice([SF,FG],[SF,HG])", "--apply", "constructor"], 0, "obeys every rule"),
        (["is_slippery=choice(0,1)"], 2, "'is_slippery' is an argument of its constructor: say"),
        (["is_slipery=choice(0,1)", "--apply", "constructor"], 2, "no argument 'is_slipery'; its"),
        (["map_name=choice(4x4,8x8)", "--apply", "constructor"], 2, "all tasks need the same"),
    ],
)
def test_arguments_of_a_constructor_vary(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Truth values, words and arrays; where they do not fit, the way out is told."""
    assert check_family.main(["FrozenLake-v1", "--vary", *arguments]) == code
    assert said in " ".join("".join(capsys.readouterr()).split())


def test_a_way_to_apply_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Without what varies."""
    assert check_family.main(["point-nav", "--apply", "constructor"]) == 2
    assert "give --vary, too" in capsys.readouterr().err

"""The command that checks a family."""

import pytest

from scripts import check_family


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
    assert check_family.main(["tests.envs.broken:picture"]) == 1
    assert "WRONG  an environment can be made, its spaces are supp" in capsys.readouterr().out
    assert check_family.main(["Pendulum-v1", "--vary", "gg=uniform(6,14)"]) == 2
    assert "no 'gg' (of 'gg'); its numbers are: dt, g, l" in capsys.readouterr().err

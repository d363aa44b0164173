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

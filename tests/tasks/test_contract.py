"""The checker: a verdict for every rule, and a broken environment for every verdict."""

import pytest

from metarl.tasks import TaskFamily, family_names, load_family, make_family
from metarl.tasks.contract.rules import FUNDAMENTAL, RULES, check_family
from tests.tasks import broken, gallery

CASES = [(rule, *case) for rule, cases in broken.BROKEN.items() for case in cases]


@pytest.mark.parametrize(("rule", "env", "advice"), CASES)
def test_a_broken_environment_is_told_what_to_do(rule: str, env, advice: str) -> None:
    """The rule that it breaks fails, and no other one does."""
    wrong = [v for v in check_family(broken.of(env)) if v.passed is False]
    assert [rule in v.rule for v in wrong] == [True]
    assert advice in wrong[0].advice


def test_what_an_environment_raises_is_told_with_its_authors_lines() -> None:
    """And with no other ones."""
    (wrong, *_) = [v for v in check_family(broken.of(broken.Raises)) if v.passed is False]
    assert wrong.advice.startswith("RuntimeError: the motor is on fire, from\n")
    assert [line.split(", ")[2] for line in wrong.advice.splitlines() if "File" in line] == [
        "in step",
        "in move",
    ]


def test_every_rule_has_an_environment_that_breaks_it() -> None:
    """A rule that nothing breaks would check nothing."""
    assert [sum(rule in name for rule in broken.BROKEN) for name, _ in RULES] == [1] * len(RULES)


def test_rules_that_need_others_are_not_checked_without_them() -> None:
    """Their verdict is neither yes nor no."""
    verdicts = check_family(broken.of(broken.NoSeed))
    assert [v.passed for v in verdicts[:3]] == [True, True, False]
    assert {v.passed for v in verdicts[3:]} == {None}
    assert verdicts[2].rule in FUNDAMENTAL


@pytest.mark.parametrize(
    "family",
    [
        *(make_family(name) for name in family_names()),
        gallery.cart_pole,
        gallery.walk,
        broken.partial,
        TaskFamily(env=gallery.Garage, horizon=5),
        TaskFamily(env=gallery.VariBad, horizon=5),
        *gallery.odd.values(),
    ],
    ids=lambda family: family.name,
)
def test_families_that_are_in_order_obey_every_rule(family: TaskFamily) -> None:
    """The built-in ones, and every dialect and kind of space."""
    assert [v for v in check_family(family) if not v.passed] == []


def test_a_length_that_is_varied_alone_leaves_half_of_the_cart_pole() -> None:
    """The mass times the length is computed once in Gymnasium's environment."""
    family = load_family("CartPole-v1", vary=["length=uniform(0.25,1)"])
    (wrong,) = [v for v in check_family(family) if not v.passed]
    assert "polemass_length = self.masspole * self.length" in wrong.advice

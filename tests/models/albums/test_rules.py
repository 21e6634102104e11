"""models.albums.rules: when a rule holds, by the kinds of its terms."""

import math

import numpy as np

from models.albums.rule_file import parse_rules
from models.albums.rules import Rule
from tests.models.albums.albums import LABELS


def read(text: str) -> Rule:
    (rule,) = parse_rules(text, LABELS).rules
    return rule


def test_agreement_holds_where_kinds_are_equal() -> None:
    rule = read("2 same_session(a, b) & kind(a) = k => kind(b) = k")
    assert (rule.holds(5) == np.eye(5, dtype=bool)).all()
    assert [term.variable for term in rule.terms()] == ["a", "b"]


def test_without_an_arrow_a_rule_says_its_conjunction() -> None:
    rule = read("1 near(a, b, 3) & kind(a) = cat & kind(b) != cat")
    expected = np.zeros((5, 5), bool)
    expected[1] = True
    expected[1, 1] = False
    assert (rule.holds(5) == expected).all()


def test_an_implication_is_false_only_where_its_body_is_true_and_its_head_is_not() -> None:
    rule = read("1 same_session(a, b) & kind(a) = cat => kind(b) in {cat, dog}")
    expected = np.ones((5, 5), bool)
    expected[1, [0, 2, 4]] = False
    assert (rule.holds(5) == expected).all()


def test_a_rule_about_one_photo_has_one_axis() -> None:
    rule = read('1 camera(a, "x") => !kind(a) in {bird, insect}')
    assert rule.holds(5).tolist() == [False, True, True, True, False]


def test_weights_of_soft_and_hard_rules() -> None:
    soft, hard = read("-1.5 kind(a) = cat"), read("hard kind(a) = cat")
    assert soft.weigh(soft.holds(3)).tolist() == [0, -1.5, 0]
    assert hard.weigh(hard.holds(3)).tolist() == [-math.inf, 0, -math.inf]
    assert (soft.hard, hard.hard) == (False, True)
    assert hard.variables() == ("a",)

"""models.albums.rule_syntax: every fault has its place, what was expected and found, a remedy."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.albums.rule_file import parse_rules
from models.albums.rules import RuleSet
from models.errors import RuleError
from tests.models.albums.albums import LABELS

FAULTS = [
    ("kind(a) = cat", 1, "a weight from", "'kind'"),
    ("inf kind(a) = cat", 1, "a weight from", "'inf'"),
    ("nan kind(a) = cat", 1, "a weight from", "'nan'"),
    ("1e999 kind(a) = cat", 1, "a weight from", "'1e999'"),
    ("1", 2, "one of kind, near", "the end of the line"),
    ("1 knd(a) = cat", 3, "one of kind, near", "Did you mean kind?"),
    ("1 same_sesion(a, b) => kind(a) = cat", 3, "one of", "Did you mean same_session?"),
    ("1 near(a, b) => kind(a) = cat", 12, "','", "Write near(a, b, 2), with seconds."),
    ("1 near(a, b, -2) => kind(a) = cat", 14, "a number from 0", "'-2'"),
    ("1 near(a, a, 2) => kind(a) = cat", 11, "two photos", "'a'"),
    ("1 !near(a, b, 2) => kind(a) = cat", 4, "no ! before it", "cannot be negated"),
    ("1 camera(a, feeder) => kind(a) = cat", 13, 'a text in "quotes"', "'feeder'"),
    ('1 kind(a) = cat => camera(a, "x")', 20, "kind after =>", "'camera'"),
    ("1 kind(sesion(a)) = cat", 8, "session or burst", "'sesion'"),
    ("1 kind(a) > cat", 11, "=, != or in", "'>'"),
    ("1 kind(a) in {cat, }", 20, "the name of a kind", "'}'"),
    ("1 kind(a) in cat", 14, "'{'", "'cat'"),
    ("1 kind(a) = cat kind(a) = dog", 17, "&, => or the end", "'kind'"),
    (
        "1 kind(a) = cat => kind(b) = k",
        30,
        "a kind, or a letter for any kind that stands twice",
        "'k'",
    ),
    ('1 camera(a, "x")', 17, "a statement about a kind", "the end of the line"),
    ("1 kind(a) = dgo", 13, "a kind that the bundle knows", "Did you mean dog?"),
    ("1 kind(a) = Zebra", 13, "a kind that the bundle knows", "It knows bird, cat"),
    ("1 kind(a) = kind(b) & kind(c) = cat", 1, "at most two kinds", "several rules"),
    ("1 near(a, b, 2) & near(b, c, 2) => kind(a) = kind(c)", 1, "at most two photos", "several"),
    ("temperature -1", 13, "a number from 0.01", "'-1'"),
    ("temperature 2 3", 15, "the end of the line", "'3'"),
]


@pytest.mark.parametrize(("line", "column", "expected", "told"), FAULTS)
def test_faults_are_told_with_their_place(line: str, column: int, expected: str, told: str) -> None:
    with pytest.raises(RuleError) as fault:
        parse_rules(f"# first\n\n{line}", LABELS, "my.rules")
    text = str(fault.value)
    assert text.startswith(f"my.rules:3:{column}: expected {expected}"), text
    assert told in text
    assert "; found " in text


@given(st.text(alphabet='kind(ab)=&>!{},"near session 1.5 cat dog#\n'))
@example("1 kind(a) = k & kind(b) = k")
@example('1 camera(a, "#") => kind(a) = cat # why')
def test_any_text_is_read_or_refused(text: str) -> None:
    rules = RuleSet(())
    with suppress(RuleError):
        rules = parse_rules(text, LABELS)
    for rule in rules.rules:
        assert rule.holds(len(LABELS)).shape == (5,) * len(rule.terms())

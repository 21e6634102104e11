"""models.albums.rule_file: rules of a text, labels of any name, and weights written back."""

import math
from pathlib import Path

import pytest

from models.albums.rule_file import NONE, parse_rules, with_weights, write_weights
from models.albums.rules import Evidence, Term
from models.errors import RuleError
from tests.models.albums.albums import LABELS

TEXT = """\ufeff# of my garden
temperature 1.5
2.8   same_session(a, b) & kind(a) = k => kind(b) = k   # agree
1.5   camera(a, "feed#er*") => kind(a) in {bird, insect}
hard  !folder(x, "cats") => kind(x) != "cat"
 -3e-1 place(p, q) & near(q, p, 2.5) => kind(session(p)) = kind(burst(q))
"""


def test_a_file_is_read() -> None:
    rules = parse_rules(TEXT, LABELS)
    assert rules.temperature == 1.5
    assert [rule.weight for rule in rules.rules] == [2.8, 1.5, math.inf, -0.3]
    assert [rule.line for rule in rules.rules] == [3, 4, 5, 6]
    agree, feeder, hard, last = rules.rules
    assert agree.text == "same_session(a, b) & kind(a) = k => kind(b) = k"
    assert feeder.evidence == (Evidence("camera", ("a",), "feed#er*"),)
    assert feeder.text.startswith('camera(a, "feed#er*")')
    assert hard.evidence == (Evidence("folder", ("x",), "cats", negated=True),)
    assert last.evidence == (
        Evidence("place", ("p", "q"), 100.0),
        Evidence("near", ("q", "p"), 2.5),
    )
    assert last.terms() == (Term("session", "p"), Term("burst", "q"))


def test_a_label_wins_over_a_letter_for_any_kind() -> None:
    (rule,) = parse_rules("1 kind(a) = k", ["k", "m"]).rules
    assert rule.holds(2).tolist() == [True, False]


def test_labels_with_spaces_are_quoted() -> None:
    (rule,) = parse_rules('1 kind(a) in {"hot dog", cat}', ["hot dog", "cat"]).rules
    assert rule.holds(2).all()
    with pytest.raises(RuleError, match="Did you mean hot dog"):
        parse_rules('1 kind(a) = "hot dogs"', ["hot dog", "cat"])


def test_none_of_these_is_a_kind_if_the_bundle_says_so() -> None:
    text = f'1 kind(a) = "{NONE}"\n2 kind(a) = cat'
    with_none = parse_rules(text, LABELS)
    assert with_none.rules[0].holds(6).tolist() == [False] * 5 + [True]
    without = parse_rules(text, LABELS, "my.rules", none=False)
    assert [rule.line for rule in without.rules] == [2]
    assert without.notes == (f"my.rules:1: left out, as the bundle never says '{NONE}'",)


def test_weights_are_written_where_they_stood() -> None:
    rules = parse_rules(TEXT, LABELS)
    changed = with_weights(rules, [1.25, -2, 7, 0.125], 0.75)
    text = write_weights(TEXT, changed)
    again = parse_rules(text, LABELS)
    assert [rule.weight for rule in again.rules] == [1.25, -2, math.inf, 0.125]
    assert again.temperature == 0.75
    assert [rule.text for rule in again.rules] == [rule.text for rule in rules.rules]
    assert "# of my garden" in text
    assert "# agree" in text


def test_the_default_rules_are_readable(repository: Path) -> None:
    text = (repository / "models" / "recipes" / "album.rules").read_text()
    assert len(parse_rules(text, LABELS).rules) == 3
    examples = [line[1:] for line in text.splitlines() if line.startswith("#   ")]
    assert len(examples) == 6
    for line in examples:  # what stands after two spaces and a word is a remark
        rule = line.partition("      ")[0] if '"' not in line else line
        assert parse_rules(rule.partition("     ")[0], LABELS).rules, line


def test_none_keeps_a_photo_alone_as_it_is(repository: Path) -> None:
    """The weight of the default rules is log((e^w + K - 1) / K), for 22 labels."""
    text = (repository / "models" / "recipes" / "album.rules").read_text()
    agree, _, none = parse_rules(text, [f"k{i}" for i in range(22)]).rules
    expected = math.log((math.exp(agree.weight) + 21) / 22)
    assert none.weight == pytest.approx(expected, abs=0.1)


def test_a_second_temperature_is_refused() -> None:
    with pytest.raises(RuleError, match="rules:2:2: expected one temperature in a file"):
        parse_rules("temperature 2\n temperature 1", LABELS)

"""models.albums.reasons: what is said of photos around and of rules is what is there."""

import numpy as np

from models.albums.reasoning import reason
from models.albums.reasons import explain
from models.albums.rule_file import parse_rules
from tests.models.albums.albums import LABELS, make_facts


def tell(
    text: str, kinds: list[int], times: list[float], sessions: list[int], **facts: object
) -> list[str]:
    """Reasons of photos that the model takes for these kinds."""
    rules = parse_rules(text, LABELS)
    scores = np.log(0.1 * np.ones((len(kinds), 5)) + 0.5 * np.eye(5)[kinds])
    known = make_facts(times, sessions, **facts)  # type: ignore[arg-type]
    answers = reason(rules, known, scores)
    return explain(answers, known, rules.rules, [*LABELS, "none of these"], 2.0)


def test_photos_of_a_burst_are_counted_then_those_of_the_session() -> None:
    texts = tell(
        "4 kind(session(a)) = kind(a)",
        [3, 3, 1, 3, 3, 3, 2],
        [0, 1, 1.5, 2, 2.5, 60, 900],
        [0] * 6 + [1],
    )
    assert texts[2] == "4 of 5 photos within 2 seconds say dog"
    assert texts[0] == "3 of 4 photos within 2 seconds say dog"
    assert texts[5] == "5 of 6 photos of its session say dog"
    assert texts[6] == "no other photo is in its session"


def test_photos_that_say_none_resemble_a_label() -> None:
    chances = np.array([[0.3, 0.1, 0.6], [0.35, 0.1, 0.55], [0.1, 0.3, 0.6]])
    rules = parse_rules(
        'hard kind(session(a)) != "none of these"\n5 kind(session(a)) = kind(a)', ("cat", "dog")
    )
    known = make_facts([0, 1, 2], [0] * 3)
    answers = reason(rules, known, np.log(chances))
    assert answers.after.argmax(axis=1).tolist() == [0, 0, 0]
    texts = explain(answers, known, rules.rules, ("cat", "dog", "none of these"), 5.0)
    assert set(texts) == {"2 of 3 photos within 5 seconds look most like cat"}


def test_rules_that_speak_for_a_kind_are_told() -> None:
    text = '3 camera(a, "feeder") => kind(a) in {bird, insect}\n-1 folder(a, "x") => kind(a) = dog'
    texts = tell(text, [0, 3], [0, 900], [0, 1], cameras=["feeder", "other"])
    assert texts[0] == 'the rule of line 1 (camera(a, "feeder") => kind(a) in {bird, insect})'
    assert texts[1] == "no other photo is in its session"


def test_links_beyond_the_session_are_told() -> None:
    texts = tell(
        "5 place(a, b) & kind(a) = kind(b)",
        [3, 3, 1],
        [0, 900, 1800],
        [0, 1, 2],
        places=[(48.0, 9.0)] * 3,
    )
    assert texts[2] == "the photos that rules link it with outweigh its own score"

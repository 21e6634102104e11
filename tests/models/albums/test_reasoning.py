"""models.albums.reasoning: scores of bundles, exact or approximate answers, contradictions."""

from dataclasses import replace

import numpy as np
import pytest

from models.albums.reasoning import reason, score
from models.albums.rule_file import parse_rules
from models.errors import ContradictoryRules, TooManyLinks
from runtime import Known, Manifest
from tests.models.albums.albums import LABELS, make_facts, make_scores
from tests.runtime.bundles import make_bundle


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b", graphs=False).manifest


def test_scores_are_the_softmax_at_a_multiple_of_the_bundles_temperature(
    manifest: Manifest, rng: np.random.Generator
) -> None:
    logits = rng.normal(0, 3, (4, manifest.classes)).astype(np.float32)
    warm = replace(manifest, temperature=2.0, known=None)
    expected = np.exp(logits.astype(np.float64) / 3)
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.allclose(np.exp(score(logits, warm, 1.5)), expected, rtol=1e-12)
    assert score(logits[:0], warm).shape == (0, manifest.classes)


@pytest.mark.parametrize("source", ["energy", "other"])
def test_none_of_these_is_even_where_the_service_begins_to_say_it(
    source: str, manifest: Manifest, rng: np.random.Generator
) -> None:
    known = Known(source, 0.7, -4.0, 0.3)  # type: ignore[arg-type]
    asked = replace(manifest, known=known)
    logits = rng.normal(0, 3, (60, asked.classes + known.extra_logits)).astype(np.float32)
    found = score(logits, asked, 2.0)
    assert found.shape == (60, asked.classes + 1)
    assert np.isfinite(found).all()
    assert 0 < (np.exp(found[:, -1]) > 0.5).sum() < 60
    for row, one in zip(np.exp(found), logits, strict=True):
        assert row.sum() == pytest.approx(1)
        estimate = known.estimate(one)
        assert row[-1] == pytest.approx((1 - estimate) * 0.3 / (0.3 + estimate * 0.4))
        assert (row[-1] > 0.5) == (estimate < known.threshold)


def test_a_session_corrects_a_photo(rng: np.random.Generator) -> None:
    scores = np.log(np.full((4, 5), 0.05) + 0.75 * np.eye(5)[[3, 3, 3, 1]])
    scores[3] = np.log([0.1, 0.45, 0.05, 0.35, 0.05])
    rules = parse_rules("4 kind(session(a)) = kind(a)", LABELS)
    answers = reason(rules, make_facts([0, 1, 2, 3], [0] * 4), scores)
    assert answers.before.argmax(axis=1).tolist() == [3, 3, 3, 1]
    assert answers.after.argmax(axis=1).tolist() == [3, 3, 3, 3]
    assert answers.after.sum(axis=1) == pytest.approx(np.ones(4))
    apart = reason(rules, make_facts([0, 1, 2, 3]), scores)
    assert np.allclose(apart.after, apart.before)


def test_no_photos_are_no_fault() -> None:
    rules = parse_rules("4 kind(session(a)) = kind(a)\n1 kind(a) = cat", LABELS)
    answers = reason(rules, make_facts([]), np.zeros((0, 5)))
    assert answers.after.shape == (0, 5)
    assert answers.notes == ()


def test_a_rule_about_no_photo_is_told(rng: np.random.Generator) -> None:
    rules = parse_rules('\n1 camera(a, "feeder") => kind(a) = bird', LABELS)
    notes = reason(rules, make_facts([0]), make_scores(rng, 1)).notes
    assert notes == (
        'the rule of line 2 (camera(a, "feeder") => kind(a) = bird) is about no photo of this '
        "album",
    )


CONTRADICTION = """
hard folder(a, "cats") => kind(a) = cat
hard kind(a) != cow
hard near(a, b, 2) & kind(a) = k => kind(b) = k
hard folder(a, "dogs") => kind(a) = dog
1 kind(a) = insect
"""


def test_contradictory_hard_rules_are_named_and_no_others(rng: np.random.Generator) -> None:
    rules = parse_rules(CONTRADICTION, LABELS)
    folders = [("cats",), ("dogs",), ()]
    scores = make_scores(rng, 3)
    assert reason(rules, make_facts([0, 9, 0], folders=folders), scores).after[2, 1] == 1
    with pytest.raises(ContradictoryRules) as fault:
        reason(rules, make_facts([0, 1, 50], folders=folders), scores)
    lines = [part.split(":")[0] for part in str(fault.value).split("line ")[1:]]
    assert lines == ["2", "4", "5"]


@pytest.mark.parametrize("approximate", [False, True])
def test_rules_against_one_photo_are_a_contradiction(
    approximate: bool, rng: np.random.Generator
) -> None:
    rules = parse_rules("hard kind(a) = cat\nhard kind(a) = dog", LABELS)
    with pytest.raises(ContradictoryRules, match=r"line 1.*line 2"):
        reason(rules, make_facts([0, 1]), make_scores(rng, 2), approximate)


def test_what_is_linked_too_closely_is_refused_or_approximate(rng: np.random.Generator) -> None:
    """The rest of the album is still exact."""
    rules = parse_rules("0.2 same_session(a, b) & kind(a) = k => kind(b) = k", LABELS)
    facts = make_facts([0] * 14 + [9, 9], [0] * 14 + [1, 1])
    scores = make_scores(rng, 16)
    with pytest.raises(TooManyLinks, match="a width of 13 or more, by the rule of line 1"):
        reason(rules, facts, scores)
    found = reason(rules, facts, scores, approximate=True)
    assert found.after.sum(axis=1) == pytest.approx(np.ones(16))
    assert "14 photos are linked too closely" in found.notes[0]
    assert "belief propagation converged" in found.notes[0]
    alone = reason(rules, make_facts([9, 9], [1, 1]), scores[14:])
    assert np.allclose(found.after[14:], alone.after, atol=1e-12)

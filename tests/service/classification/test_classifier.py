"""service.classification.classifier: preparing, ranking, and the identity of the model."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from runtime import ImageLimits, ImageTooLarge, KnownFigures
from runtime.bundle import FileEntry
from service.classification.classifier import (
    Classifier,
    InvalidCertainty,
    InvalidTopK,
    Prediction,
    describe_unknown,
    identify_model,
)


@pytest.fixture
def classifier(make_engine: Any) -> Classifier:
    """Around the fake engine."""
    return Classifier(make_engine(), ImageLimits())


def test_prepares_infers_and_ranks(classifier: Classifier, make_image: Any) -> None:
    prepared = classifier.prepare(make_image("blue", (60, 40), "PNG"))
    assert (prepared.format, prepared.width, prepared.height) == ("PNG", 60, 40)
    assert prepared.tensor.shape == (3, 32, 32)
    assert prepared.decode_seconds > 0
    assert prepared.preprocess_seconds > 0
    logits, seconds = classifier.infer(np.stack([prepared.tensor] * 2), 3)
    assert logits.shape == (2, 3)
    assert seconds > 0
    assert classifier.engine.asked == [(2, 3)]  # type: ignore[attr-defined]
    best = classifier.rank(logits[0], 1)[0]
    assert (best.label, best.index) == ("blue", 2)
    assert best.score == pytest.approx(np.exp(3) / (np.exp(3) + 2 * np.exp(-3)), abs=1e-3)


def test_pixels_may_be_let_go_of(classifier: Classifier, make_image: Any) -> None:
    prepared = classifier.prepare(make_image())
    without = prepared.without_tensor()
    assert (without.tensor.nbytes, without.tensor.base) == (0, None)
    assert (without.format, without.width, without.began) == ("JPEG", 60, prepared.began)


def test_how_many_classes_are_shown(classifier: Classifier) -> None:
    assert [classifier.resolve_top_k(top_k) for top_k in (None, 1, 3)] == [3, 1, 3]
    for top_k in (0, -1, 4):
        with pytest.raises(InvalidTopK, match=f"expected 1 to 3, .* found {top_k}"):
            classifier.resolve_top_k(top_k)


def test_scores_sum_to_one_and_never_overflow(classifier: Classifier) -> None:
    ranked = classifier.rank(np.float32([3e38, -3e38, 3e38]), 3)
    assert ranked == [
        Prediction("red", 0, 0.5),
        Prediction("blue", 2, 0.5),
        Prediction("green", 1, 0.0),
    ]


def test_a_temperature_softens_the_scores_and_keeps_the_order(make_engine: Any) -> None:
    classifier = Classifier(make_engine(temperature=2.0), ImageLimits())
    ranked = classifier.rank(np.float32([2, 0, 4]), 3)
    assert [item.label for item in ranked] == ["blue", "red", "green"]
    powers = np.exp([2, 1, 0])
    assert [item.score for item in ranked] == pytest.approx(powers / powers.sum())
    assert classifier.model_id != Classifier(make_engine(), ImageLimits()).model_id


def test_none_of_these_is_no_label(knowing: Any, classifier: Classifier) -> None:
    """Scores are those of the same network without that logit, however large it is."""
    able = Classifier(knowing, ImageLimits())
    logits = np.float32([2, 0, 4])
    for none in (-30.0, 0.0, 30.0):
        more = np.append(logits, np.float32(none))
        assert able.rank(more, 3) == able.rank(more, 9) == classifier.rank(logits, 3)
        evidence = np.log(np.exp([2.0, 0, 4]).sum()) - none
        known = able.estimate_known(more)
        assert known == pytest.approx(1 / (1 + np.exp(-evidence)))
        says = "The image probably shows none of the 3 labels." if none > 10 else None
        assert describe_unknown(able.manifest, known) == says
    assert able.resolve_top_k(3) == 3
    with pytest.raises(InvalidTopK, match="expected 1 to 3"):
        able.resolve_top_k(4)
    with pytest.raises(ArithmeticError):
        able.rank(np.float32([2, 0, 4, np.nan]), 3)


def test_a_model_that_cannot_say_says_nothing(classifier: Classifier) -> None:
    assert classifier.estimate_known(np.float32([2, 0, 4])) is None
    assert describe_unknown(classifier.manifest, None) is None


def test_at_the_threshold_nothing_is_said(knowing: Any) -> None:
    manifest = knowing.bundle.manifest
    assert describe_unknown(manifest, 0.4) is None
    assert describe_unknown(manifest, 0.39999) is not None
    one = replace(manifest, labels=("red",))
    text = "The image probably does not show the one label."
    assert describe_unknown(one, 0.0) == text


def test_the_model_id_changes_with_what_is_known(make_engine: Any, knowing: Any) -> None:
    known = knowing.bundle.manifest.known
    variants = [
        None,
        *(known, replace(known, slope=2.0), replace(known, offset=1.0)),
        *(replace(known, threshold=0.3), replace(known, source="energy")),
    ]
    ids = {identify_model(make_engine(known=value).bundle.manifest) for value in variants}
    assert len(ids) == len(variants)
    figures = KnownFigures(0.9, 0.9, 0.1, 1, 1, 1, "d", "ab")  # change no answer
    measured = replace(knowing.bundle.manifest, known=replace(known, measured=figures))
    assert identify_model(measured) == identify_model(knowing.bundle.manifest)


def test_the_model_id_changes_with_the_hierarchy(make_engine: Any, hedging: Any) -> None:
    hierarchy = hedging.bundle.manifest.hierarchy
    other = tuple(replace(level, certainty=level.certainty / 2) for level in hierarchy.levels)
    root, earth = hierarchy.nodes
    variants = [
        *(None, hierarchy, replace(hierarchy, levels=other)),
        replace(hierarchy, nodes=(root, replace(earth, phrase="earth"))),
        replace(hierarchy, parents=(("earth",), ("colour",), ("earth",))),
    ]
    ids = {identify_model(make_engine(hierarchy=one).bundle.manifest) for one in variants}
    assert len(ids) == len(variants)
    fitted = replace(hedging.bundle.manifest, hierarchy=replace(hierarchy, images=41))
    assert identify_model(fitted) == identify_model(hedging.bundle.manifest)


def test_a_hedged_answer_is_by_the_scores(hedging: Any) -> None:
    """At the temperature, without a logit of none."""
    able = Classifier(hedging, ImageLimits())
    level = able.find_level(0.9)
    logits = np.float32([3, 3, -3])
    hedged = able.hedge(logits, level)
    assert (hedged.label, hedged.covers) == ("earth", 2)
    assert hedged.score == pytest.approx(able.score(logits)[:2].sum())
    with pytest.raises(ArithmeticError):
        able.hedge(np.float32([2, np.nan, 4]), level)
    for certainty in (0.0, -1.0, 0.995, np.nan):
        with pytest.raises(InvalidCertainty, match=r"at most 0\.99"):
            able.find_level(certainty)


def test_of_equal_scores_the_lower_index_comes_first(classifier: Classifier) -> None:
    assert [item.index for item in classifier.rank(np.float32([1, 1, 1]), 2)] == [0, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_a_fault(classifier: Classifier, value: float) -> None:
    with pytest.raises(ArithmeticError, match="finite"):
        classifier.rank(np.float32([0, value, 0]), 1)


def test_the_limits_reach_the_decoder(make_engine: Any, make_image: Any) -> None:
    data = make_image("red", (10, 10), "PNG")
    with pytest.raises(ImageTooLarge):
        Classifier(make_engine(), ImageLimits(max_pixels=99)).prepare(data)


def test_the_same_engine_within_other_limits(classifier: Classifier, make_image: Any) -> None:
    data = make_image("red", (60, 40), "PNG")
    limited = classifier.with_limits(ImageLimits(max_pixels=100))
    assert (limited.engine, limited.model_id) == (classifier.engine, classifier.model_id)
    assert (classifier.limits.max_pixels, limited.limits.max_pixels) == (25_000_000, 100)
    with pytest.raises(ImageTooLarge):
        limited.prepare(data)
    classifier.prepare(data)


def test_the_identity_changes_with_any_file(make_engine: Any) -> None:
    names = ({}, {"a": FileEntry("1" * 64, 1)}, {"b": FileEntry("1" * 64, 1)})
    ids = {identify_model(make_engine(files=files).bundle.manifest) for files in names}
    assert len(ids) == 3
    assert all(len(found) == 12 for found in ids)

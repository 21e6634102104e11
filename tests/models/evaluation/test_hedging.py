"""models.evaluation.hedging: answers as the service gives them, and levels that hold."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.hedging import (
    BONUSES,
    CERTAINTIES,
    RISK,
    ROOT,
    Answered,
    answer_plainly,
    find_chance,
    find_interval,
    fit_levels,
    fit_sequence,
    hedge_all,
    measure_levels,
    summarize_levels,
)
from models.evaluation.known import Answers
from runtime import Hedger, Level, Manifest, Preprocessing
from runtime.plan import Plan
from tests.runtime.hierarchies import LABELS, Case, cases, make_hierarchy


def draw_scores(rng: np.random.Generator, count: int, sharpness: float = 2.0) -> Any:
    """Scores [count, 6] that are probabilities indeed, and the truth that was drawn by them."""
    logits = rng.normal(scale=sharpness, size=(count, len(LABELS)))
    scores = np.exp(logits)
    scores /= scores.sum(1, keepdims=True)
    truth = (scores.cumsum(1) < rng.random((count, 1))).sum(1)
    return scores, truth


@given(cases(), st.sampled_from([0.0, 0.5, 3.0, 1e5]))
def test_answers_are_those_of_the_service(case: Case, bonus: float) -> None:
    hedger = Hedger(case.hierarchy, case.labels)
    single = hedger.answer(case.scores, Level(0.5, bonus))
    for label in range(len(case.scores)):
        truth = np.array([label])
        answered = hedge_all(hedger, case.scores[np.newaxis], bonus, truth)
        assert answered.covers[0] == single.covers
        names = [node.name for node in hedger.nodes]
        is_node = single.label in names
        covered = hedger.covered[names.index(single.label), label] if is_node else None
        assert answered.is_right[0] == (covered if is_node else single.label == f"label {label}")
    assert not hedge_all(hedger, case.scores[np.newaxis], bonus).is_right.any()


def test_the_root_is_right_whatever_it_is(rng: np.random.Generator) -> None:
    scores, truth = draw_scores(rng, 20)
    hedger = Hedger(make_hierarchy(), LABELS)
    for answered in (
        hedge_all(hedger, scores, ROOT, truth),
        answer_plainly(scores, ROOT, truth),
    ):
        assert answered.is_right.all()
        assert (answered.covers == 6).all()
    bold = answer_plainly(scores, 0.0, truth)
    assert (bold.covers == 1).all()
    assert (bold.is_right == (scores.argmax(1) == truth)).all()


@pytest.mark.parametrize(("right", "images", "share"), [(0, 5, 0.3), (5, 5, 0.3), (3, 7, 0.9)])
def test_chances_are_those_of_the_binomial(right: int, images: int, share: float) -> None:
    expected = sum(
        math.comb(images, k) * share**k * (1 - share) ** (images - k)
        for k in range(right, images + 1)
    )
    assert find_chance(right, images, share) == pytest.approx(expected, rel=1e-9)
    assert find_chance(950, 1000, 0.5) < 1e-100


def test_a_sequence_ends_before_the_first_failure() -> None:
    shares = {3.0: 1.0, 2.0: 0.98, 1.0: 0.5, 0.0: 1.0}  # the last would pass again

    def answer(value: float) -> Answered:
        is_right = np.arange(400) < 400 * shares[value]
        return Answered(np.ones(400, np.int64), is_right)

    values = (ROOT, 3.0, 2.0, 1.0, 0.0)
    assert fit_sequence(values, answer, 0.9) == 2.0
    assert fit_sequence(values, answer, 0.4) == 0.0
    assert fit_sequence(values, answer, 0.99) == 3.0
    assert fit_sequence(values, answer, 0.999) == ROOT  # 400 of 400 do not show that


@pytest.mark.parametrize(("right", "is_shown"), [(360, False), (368, False), (372, True)])
def test_being_right_as_often_as_asked_is_not_enough(right: int, is_shown: bool) -> None:
    """Of 400 images 368 right ones are no surprise at a share of 0.9 (0.11), 372 are (0.02)."""

    def answer(value: float) -> Answered:
        return Answered(np.ones(400, np.int64), np.arange(400) < right)

    assert (fit_sequence((ROOT, 1.0), answer, 0.9) == 1.0) is is_shown


def test_few_images_reach_no_high_certainty(rng: np.random.Generator) -> None:
    scores, truth = draw_scores(rng, 40, sharpness=9.0)
    levels, thresholds = fit_levels(Hedger(make_hierarchy(), LABELS), scores, truth)
    assert [level.certainty for level in levels] == list(CERTAINTIES)
    assert levels[-1].bonus is None
    assert thresholds[-1] == ROOT
    assert levels[0].bonus is not None


def test_levels_hold_on_other_images_and_keep_more_than_a_threshold(
    rng: np.random.Generator,
) -> None:
    """Of 8 fits with a risk of RISK in each level no more than 2 of 40 levels are too bold by more
    than the 2 points that the other 4,000 images may be off.
    """
    hedger, missed, gains = Hedger(make_hierarchy(), LABELS), 0, []
    for _ in range(8):
        levels, thresholds = fit_levels(hedger, *draw_scores(rng, 600))
        bonuses = [math.inf if level.bonus is None else level.bonus for level in levels]
        assert bonuses == sorted(bonuses)
        scores, truth = draw_scores(rng, 4000)
        for level, bonus, threshold in zip(levels, bonuses, thresholds, strict=True):
            hedged = hedge_all(hedger, scores, bonus, truth)
            plain = answer_plainly(scores, threshold, truth)
            missed += bool(hedged.is_right.mean() < level.certainty - 0.02)
            kept = [
                (one.is_right * (hedger.bits - np.log2(one.covers))).mean()
                for one in (hedged, plain)
            ]
            gains.append(kept[0] - kept[1])
    assert missed <= 40 * RISK
    assert np.mean(gains) > 0.02


def make_manifest() -> Manifest:
    return Manifest(
        name="n", architecture={}, input=(3, 8, 8),
        preprocessing=Preprocessing(8, 8, "bilinear", (1.0,) * 3, (1.0,) * 3),
        labels=LABELS, plan=Plan(), files={}, trained=False, training=None, temperature=2.0,
    )  # fmt: skip


def test_figures_by_hand() -> None:
    """At the temperature of the manifest, and without a last logit of none."""
    scores = np.array([[0.94, 0.02, 0.01, 0.01, 0.01, 0.01], [0.48, 0.48, 0.01, 0.01, 0.01, 0.01]])
    logits = torch.from_numpy(np.concatenate([2 * np.log(scores), [[9.0], [9.0]]], 1))
    far = logits[1:]
    hierarchy = make_hierarchy((Level(0.9, 2.0), Level(0.99, None)))
    for truth, got, kept in ((0, 1.0, (math.log2(6) + 1) / 2), (4, 0.5, math.log2(6) / 2)):
        answers = Answers(logits, torch.tensor([0, truth]), far, far[:0])
        rows = measure_levels(hierarchy, make_manifest(), answers, (0.9, ROOT))
        assert (rows[0]["certainty"], rows[0]["lambda"], rows[0]["images"]) == (0.9, 2.0, 2)
        assert (rows[0]["got"], rows[0]["root"], rows[0]["label"]) == (got, 0.0, 0.5)
        assert rows[0]["information"] == pytest.approx(kept / math.log2(6), abs=1e-5)
        assert (rows[0]["root_far"], rows[0]["label_far"]) == (0.0, 0.0)
        assert "root_near" not in rows[0]
        assert rows[0]["plain"]["root"] == 0.5
        assert (rows[1]["got"], rows[1]["information"], rows[1]["root_far"]) == (1.0, 0.0, 1.0)
    figures = summarize_levels(rows, "data", "ab")
    assert [level.got for level in figures.levels] == [0.5, 1.0]
    assert (figures.images, figures.levels[0].plain_information) == (2, 0.5)


def test_intervals_hold_the_share() -> None:
    low, high = find_interval(90, 100)
    assert (round(low, 4), round(high, 4)) == (0.8256, 0.9448)
    assert find_interval(10, 10)[1] == pytest.approx(1.0)
    assert BONUSES[0] == ROOT
    assert list(BONUSES) == sorted(BONUSES, reverse=True)

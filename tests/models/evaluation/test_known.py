"""models.evaluation.known: fits and areas against plain counting, on logits made up here."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError
from models.evaluation.known import (
    Answers,
    estimate_all,
    fit_known,
    fit_platt,
    measure_auroc,
    measure_known,
    summarize,
)
from runtime import Known, Manifest, Preprocessing
from runtime.plan import Plan


def make_answers(rng: np.random.Generator, apart: float = 3.0) -> Answers:
    """Logits of three labels and of none: their rows are higher at the true one by `apart`."""

    def draw(count: int, column: np.ndarray) -> torch.Tensor:
        logits = rng.normal(size=(count, 4))
        logits[np.arange(count), column] += apart
        return torch.from_numpy(logits.astype(np.float32))

    truth = np.arange(90) % 3
    none = np.full(60, 3)
    return Answers(draw(90, truth), torch.from_numpy(truth), draw(60, none), draw(30, none[:30]))


def make_manifest(known: Known, temperature: float = 1.0) -> Manifest:
    return Manifest(
        name="n", architecture={}, input=(3, 8, 8),
        preprocessing=Preprocessing(8, 8, "bilinear", (1.0,) * 3, (1.0,) * 3),
        labels=("a", "b", "c"), plan=Plan(), files={}, trained=False, training=None,
        temperature=temperature, known=known,
    )  # fmt: skip


# ---- the fit ----


def test_the_line_is_the_one_that_made_the_data(rng: np.random.Generator) -> None:
    """Of both groups alike many: where weights change nothing, the model is found again."""
    evidence = rng.normal(2, 3, 200_000)
    is_known = rng.random(len(evidence)) < 1 / (1 + np.exp(-(0.8 * evidence - 1.6)))
    slope, offset = fit_platt(evidence[is_known], evidence[~is_known])
    assert is_known.mean() == pytest.approx(0.5, abs=0.01)
    assert slope == pytest.approx(0.8, abs=0.02)
    assert offset == pytest.approx(-1.6, abs=0.08)


def test_a_group_does_not_weigh_more_for_having_more_images(rng: np.random.Generator) -> None:
    known, others = rng.normal(1, 1, 40), rng.normal(-1, 1, 40)
    few = fit_platt(known, others)
    many = fit_platt(known, np.tile(others, 50))
    assert many == pytest.approx(few, abs=0.15)  # but for the targets of Platt


def test_at_the_fit_no_slope_of_the_loss_is_left(rng: np.random.Generator) -> None:
    """The gradient by hand: sums of weight * (estimate - target), and of that times s."""
    known, others = rng.normal(3, 2, 30), rng.normal(-1, 1, 20)
    slope, offset = fit_platt(known, others)
    values = np.concatenate([known, others])
    targets = np.repeat([31 / 32, 1 / 22], [30, 20])
    weights = np.repeat([0.5 / 30, 0.5 / 20], [30, 20])
    errors = weights * (1 / (1 + np.exp(-(slope * values + offset))) - targets)
    assert abs(errors.sum()) < 1e-5
    assert abs((errors * values).sum()) < 1e-5


def test_separated_groups_have_a_finite_slope() -> None:
    slope, offset = fit_platt(np.arange(10.0, 20), np.arange(-20.0, -10))
    assert 0 < slope < 10
    assert abs(offset) < 10


@pytest.mark.parametrize("source", ["other", "energy"])
def test_the_threshold_keeps_the_share(rng: np.random.Generator, source: str) -> None:
    answers = make_answers(rng)
    assert source in ("other", "energy")
    for keep in (0.95, 0.5, 0.999):
        known = fit_known(answers, "other" if source == "other" else "energy", 3, keep)
        array = answers.logits.numpy() if source == "other" else answers.logits.numpy()[:, :3]
        values = np.array([known.estimate(row) for row in array])
        assert (values >= known.threshold).mean() >= keep
        assert (values > known.threshold).mean() <= keep + 1e-9 + 1 / len(values)


def test_logits_that_speak_for_others_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match=r"found the contrary \(slope -"):
        fit_known(make_answers(rng, apart=-3.0), "other", 3, 0.95)


# ---- the areas ----


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
)
def test_the_area_is_the_share_of_pairs_in_order(higher: list[int], lower: list[int]) -> None:
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in higher for b in lower]
    area = measure_auroc(np.array(higher, float), np.array(lower, float))
    assert area is not None
    assert area.value == pytest.approx(np.mean(pairs), abs=1e-5)
    assert 0 <= area.low <= area.value <= area.high <= 1


def test_the_interval_holds_as_often_as_it_says(rng: np.random.Generator) -> None:
    """Of normal values one deviation apart the area is Phi(1 / sqrt 2)."""
    true = 0.5 * (1 + math.erf(0.5))
    held = 0
    for _ in range(400):
        area = measure_auroc(rng.normal(1, 1, 60), rng.normal(0, 1, 80))
        assert area is not None
        held += area.low <= true <= area.high
    assert 0.91 < held / 400 < 0.985


def test_of_no_images_there_is_no_area() -> None:
    assert measure_auroc(np.zeros(3), np.zeros(0)) is None


# ---- the figures ----


def test_figures_are_counts_of_the_answers(rng: np.random.Generator) -> None:
    answers = make_answers(rng)
    known = Known("other", slope=1.0, offset=0.0, threshold=0.6)
    figures = measure_known(answers, make_manifest(known, temperature=0.5))
    labels = answers.logits[:, :3].argmax(1)
    assert figures.top1 == round(100 * float((labels == answers.truth).double().mean()), 2)
    shares = figures.top1_by_label
    assert list(shares) == ["a", "b", "c"]
    assert figures.balanced_top1 == pytest.approx(np.mean(list(shares.values())), abs=0.01)
    kept = [known.estimate(row) >= 0.6 for row in answers.logits.numpy()]
    assert figures.kept == round(float(np.mean(kept)), 5)
    scores = torch.softmax(answers.far[:, :3].double() / 0.5, 1).max(1).values.numpy()
    believed = np.array([known.estimate(row) for row in answers.far.numpy()]) > 0.5
    assert figures.false_far == round(float((believed & (scores >= 0.9)).mean()), 5)
    assert set(figures.auroc_far) == set(figures.auroc_near) == {"other", "energy"}
    assert figures.auroc_far["other"].value > figures.auroc_far["energy"].value
    kept_figures = summarize(figures, "other", "d", "ab")
    assert kept_figures.auroc_far == figures.auroc_far["other"].value
    assert (kept_figures.images_far, kept_figures.images_near) == (60, 30)


def test_without_near_images_nothing_is_said_of_them(rng: np.random.Generator) -> None:
    answers = make_answers(rng)
    answers = Answers(answers.logits, answers.truth, answers.far, torch.zeros(0, 4))
    known = Known("other", slope=1.0, offset=0.0, threshold=0.6)
    figures = measure_known(answers, make_manifest(known))
    assert figures.kept_near is None
    assert figures.auroc_near == {"other": None, "energy": None}
    assert summarize(figures, "other", "d", "ab").auroc_near is None


def test_all_at_once_are_estimated_as_one_by_one(rng: np.random.Generator) -> None:
    known = Known("energy", slope=0.7, offset=-1.0, threshold=0.5)
    evidence = rng.normal(size=20) * 5
    alone = [1 / (1 + math.exp(-(0.7 * s - 1))) for s in evidence]
    assert estimate_all(known, evidence) == pytest.approx(alone)

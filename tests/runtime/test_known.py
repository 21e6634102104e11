"""runtime.known: the evidence in logits, and what becomes of it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runtime import Known, KnownFigures
from runtime.errors import InvalidManifest
from runtime.known import SOURCES, find_evidence

OTHER = Known("other", slope=2.0, offset=-1.0, threshold=0.5)


def test_of_two_labels_and_other_by_hand() -> None:
    logits = np.array([1.0, 3.0, 2.5], np.float32)
    evidence = math.log(math.exp(1) + math.exp(3)) - 2.5
    assert find_evidence(logits, "other") == pytest.approx(evidence, rel=1e-12)
    assert OTHER.estimate(logits) == pytest.approx(1 / (1 + math.exp(-(2 * evidence - 1))))
    energy = Known("energy", slope=0.5, offset=-2.0, threshold=0.5)
    total = math.log(math.exp(1) + math.exp(3) + math.exp(2.5))
    assert energy.estimate(logits) == pytest.approx(1 / (1 + math.exp(-(0.5 * total - 2))))
    assert (OTHER.extra_logits, energy.extra_logits) == (1, 0)


@given(arrays(np.float32, (3, 4), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_any_finite_logits_have_a_probability(logits: np.ndarray) -> None:
    for source in SOURCES:
        known = Known(source, slope=1.5, offset=0.5, threshold=0.5)
        evidence = find_evidence(logits, source)
        assert evidence.shape == (3,)
        for row, value in zip(logits, evidence, strict=True):
            assert find_evidence(row, source) == value
            assert 0 <= known.estimate(row) <= 1


@given(
    arrays(np.float64, 5, elements=st.floats(-50, 50)),
    st.floats(0.01, 20),
)
def test_it_falls_as_the_logit_of_none_rises(logits: np.ndarray, more: float) -> None:
    raised = logits.copy()
    raised[-1] += more
    assert OTHER.estimate(raised) <= OTHER.estimate(logits)
    assert find_evidence(raised, "other") < find_evidence(logits, "other")


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "1", None])
@pytest.mark.parametrize("field", ["slope", "offset", "threshold"])
def test_what_is_no_finite_number_is_refused(field: str, value: object) -> None:
    values = {"slope": 1.0, "offset": 0.0, "threshold": 0.5, field: value}
    with pytest.raises(InvalidManifest, match=rf"known\.{field}: expected .*; found "):
        Known("other", **values)  # type: ignore[arg-type]


def test_figures_are_there_where_images_are() -> None:
    KnownFigures(None, None, None, 5, 0, 0, "d", "ab")
    with pytest.raises(InvalidManifest, match=r"measured\.auroc_near"):
        KnownFigures(0.9, math.nan, 0.0, 5, 5, 5, "d", "ab")

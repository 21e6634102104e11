"""models.attacks.intervals: Wilson's score against its definition and known values."""

from math import sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.attacks.intervals import Z, share_of, wilson


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_bounds_are_where_the_score_is_z(case: tuple[int, int]) -> None:
    hits, count = case
    low, high = wilson(hits, count)
    assert 0 <= low <= 100 * hits / count <= high <= 100
    for bound in (low / 100, high / 100):
        if 1e-9 < bound < 1 - 1e-9:
            score = abs(hits / count - bound) / sqrt(bound * (1 - bound) / count)
            assert score == pytest.approx(Z, rel=1e-6)


def test_known_values() -> None:
    assert wilson(0, 50) == pytest.approx((0, 7.135), abs=1e-3)
    assert wilson(81, 263) == pytest.approx((25.53, 36.62), abs=1e-2)  # Newcombe 1998, table I


@pytest.mark.parametrize(("hits", "count"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(hits: int, count: int) -> None:
    with pytest.raises(ValueError, match="hits is"):
        wilson(hits, count)


def test_a_share_of_a_mask_and_of_draws() -> None:
    share = share_of(torch.tensor([True, False, True, True]))
    assert (share.percent, share.images) == (75, 4)
    assert share.low < 75 < share.high
    assert share_of(torch.tensor([0.5, 1.0])).percent == 75

"""The intended times: in order, within the time, as many as were asked for, the same by seed."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.users.arrivals import ARRIVALS, plan_times

RATES = st.floats(0.1, 500)
SECONDS = st.floats(0.01, 20)


@given(st.sampled_from(ARRIVALS), RATES, SECONDS, st.integers(0, 2**32))
def test_times_are_in_order_within_the_time_and_repeatable(
    arrivals: str, rate: float, seconds: float, seed: int
) -> None:
    times = list(plan_times(arrivals, rate, seconds, seed))
    assert all(0 <= moment < seconds for moment in times)
    assert all(first < second for first, second in pairwise(times))
    assert times == list(plan_times(arrivals, rate, seconds, seed))


@given(RATES, SECONDS)
def test_constant_arrivals_are_evenly_spaced_and_as_many_as_asked_for(
    rate: float, seconds: float
) -> None:
    times = list(plan_times("constant", rate, seconds, 1))
    assert abs(len(times) - rate * seconds) <= 1
    assert all(math.isclose(b - a, 1 / rate, abs_tol=1e-9) for a, b in pairwise(times))


@given(st.integers(0, 1000))
def test_poisson_arrivals_have_the_rate_and_irregular_gaps(seed: int) -> None:
    """Of 1000 expected ones, 6 standard deviations are 190."""
    times = list(plan_times("poisson", 100, 10, seed))
    assert 810 < len(times) < 1190
    gaps = sorted(b - a for a, b in pairwise(times))
    # Of an exponential distribution the median is ln 2 of the mean.
    assert 0.5 < gaps[len(gaps) // 2] * 100 < 0.9


def test_what_is_no_rate_or_no_kind_is_refused() -> None:
    for arrivals in ARRIVALS:
        with pytest.raises(ValueError, match="expected a rate above 0"):
            plan_times(arrivals, 0, 1, 1).__next__()
    with pytest.raises(ValueError, match="expected arrivals of poisson or constant"):
        plan_times("bursty", 1, 1, 1)

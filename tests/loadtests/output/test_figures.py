"""Statistics of the load tests: what the standard library says, and what ranks mean."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.output.figures import (
    LATENCY_HEAD,
    bootstrap_ratio,
    divide_pairwise,
    find_median,
    format_ms,
    measure_latencies,
    measure_spread,
    pick,
    to_json,
)

VALUES = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=200)


@given(VALUES, st.floats(0.01, 1))
def test_percentile_has_its_share_below_it(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = pick(ordered, share)
    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9
    assert sum(value < found for value in ordered) < share * len(ordered) + 1e-9


@given(VALUES)
def test_median_is_the_standard_library_s(values: list[float]) -> None:
    assert find_median(values) == statistics.median(values)


def test_nothing_has_no_median() -> None:
    for find in (find_median, lambda values: pick(values, 0.5)):
        with pytest.raises(ValueError, match="at least one value"):
            find([])


def test_latencies_are_in_milliseconds() -> None:
    found = measure_latencies([i / 1000 for i in range(1, 101)])
    assert (found.count, found.p50_ms, found.p90_ms, found.p99_ms) == (100, 50, 90, 99)
    assert found.max_ms == 100
    assert len(found.cells()) == len(LATENCY_HEAD)


def test_no_latencies_show_as_nothing() -> None:
    assert measure_latencies([]).cells() == ["0", "", "", "", ""]


def test_spread_names_the_median_and_both_ends() -> None:
    assert measure_spread([3.0, 1.0, 2.0]).format(1) == "2.0 [1.0, 3.0]"
    assert to_json(measure_spread([1.0])) == {"median": 1, "low": 1, "high": 1, "count": 1}


def test_ratios_are_made_within_a_round() -> None:
    assert divide_pairwise([1.0, 4.0, 9.0], [1.0, 2.0, 3.0]).median == 2
    with pytest.raises(ValueError, match="as many values"):
        divide_pairwise([1.0], [])


@pytest.mark.parametrize(("ms", "text"), [(0.123, "0.12"), (12.34, "12.3"), (123.4, "123")])
def test_milliseconds_have_three_digits(ms: float, text: str) -> None:
    assert format_ms(ms) == text


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=12), st.floats(0.1, 10))
def test_bootstrap_of_a_constant_ratio_is_that_ratio(values: list[float], ratio: float) -> None:
    found = bootstrap_ratio([ratio * value for value in values], values, samples=50)
    assert found.low == pytest.approx(found.high) == pytest.approx(ratio) == found.value


def test_bootstrap_interval_holds_the_ratio_and_widens_with_the_spread() -> None:
    narrow = bootstrap_ratio([1.0, 1.01, 0.99, 1.0, 1.0], [2.0] * 5)
    wide = bootstrap_ratio([1.0, 1.4, 0.6, 1.2, 0.8], [2.0] * 5)
    assert narrow.low <= narrow.value <= narrow.high
    assert wide.low < narrow.low
    assert wide.high > narrow.high
    assert bootstrap_ratio([1.0], [2.0]) == bootstrap_ratio([1.0], [2.0])
    assert wide.format().startswith("0.50 (")


def test_bootstrap_wants_rounds_of_both() -> None:
    with pytest.raises(ValueError, match="as many values"):
        bootstrap_ratio([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap_ratio([], [])

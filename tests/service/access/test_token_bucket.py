"""service.access.token_bucket: the rate holds on average, nothing is refused for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.token_bucket import TokenBucket


def test_a_burst_then_the_rate() -> None:
    bucket = TokenBucket(rate=2, capacity=3, now=100)
    assert [bucket.take(1, 100) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(1, 100) == 0.5
    assert bucket.take(1, 100.25) == 0.25
    assert bucket.take(1, 100.5) == 0
    assert bucket.take(3, 1000) == 0  # full, not fuller


def test_more_than_the_capacity_is_owed() -> None:
    bucket = TokenBucket(rate=1, capacity=2, now=0)
    assert bucket.take(10, 0) == 0
    assert bucket.take(1, 0) == 9
    assert bucket.take(10, 9) == 1
    assert bucket.take(10, 10) == 0


def test_a_request_that_has_taken_some_already_may_owe_the_rest() -> None:
    """The first image is taken before the others are counted."""
    for images in range(2, 9):
        bucket = TokenBucket(rate=1, capacity=3, now=0)
        assert bucket.take(1, 0) == bucket.take(images - 1, 0, before=1) == 0
        assert bucket.take(1, 0) == max(0, images - 3 + 1)
    bucket = TokenBucket(rate=1, capacity=3, now=0)
    assert bucket.take(1, 0) == bucket.take(1, 0) == 0
    assert bucket.take(5, 0, before=1) == 1, "another request has taken one in between"


def test_a_refusal_costs_nothing_and_the_told_time_suffices() -> None:
    bucket = TokenBucket(rate=4, capacity=4, now=0)
    bucket.take(4, 0)
    assert bucket.take(2, 0) == bucket.take(2, 0) == 0.5
    assert bucket.take(2, 0.5) == 0


def test_a_change_gives_nothing() -> None:
    bucket = TokenBucket(rate=1, capacity=10, now=0)
    bucket.take(10, 0)
    bucket.change(rate=2, capacity=100, now=1)
    assert bucket.take(1, 1) == 0
    assert bucket.take(1, 1) == 0.5
    bucket.change(rate=1, capacity=1, now=100)
    assert bucket.take(2, 100) == 0
    assert bucket.take(1, 100) == pytest.approx(2)


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    bucket = TokenBucket(rate=1, capacity=1, now=10)
    assert bucket.take(1, 5) == 0
    assert bucket.take(1, 5) == 1
    assert bucket.take(1, 10.5) == 0.5


@given(
    rate=st.floats(0.01, 1000),
    capacity=st.floats(1, 1000),
    requests=st.lists(st.tuples(st.floats(0, 10), st.integers(1, 50)), max_size=60),
)
def test_no_more_is_given_than_the_rate_allows(
    rate: float, capacity: float, requests: list[tuple[float, int]]
) -> None:
    bucket = TokenBucket(rate, capacity, 0)
    now, given_images, last = 0.0, 0, 0
    for pause, images in requests:
        now += pause
        seconds = bucket.take(images, now)
        if seconds == 0:
            given_images += images
            last = images
        else:
            assert seconds <= (50 + capacity) / rate * (1 + 1e-9)
    owed = max(0.0, last - capacity)  # of the last one, which may have been larger
    assert given_images <= (capacity + rate * now + owed) * (1 + 1e-9) + 1e-6

"""bnn_client.retries: never earlier than asked to, never more or longer than allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnn_client.errors import (
    AnswerMissing,
    ClientError,
    ConnectionFailed,
    InvalidAnswer,
    InvalidImage,
    NoEngine,
    Overloaded,
)
from bnn_client.retries import Attempts, Retry


def make_overloaded(retry_after: float | None) -> Overloaded:
    return Overloaded(429, "overloaded", "Busy", "later.", "abc", retry_after)


def make_error(kind: type[InvalidImage] | type[NoEngine], status: int) -> ClientError:
    return kind(status, str(kind.known_code), "It is so", "why.", "abc", None)


@given(
    waits=st.lists(st.none() | st.floats(0, 20), min_size=1, max_size=9),
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=9, max_size=9),
    attempts=st.integers(1, 6),
    seconds=st.floats(0, 60),
)
def test_bounds_hold(
    waits: list[float | None], draws: list[float], attempts: int, seconds: float
) -> None:
    now = 100.0
    left = iter(draws)
    made = Attempts(Retry(attempts, seconds, 0.25), lambda: now, lambda: next(left))
    begun = 1
    for retry_after in waits:
        try:
            wait = made.wait_after(make_overloaded(retry_after))
        except Overloaded:
            break
        assert wait >= (retry_after or 0.25)
        assert wait <= 1.5 * max(retry_after or 0, 0.25 * 2 ** (begun - 1))
        now += wait
        begun += 1
        assert now - 100 <= seconds + 1e-6
    assert begun <= attempts


def test_waits_double_where_nobody_says_how_long() -> None:
    made = Attempts(Retry(5, 60), lambda: 0, lambda: 0)
    assert [made.wait_after(ConnectionFailed("none")) for _ in range(4)] == [0.25, 0.5, 1, 2]


def test_the_wait_is_longer_by_up_to_half() -> None:
    made = Attempts(Retry(5, 60), lambda: 0, lambda: 1)
    assert made.wait_after(make_overloaded(4)) == 6


def test_a_wait_that_would_end_too_late_is_not_begun() -> None:
    fault = make_overloaded(31)
    with pytest.raises(Overloaded) as caught:
        Attempts(Retry(attempts=9, seconds=30)).wait_after(fault)
    assert caught.value is fault


@pytest.mark.parametrize(
    "fault",
    [
        AnswerMissing("sent"),
        InvalidAnswer("a page", 200),
        InvalidAnswer("a page", 502),
        make_error(InvalidImage, 422),
        make_error(NoEngine, 503),
        make_overloaded(None),
    ],
    ids=str,
)
def test_what_is_final(fault: ClientError) -> None:
    with pytest.raises(type(fault)) as caught:
        Attempts(Retry()).wait_after(fault)
    assert caught.value is fault


@pytest.mark.parametrize(
    "fault", [ConnectionFailed("x"), InvalidAnswer("x", 503), make_overloaded(0)]
)
def test_what_may_pass(fault: ClientError) -> None:
    assert 0.25 <= Attempts(Retry()).wait_after(fault) <= 0.375


@pytest.mark.parametrize(
    "options",
    [{"attempts": 0}, {"seconds": -1}, {"seconds": float("nan")}, {"first_wait": 0}],
)
def test_impossible_bounds(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(options))}: expected"):
        Retry(**options)  # type: ignore[arg-type]

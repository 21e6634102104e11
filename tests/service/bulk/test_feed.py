"""service.bulk.feed: names come through in their order, bounded, with the fault at their end."""

import itertools
import os
import select
import threading
from collections.abc import Iterator

import pytest

from service.bulk.feed import Feed

SECONDS = 60


def take_all(feed: Feed, count: int = 7) -> list[str]:
    """As the run does it: takes what is there, and waits for the descriptor when nothing is."""
    names: list[str] = []
    while not feed.is_over:
        found = feed.take(count)
        names += found
        if not found and not feed.is_over:
            assert select.select([feed.descriptor], [], [], SECONDS)[0]
            feed.clear_bell()
    return names


@pytest.mark.parametrize("capacity", [1, 3, 4096])
def test_all_names_in_their_order(capacity: int) -> None:
    expected = [str(number) for number in range(1000)]
    with Feed(expected, capacity) as feed:
        assert take_all(feed) == expected
        assert feed.take(1) == []


def test_an_endless_list_is_not_held() -> None:
    listed = [0]

    def count() -> Iterator[str]:
        for number in itertools.count():
            listed[0] = number
            yield str(number)

    with Feed(count(), 10) as feed:
        assert feed.peek(5, SECONDS) is None
        assert feed.take(3)[:1] == ["0"]
    assert listed[0] <= 15


def test_few_names_are_counted() -> None:
    with Feed(["a", "b"]) as feed:
        assert feed.peek(2, SECONDS) == 2
        assert feed.peek(1, SECONDS) is None
        assert take_all(feed) == ["a", "b"]


def test_a_list_that_makes_wait_is_not_counted() -> None:
    gate = threading.Event()

    def slow() -> Iterator[str]:
        yield "a"
        gate.wait(SECONDS)
        yield "b"

    with Feed(slow()) as feed:
        assert feed.peek(9, 0.01) is None
        gate.set()
        assert take_all(feed) == ["a", "b"]


def test_a_fault_comes_behind_the_names_before_it() -> None:
    def fail() -> Iterator[str]:
        yield "a"
        raise ValueError("no list")

    with Feed(fail()) as feed:
        assert feed.peek(9, SECONDS) == 1
        assert not feed.is_over
        assert feed.take(5) == ["a"]
        with pytest.raises(ValueError, match="no list"):
            feed.take(5)


def test_descriptors_are_given_back() -> None:
    before = os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else []
    for _ in range(3):
        with Feed(["a"] * 10, 1):
            pass
    assert len(os.listdir("/proc/self/fd")) == len(before) if before else True

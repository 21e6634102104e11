"""service.server.eviction: who has been silent for longest makes room, and nobody whose bytes
flow.
"""

from time import monotonic
from typing import Any

import pytest

from service.messages.problems import Problem
from service.server.eviction import Eviction


class Connection:
    """Silent for so many seconds: idle, in the middle of a body, or waiting for us."""

    def __init__(self, state: str, seconds: float = 0.0) -> None:
        self.state, self.since = state, monotonic() - seconds
        self.ended_by: Problem | None = None
        self.is_gone = False
        self.transport = self

    @property
    def is_working(self) -> bool:
        return self.state != "idle"

    @property
    def idle_since(self) -> float:
        return self.since

    @property
    def stalled_since(self) -> float | None:
        return self.since if self.state == "stalled" else None

    def end_with(self, problem: Problem) -> None:
        self.ended_by, self.state = problem, "idle"  # it lingers

    def abort(self) -> None:
        self.is_gone = True


def evict(*connections: Connection, is_urgent: bool = False) -> Any:
    return Eviction(lambda: connections).evict(is_urgent)  # type: ignore[arg-type, return-value]


def test_silent_for_longest_goes_first() -> None:
    idle, older, stalled = Connection("idle", 5), Connection("idle", 9), Connection("stalled", 7)
    eviction = Eviction(lambda: [idle, older, stalled])  # type: ignore[list-item]
    assert eviction.evict() is older
    assert eviction.evict() is stalled
    assert eviction.evict() is idle
    assert idle.is_gone
    assert idle.ended_by is None


@pytest.mark.parametrize(
    ("state", "seconds", "may_go", "may_go_urgently"),
    [
        ("idle", 0.0, False, True),
        ("idle", 0.3, True, True),
        ("stalled", 0.0, False, False),
        ("stalled", 0.5, False, True),
        ("stalled", 1.1, True, True),
        ("waiting", 60.0, False, False),
    ],
)
def test_patience(state: str, seconds: float, may_go: bool, may_go_urgently: bool) -> None:
    assert (evict(Connection(state, seconds)) is not None) is may_go
    assert (evict(Connection(state, seconds), is_urgent=True) is not None) is may_go_urgently


def test_a_stalled_one_gets_its_answer_unless_it_is_urgent() -> None:
    first, second = Connection("stalled", 5), Connection("stalled", 5)
    assert evict(first) is first
    assert evict(second, is_urgent=True) is second
    assert (first.is_gone, second.is_gone) == (False, True)
    for one in (first, second):
        assert one.ended_by is not None
        assert one.ended_by.code == "body_timeout"


def test_who_has_spoken_since_it_was_listed_stays() -> None:
    quick, slow, gone = Connection("idle", 9), Connection("idle", 5), Connection("idle", 8)
    eviction = Eviction(lambda: [quick, slow, gone])  # type: ignore[list-item]
    assert eviction.evict() is quick
    quick.is_gone, quick.since = False, monotonic()
    gone.is_gone = True
    assert eviction.evict() is slow
    assert eviction.evict() is None


def test_one_that_is_ended_lingers_and_may_go_next() -> None:
    stalled = Connection("stalled", 5)
    eviction = Eviction(lambda: [stalled])  # type: ignore[list-item]
    assert eviction.evict() is stalled
    assert eviction.evict() is stalled
    assert stalled.is_gone

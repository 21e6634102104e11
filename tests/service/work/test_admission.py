"""service.work.admission: who gets in by images, shares, time and bytes, and that all is given
back.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import service.work.admission
from service.classification.predictor import Predictor
from service.memory.ledger import Account
from service.messages.problems import Problem
from service.metrics.metrics import Metrics
from service.work.admission import READ_AHEAD, YOUNG_SECONDS, Admission, Ticket

MUCH = 2**30
SIZE = 50_000


class Load:
    """What admission asks of a scheduler, as numbers that the test sets."""

    def __init__(self) -> None:
        self.workers = 2
        self.busy = 0
        self.wait = 0.0
        self.waits: dict[Hashable, int] = {}

    @property
    def waiting(self) -> int:
        return sum(self.waits.values())

    def count_waiting(self, caller: Hashable) -> int:
        return self.waits.get(caller, 0)

    def predict_wait(self) -> float:
        return self.wait


class Clock:
    """The time that admission sees."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Door:
    """An admission with everything about it."""

    def __init__(self, capacity: int = MUCH, queue_images: int = 8, seconds: float = 0.01) -> None:
        self.load = Load()
        self.metrics = Metrics()
        self.predictor = Predictor()
        self.predictor.learn(SIZE, seconds)
        self.bodies = Account(capacity)
        scheduler: Any = self.load
        self.admission = Admission(
            scheduler, self.predictor, self.bodies, self.metrics, queue_images
        )

    def admit(self, caller: str = "a", size: int = SIZE, deadline: float = 3.0) -> Ticket:
        return self.admission.admit(caller, size, deadline)

    def count(self, reason: str) -> float:
        value = self.metrics.registry.get_sample_value("bnn_rejections_total", {"reason": reason})
        return value or 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stands still unless the test moves it."""
    clock = Clock()
    monkeypatch.setattr(service.work.admission, "monotonic", clock)
    return clock


@pytest.fixture
def door(clock: Clock) -> Door:
    """Eight images may wait; two workers, both busy."""
    door = Door()
    door.load.busy = 2
    return door


def refused(reason: str, door: Door, call: Callable[[], object]) -> Problem:
    """The problem that a call ends with, counted under its reason."""
    before = door.count(reason)
    with pytest.raises(Problem, match="overloaded: expected") as caught:
        call()
    assert door.count(reason) == before + 1
    assert caught.value.definition.status == 429
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 1
    return caught.value


def test_an_idle_service_lets_in_whatever_is_predicted(clock: Clock) -> None:
    door = Door(seconds=100.0)
    door.load.busy = 1  # of two
    ticket = door.admit(deadline=0.001)
    assert ticket.complete([SIZE]) == [100.0]
    ticket.close()


def test_the_queue_has_a_length(door: Door) -> None:
    door.load.waits = {"b": 4, "c": 4}
    problem = refused("queue", door, door.admit)
    assert "at most 8 images" in problem.detail
    door.load.waits = {"b": 4, "c": 3}
    door.admit().close()


def test_bodies_on_their_way_count_as_waiting(door: Door) -> None:
    tickets = [door.admit(caller) for caller in "abcdefgh"]
    refused("queue", door, door.admit)
    tickets.pop().close()
    tickets.append(door.admit("h"))
    refused("queue", door, door.admit)


def test_late_bodies_keep_their_bytes_and_lose_their_place(door: Door, clock: Clock) -> None:
    slow = [door.admit(caller) for caller in "abcdefgh"]
    clock.now += YOUNG_SECONDS + 0.01
    prompt = door.admit("i")
    assert door.bodies.held == 9 * (2 * SIZE + READ_AHEAD)
    # A late one is judged anew when it is complete.
    door.load.waits = {"x": 8}
    refused("queue", door, lambda: slow[0].complete([SIZE]))
    assert prompt.complete([SIZE]), "its place was kept"
    door.load.waits = {}
    assert slow[1].complete([SIZE])
    for ticket in (*slow, prompt):
        ticket.close()
    assert door.bodies.held == 0


def test_when_the_queue_is_more_than_half_full_callers_get_shares(door: Door, clock: Clock) -> None:
    for caller in "abcd":
        door.admit(caller).close()
    clock.now += 0.2  # of four callers each may have two
    door.load.waits = {"a": 3, "b": 1}
    door.admit("a").close()  # half full: it may have more
    door.load.waits = {"a": 3, "b": 2}
    problem = refused("share", door, lambda: door.admit("a"))
    assert "at most 2 waiting images" in problem.detail
    refused("share", door, lambda: door.admit("b"))
    door.admit("c").close()
    clock.now += 10  # the others have left
    door.admit("a").close()


def test_a_callers_bodies_on_their_way_count_towards_its_share(door: Door, clock: Clock) -> None:
    door.admit("b").close()
    clock.now += 0.2
    tickets = [door.admit("a") for _ in range(5)]  # the fifth makes it more than half
    refused("share", door, lambda: door.admit("a"))
    door.admit("b").close()
    for ticket in tickets:
        ticket.close()


def test_a_single_caller_may_fill_the_queue(door: Door) -> None:
    door.load.waits = {"a": 7}
    door.admit("a").close()
    door.load.waits = {"a": 8}
    refused("queue", door, door.admit)


def test_what_cannot_be_answered_in_time_is_refused_at_once(door: Door) -> None:
    door.load.waits = {"b": 1}
    door.load.wait = 2.0
    door.admit(deadline=3.0).close()
    problem = refused("deadline", door, lambda: door.admit(deadline=2.0))
    assert "within 2000 ms" in problem.detail
    assert problem.retry_after == 2
    door.load.wait = 7.5
    assert refused("deadline", door, door.admit).retry_after == 8


def test_bodies_on_their_way_count_as_time(clock: Clock) -> None:
    door = Door(queue_images=100, seconds=1.0)
    door.load.busy = 2
    tickets = [door.admit(caller, deadline=4.0) for caller in "abcde"]  # 2.5 s of two workers
    refused("deadline", door, lambda: door.admit("f", deadline=4.0))
    clock.now += YOUNG_SECONDS + 0.01
    door.admit("f", deadline=4.0).close()
    for ticket in tickets:
        ticket.close()


def test_memory_for_bodies_is_bounded(clock: Clock) -> None:
    door = Door(capacity=3 * (2 * SIZE + READ_AHEAD))
    tickets = [door.admit() for _ in range(3)]
    refused("bytes", door, door.admit)
    tickets[0].complete([SIZE])
    assert door.bodies.held == 2 * (2 * SIZE + READ_AHEAD) + SIZE
    refused("bytes", door, door.admit)
    tickets.pop().close()
    tickets.append(door.admit())
    for ticket in tickets:
        ticket.close()
        ticket.close()  # nothing is returned twice
    assert door.bodies.held == 0


def test_a_body_that_pauses_holds_only_what_has_come(clock: Clock) -> None:
    full = 2 * SIZE + READ_AHEAD
    door = Door(capacity=2 * full)
    ticket = door.admit()
    ticket.stall(1000)
    assert door.bodies.held == 2000 + READ_AHEAD
    ticket.stall(SIZE)
    assert door.bodies.held == 2000 + READ_AHEAD, "never more than before"
    ticket.resume()
    assert door.bodies.held == full
    ticket.stall(0)
    other = door.admit("b")
    third = door.admit("c", size=1)
    problem = refused("bytes", door, ticket.resume)
    assert "rest of the body" in problem.detail
    assert door.bodies.held == READ_AHEAD + full + 2 + READ_AHEAD
    for one in (ticket, other, third):
        one.close()
    assert door.bodies.held == 0


def test_a_batch_is_judged_when_its_images_are_known(door: Door) -> None:
    ticket = door.admit()
    door.load.waits = {"b": 3}
    assert ticket.complete([SIZE] * 5) == [0.01] * 5
    ticket.close()
    ticket = door.admit()
    refused("queue", door, lambda: ticket.complete([SIZE] * 6))
    ticket.close()
    ticket = door.admit(deadline=0.05)
    refused("deadline", door, lambda: ticket.complete([SIZE] * 5))
    ticket.close()
    assert door.bodies.held == 0


def test_the_table_of_callers_does_not_grow_for_ever(door: Door, clock: Clock) -> None:
    for number in range(5000):
        clock.now += 0.01
        door.admit(f"caller {number}").close()
    assert len(door.admission._seen) <= 1001


@contextmanager
def let_be_refused() -> Iterator[None]:
    """The block may end with a refusal, and with no other problem."""
    try:
        yield
    except Problem as problem:
        if problem.code != "overloaded":
            raise


class Traffic(RuleBasedStateMachine):
    """Tickets in any order of events: never more bytes than there are, none kept, none twice."""

    def __init__(self) -> None:
        super().__init__()
        self.door = Door(capacity=10 * SIZE)
        self.door.load.busy = 2
        self.open: list[Ticket] = []
        self.clock = Clock()
        self.real = service.work.admission.monotonic
        service.work.admission.monotonic = self.clock  # type: ignore[assignment]

    def teardown(self) -> None:
        service.work.admission.monotonic = self.real
        for ticket in self.open:
            ticket.close()
        assert self.door.bodies.held == 0
        assert not self.door.admission._young
        assert not self.door.admission._young_by
        assert self.door.admission._young_seconds == 0

    @rule(caller=st.sampled_from("abc"), size=st.integers(0, 4 * SIZE))
    def admit(self, caller: str, size: int) -> None:
        with let_be_refused():
            self.open.append(self.door.admit(caller, size))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), event=st.sampled_from(["stall", "resume", "complete", "close"]))
    def happen(self, data: st.DataObject, event: str) -> None:
        place = data.draw(st.integers(0, len(self.open) - 1))
        ticket = self.open[place]
        with let_be_refused():
            match event:
                case "stall":
                    ticket.stall(data.draw(st.integers(0, 4 * SIZE)))
                case "resume":
                    ticket.resume()
                case "complete":
                    ticket.complete(data.draw(st.lists(st.integers(1, SIZE), min_size=1)))
        if event in ("complete", "close"):
            ticket.close()
            del self.open[place]

    @rule(seconds=st.floats(0, 1))
    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(waits=st.dictionaries(st.sampled_from("abc"), st.integers(0, 4)), busy=st.integers(0, 2))
    def change_load(self, waits: dict[Hashable, int], busy: int) -> None:
        self.door.load.waits = waits
        self.door.load.busy = busy

    @invariant()
    def bytes_are_right(self) -> None:
        held = self.door.bodies.held
        assert held == sum(ticket._size for ticket in self.open) <= self.door.bodies.capacity
        assert set(self.door.admission._young) <= set(self.open)


TestTraffic = Traffic.TestCase


@given(st.lists(st.sampled_from("aaaaaabcde"), max_size=60))
def test_a_greedy_caller_gets_half_the_queue_and_the_others_their_share(callers: list[str]) -> None:
    door = Door(queue_images=20)
    door.load.busy = 2
    for caller in "abcde":
        door.admit(caller).close()
    door.admission._shared_at = 0.0  # all five are seen
    admitted = Counter[str]()
    for caller in callers:
        try:
            door.admit(caller).complete([SIZE])
        except Problem:
            full = sum(admitted.values()) == 20
            assert full or admitted[caller] >= 4, "its share was not used up"
            continue
        admitted[caller] += 1
        door.load.waits = dict(admitted)
    assert sum(admitted.values()) <= 20
    assert all(count <= 11 for count in admitted.values())

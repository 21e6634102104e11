"""service.server.eviction: who has been silent for longest makes room, and nobody whose bytes
flow.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any

import pytest

import service.server.eviction
from service.messages.problems import Problem
from service.server.eviction import Eviction
from tests.service.servers import wait_for
from tests.service.wire import SECONDS, Wire, get, post


class Connection:
    """Silent for so many seconds: idle, in the middle of a body, or waiting for us."""

    def __init__(self, state: str, seconds: float = 0.0) -> None:
        self.state, self.since = state, monotonic() - seconds
        self.ended_by: Problem | None = None
        self.is_gone = self.has_unread = False
        self.transport = self

    def get_extra_info(self, name: str) -> "Connection":
        assert name == "socket"
        return self

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_RDWR
        raise OSError("the client has left")

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


@pytest.mark.parametrize("state", ["idle", "stalled"])
@pytest.mark.parametrize("is_urgent", [False, True])
def test_whose_bytes_are_there_but_not_read_stays(state: str, is_urgent: bool) -> None:
    older, younger = Connection(state, 9), Connection(state, 5)
    older.has_unread = True
    eviction = Eviction(lambda: [older, younger])  # type: ignore[list-item]
    assert eviction.evict(is_urgent) is younger
    younger.is_gone = True
    assert eviction.evict(is_urgent) is None
    older.has_unread = False
    assert eviction.evict(is_urgent) is older


def test_one_that_is_ended_lingers_and_may_go_next() -> None:
    stalled = Connection("stalled", 5)
    eviction = Eviction(lambda: [stalled])  # type: ignore[list-item]
    assert eviction.evict() is stalled
    assert eviction.evict() is stalled
    assert stalled.is_gone


@contextmanager
def keep_busy(server: Any) -> Iterator[None]:
    """The event loop of the server reads nothing meanwhile."""
    busy, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        busy.set()
        assert go_on.wait(SECONDS)

    next(iter(server.server.connections)).loop.call_soon_threadsafe(wait)
    try:
        assert busy.wait(SECONDS)
        yield
    finally:
        go_on.set()


@contextmanager
def connect_three(serve: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, list[Wire]]]:
    """A server at its bound, and its connections; the next one takes the place of a silent one."""
    monkeypatch.setattr(service.server.eviction, "ASK_SECONDS", 60)
    server = serve(max_connections=3)
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server.address)) for _ in range(3)]
        for wire in wires:
            wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # sent at once
            wire.send(get())
            assert wire.read().status == 200
        monkeypatch.setattr(service.server.eviction, "ASK_SECONDS", 0)
        monkeypatch.setattr(service.server.eviction, "STALL_SECONDS", 0)
        yield server, wires


@pytest.mark.parametrize("has_begun", [False, True])
def test_requests_that_a_busy_event_loop_has_not_read_are_not_lost(
    serve: Any, monkeypatch: pytest.MonkeyPatch, make_image: Any, has_begun: bool
) -> None:
    request = post(make_image("blue"))
    sent = len(request) // 2 if has_begun else 0
    with connect_three(serve, monkeypatch) as (server, wires):
        for wire in wires:
            wire.send(request[:sent])
        if has_begun:
            wait_for(lambda: all(one.is_working for one in server.server.connections))
        with keep_busy(server):
            newcomer = Wire(server.address)  # the system has it: room is needed
            for wire in wires:
                wire.send(request[sent:])
            newcomer.send(get())
        with newcomer:
            assert [wire.read().status for wire in wires] == [200] * 3
            assert newcomer.read().status == 200
        assert server.count("bnn_evicted_connections_total") == 0


def test_bytes_that_are_no_request_do_not_keep_a_connection(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect_three(serve, monkeypatch) as (server, wires):
        since = [one._heard_at for one in server.server.connections]
        for wire in wires:
            wire.send(b"\r\n")
        wait_for(lambda: all(one._heard_at not in since for one in server.server.connections))
        with keep_busy(server):
            newcomer = Wire(server.address)
            for wire in wires:
                wire.send(b"\r\n")
            newcomer.send(get())
        with newcomer:
            assert newcomer.read().status == 200
        assert server.count("bnn_evicted_connections_total") == 1

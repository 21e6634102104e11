"""service.server.transports: one packet for head and body, nothing after the end, patience in
reading.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

import service.server.transports
from service.server.transports import AnswerTransport, PatientFlow
from tests.service.servers import wait_for
from tests.service.wire import Wire, post_head

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Transport(asyncio.Transport):
    """Notes what is written, and whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_reading_now = True
        self.is_ending = False
        self.unsent = 0
        self.socket, self.client = socket.socketpair()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"socket": self.socket}[name]

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_ending

    def pause_reading(self) -> None:
        self.is_reading_now = False

    def resume_reading(self) -> None:
        self.is_reading_now = True


class Connection:
    """As much of a connection as these know."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.pipeline: deque[object] = deque()
        self.is_over = False
        self.ended_by: list[object] = []

    def close_after_answer(self, answer: object) -> None:
        self.ended_by.append(answer)


@pytest.fixture
def connection() -> Iterator[Any]:
    """With nothing written yet."""
    made = Connection()
    yield made
    made.transport.socket.close()
    made.transport.client.close()


def test_head_and_body_leave_together(connection: Any) -> None:
    answer = AnswerTransport(connection, has_body=True)
    answer.write(HEAD)
    assert connection.transport.written == []
    answer.write(b"body")
    answer.write(b"more")
    assert connection.transport.written == [HEAD + b"body", b"more"]


def test_a_head_without_a_body_does_not_wait_for_one(connection: Any) -> None:
    AnswerTransport(connection, has_body=False).write(HEAD)
    assert connection.transport.written == [HEAD]


def test_an_empty_body_sends_the_head(connection: Any) -> None:
    answer = AnswerTransport(connection, has_body=True)
    answer.write(HEAD)
    answer.write(b"")
    assert connection.transport.written == [HEAD]


def test_asking_for_the_body_is_not_the_answer(connection: Any) -> None:
    answer = AnswerTransport(connection, has_body=True)
    answer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    answer.write(HEAD)
    answer.write(b"body")
    assert connection.transport.written == [b"HTTP/1.1 100 Continue\r\n\r\n", HEAD + b"body"]


def test_an_answer_that_breaks_off_has_sent_its_head(connection: Any) -> None:
    answer = AnswerTransport(connection, has_body=True)
    answer.write(HEAD)
    answer.close()
    assert connection.transport.written == [HEAD]
    assert connection.ended_by == [answer]


def test_nothing_is_written_after_the_end(connection: Any) -> None:
    answer = AnswerTransport(connection, has_body=True)
    answer.write(HEAD)
    connection.is_over = True
    answer.write(b"body")
    answer.close()
    assert connection.transport.written == []
    assert connection.ended_by == []


def test_nothing_is_read_while_requests_wait(connection: Any) -> None:
    flow, transport = PatientFlow(connection), connection.transport
    flow.pause_reading()
    connection.pipeline.append("a request")
    flow.resume_reading()
    assert not transport.is_reading_now
    connection.pipeline.pop()
    flow.resume_reading()
    assert transport.is_reading_now


def test_bytes_that_have_arrived_are_unread_until_they_are_read(connection: Any) -> None:
    flow, transport = PatientFlow(connection), connection.transport
    assert not flow.has_unread()
    transport.client.send(b"GET")
    assert flow.has_unread()
    flow.pause_reading()
    assert flow.has_unread(), "it is the service that waits"
    transport.socket.recv(3)
    assert not flow.has_unread()
    transport.client.close()
    assert not flow.has_unread(), "that a client has left is no request"


@pytest.mark.parametrize("why", ["closing", "takes nothing"])
def test_nothing_is_unread_of_whom_nobody_reads(connection: Any, why: str) -> None:
    flow = PatientFlow(connection)
    connection.transport.client.send(b"GET")
    connection.transport.is_ending = why == "closing"
    if why == "takes nothing":
        flow.pause_writing()
    assert not flow.has_unread()


def test_a_stall_lasts_until_something_is_taken(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.server.transports, "monotonic", lambda: 10.0)
    flow, transport = PatientFlow(connection), connection.transport
    assert flow.measure_stall(12.0) == 0, "there is nothing to take"
    transport.unsent = 500
    assert flow.measure_stall(13.0) == 1
    transport.unsent = 600
    assert flow.measure_stall(14.0) == 2
    transport.unsent = 599
    assert flow.measure_stall(15.0) == 0
    assert flow.measure_stall(16.0) == 1
    monkeypatch.setattr(service.server.transports, "monotonic", lambda: 16.5)
    flow.pause_writing()
    assert flow.paused_since == 16.5
    flow.resume_writing()
    assert flow.paused_since is None
    assert flow.measure_stall(17.0) == 0.5


def test_a_body_for_which_there_is_no_memory_is_not_called_malformed(serve: Any) -> None:
    class Full(bytearray):
        def __iadd__(self, _: object) -> Any:
            raise MemoryError

    server = serve()
    with Wire(server.address) as wire:
        wire.send(post_head(20))
        wait_for(lambda: any(c.is_working for c in server.server.connections))
        (connection,) = server.server.connections
        connection.cycle.body = Full(b"a piece that nobody has read yet")
        wire.send(bytes(20))
        reply = wire.read()
    assert (reply.status, reply.problem["code"]) == (503, "out_of_memory")
    assert server.count("bnn_malformed_requests_total", code="malformed_request") == 0

"""The load tests' HTTP client: every way in which an exchange can end, against a real server."""

import asyncio
import itertools
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.clients.http_client import (
    Address,
    Connection,
    How,
    Lost,
    Pool,
    ask,
    build_request,
    chunk_body,
    connect,
)
from loadtests.servers.server import find_free_port
from tests.loadtests.local_server import CLOSING, OK, Peer, answer_all, serve

pytestmark = pytest.mark.anyio
REQUEST = build_request("POST", "/classify", b"12345")
SECONDS = 20.0
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
    b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
)


async def test_exchanges_follow_each_other_on_one_connection() -> None:
    async with serve(answer_all) as seen:
        connection = await connect(seen.address, SECONDS)
        for _ in range(3):
            answer = await connection.exchange(REQUEST.data, SECONDS)
            assert (answer.status, answer.body, answer.keep_alive) == (200, b"hi", True)
        assert not connection.closed
        connection.close()
    assert seen.connections == 1
    assert seen.heads[0].startswith(b"POST /classify HTTP/1.1\r\nHost: ")


async def test_chunked_answer() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(CHUNKED)

    async with serve(behave) as seen:
        answer = await ask(seen.address, REQUEST, SECONDS)
    assert (answer.body, answer.headers["x-a"]) == (b"hello", "1, 2")


async def test_answer_that_ends_with_the_connection() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")

    async with serve(behave) as seen:
        answer = await ask(seen.address, REQUEST, SECONDS)
    assert (answer.body, answer.keep_alive) == (b"until the end", False)


async def test_connection_close_ends_the_connection() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(CLOSING)
        await peer.reader.read()  # the client closes by itself

    async with serve(behave) as seen:
        connection = await connect(seen.address, SECONDS)
        answer = await connection.exchange(REQUEST.data, SECONDS)
        assert not answer.keep_alive
        assert connection.closed
        with pytest.raises(Lost, match="before the request was sent"):
            await connection.exchange(REQUEST.data, SECONDS)


async def test_body_is_sent_when_the_server_asks_for_it() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await peer.reader.readexactly(5) == b"12345"
        await peer.send(OK)

    async with serve(behave) as seen:
        connection = await connect(seen.address, SECONDS)
        answer = connection.begin(REQUEST.head)
        assert await connection.wait_for_interim(SECONDS) == 100
        connection.send(REQUEST.body)
        found = await connection.wait(answer, SECONDS)
        assert (found.status, found.interim) == (200, (100,))
        connection.close()


async def test_final_answer_instead_of_a_hundred() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(CLOSING.replace(b"200 OK", b"413 Too large"))

    async with serve(behave) as seen:
        connection = await connect(seen.address, SECONDS)
        answer = connection.begin(REQUEST.head)
        assert await connection.wait_for_interim(SECONDS) is None
        assert (await connection.wait(answer, SECONDS)).status == 413
        assert await connection.wait_for_interim(SECONDS) is None


async def test_early_answer_is_taken_before_the_body_is_sent() -> None:
    large = build_request("POST", "/classify", bytes(20_000_000))

    async def behave(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(OK.replace(b"200 OK", b"429 Busy"))
        await asyncio.sleep(SECONDS)

    async with serve(behave) as seen:
        connection = await connect(seen.address, SECONDS)
        answer = await connection.exchange(large.data, SECONDS)
        assert answer.status == 429
        assert connection.unsent > 0
        connection.abort()


async def test_connection_closed_without_an_answer() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_request()

    async with serve(behave) as seen:
        with pytest.raises(Lost) as found:
            await ask(seen.address, REQUEST, SECONDS)
    assert found.value.how is How.CLOSED


async def test_answer_broken_off_is_lost() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK[:-1])

    async with serve(behave) as seen:
        with pytest.raises(Lost) as found:
            await ask(seen.address, REQUEST, SECONDS)
    assert found.value.how is How.CLOSED


async def test_reset() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_request()
        peer.reset()

    async with serve(behave) as seen:
        with pytest.raises(Lost) as found:
            await ask(seen.address, REQUEST, SECONDS)
    assert found.value.how is How.RESET


async def test_refused_at_connect() -> None:
    with pytest.raises(Lost) as found:
        await connect(Address("127.0.0.1", find_free_port()), SECONDS)
    assert found.value.how is How.REFUSED


async def test_no_answer_in_time_cuts_the_connection() -> None:
    async def behave(peer: Peer) -> None:
        await peer.reader.read()

    async with serve(behave) as seen:
        connection = await connect(seen.address, SECONDS)
        with pytest.raises(Lost) as found:
            await connection.exchange(REQUEST.data, 0.05)
    assert found.value.how is How.TIMEOUT
    assert connection.closed


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n"])
async def test_malformed_answer(garbage: bytes) -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(garbage)
        await peer.reader.read()

    async with serve(behave) as seen:
        with pytest.raises(Lost) as found:
            await ask(seen.address, REQUEST, SECONDS)
    assert found.value.how is How.MALFORMED


async def test_answer_that_nobody_asked_for_ends_the_connection() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK + OK.replace(b"200 OK", b"408 Late"))
        await peer.reader.read()

    async with serve(behave) as seen:
        connection = await connect(seen.address, SECONDS)
        assert (await connection.exchange(REQUEST.data, SECONDS)).status == 200
        while not connection.closed:
            await asyncio.sleep(0.001)


async def test_pool_takes_the_connection_used_last_and_replaces_closed_ones() -> None:
    async with serve(answer_all) as seen:
        pool = Pool(seen.address)
        first, second = await pool.take(SECONDS), await pool.take(SECONDS)
        for connection in (first, second):
            await connection.exchange(REQUEST.data, SECONDS)
            pool.give_back(connection)
        assert await pool.take(SECONDS) is second
        first.close()
        assert await pool.take(SECONDS) not in (first, second)
        assert pool.opened == 3
        pool.give_back(second)
        pool.close()
        assert second.closed


async def test_renewed_pool_has_new_connections_instead_of_those_that_were_idle() -> None:
    async with serve(answer_all) as seen:
        pool = Pool(seen.address)
        old = await pool.take(SECONDS)
        await old.exchange(REQUEST.data, SECONDS)
        pool.give_back(old)
        await pool.renew(2, SECONDS)
        assert old.closed
        assert pool.opened == 3
        taken = [await pool.take(SECONDS) for _ in range(2)]
        assert pool.opened == 3  # both are there already
        for connection in taken:
            assert (await connection.exchange(REQUEST.data, SECONDS)).status == 200
            pool.give_back(connection)
        pool.close()
        assert all(connection.closed for connection in taken)
    with pytest.raises(Lost):
        await pool.renew(1, SECONDS)
    assert pool.opened == 3


class FakeTransport(asyncio.Transport):
    """Takes what is written."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nothing is sent."""

    def close(self) -> None:
        """Nothing is open."""


@given(st.lists(st.integers(1, len(CHUNKED) - 1), max_size=8))
async def test_answer_does_not_depend_on_how_its_bytes_arrive(cuts: list[int]) -> None:
    connection = Connection()
    connection.connection_made(FakeTransport())
    answer = connection.begin(REQUEST.data)
    edges = [0, *sorted(cuts), len(CHUNKED)]
    for start, end in itertools.pairwise(edges):
        if start < end:
            connection.data_received(CHUNKED[start:end])
    assert (answer.result().status, answer.result().body) == (200, b"hello")


class ReadBody:
    """What httptools reads of a request."""

    def __init__(self) -> None:
        self.body, self.complete = b"", False

    def on_body(self, data: bytes) -> None:
        """Some of it."""
        self.body += data

    def on_message_complete(self) -> None:
        """All of it."""
        self.complete = True


@given(st.binary(max_size=100), st.integers(1, 60), st.booleans())
def test_bodies_are_read_as_they_were_written(body: bytes, size: int, chunked: bool) -> None:
    headers = {"Transfer-Encoding": "chunked"} if chunked else None
    request = build_request("POST", "/x", chunk_body(body, size) if chunked else body, headers)
    read = ReadBody()
    parser: Any = httptools.HttpRequestParser(read)
    parser.feed_data(request.data)
    assert (read.body, read.complete) == (body, True)


def test_request_without_a_body_announces_none() -> None:
    assert b"Content-Length" not in build_request("GET", "/livez").data

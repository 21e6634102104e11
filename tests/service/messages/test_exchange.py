"""service.messages.exchange: headers, the body's end, and how it is heard that a client has
left.
"""

import asyncio
from typing import Any

import pytest

from service.messages.exchange import CONNECTION, ClientGone, Connection, Exchange

pytestmark = pytest.mark.anyio


def make_exchange(
    messages: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
    **scope: Any,
) -> Exchange:
    """A request that receives these messages, then nothing."""
    left = list(messages or [])

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return Exchange({"type": "http", "headers": pairs, **scope}, receive, 0.0)


def chunk(body: bytes = b"x", more: bool = False) -> dict[str, Any]:
    """A message with some of the body."""
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}


def test_a_request_has_an_id() -> None:
    assert make_exchange(headers={"x-request-id": "mine"}).context.request_id == "mine"
    assert len(make_exchange().context.request_id) == 32


@pytest.mark.parametrize(
    ("headers", "pending", "unasked"),
    [
        ({}, False, False),
        ({"content-length": "0"}, False, False),
        ({"content-length": "5"}, True, False),
        ({"transfer-encoding": "chunked"}, True, False),
        ({"content-length": "5", "expect": "100-continue"}, True, True),
        ({"content-length": "0", "expect": "100-continue"}, False, False),
        ({"expect": "100-continue"}, False, False),
    ],
)
def test_whether_a_body_comes_and_waits_to_be_asked_for(
    headers: dict[str, str], pending: bool, unasked: bool
) -> None:
    exchange = make_exchange(headers=headers)
    assert (exchange.body_pending, exchange.body_unasked) == (pending, unasked)


async def test_the_body_is_read_to_its_end() -> None:
    headers = {"content-length": "3", "expect": "100-continue"}
    exchange = make_exchange([chunk(b"ab", True), chunk(b"c")], headers)
    assert await exchange.read_chunk() == b"ab"
    assert (exchange.body_pending, exchange.body_unasked) == (True, False)
    assert await exchange.read_chunk() == b"c"
    assert not exchange.body_pending


async def test_a_client_that_leaves_while_it_sends_is_gone() -> None:
    exchange = make_exchange([chunk(b"ab", True), GONE], {"content-length": "3"})
    await exchange.read_chunk()
    with pytest.raises(ClientGone):
        await exchange.read_chunk()
    assert not exchange.body_pending


async def test_a_server_that_tells_of_its_connection_is_believed() -> None:
    connection = Connection()
    exchange = make_exchange(extensions={CONNECTION: connection})
    assert exchange.connection is connection
    heard: list[str] = []
    tasks = asyncio.all_tasks()
    with exchange.watch_client(lambda: heard.append("gone")):
        assert asyncio.all_tasks() == tasks, "it costs no task"
        assert connection.on_lost is not None
        connection.on_lost()
    assert heard == ["gone"]
    assert connection.on_lost is None
    connection.is_lost = True
    with exchange.watch_client(lambda: heard.append("was gone")):
        pass
    assert heard == ["gone", "was gone"]
    with pytest.raises(KeyError), exchange.watch_client(lambda: None):
        raise KeyError
    assert connection.on_lost is None


async def test_of_another_server_it_is_heard_by_a_task() -> None:
    tasks = asyncio.all_tasks()
    exchange = make_exchange([chunk(), GONE])
    gone = asyncio.Event()
    with exchange.watch_client(gone.set):
        await gone.wait()
    with make_exchange([]).watch_client(gone.clear):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert gone.is_set(), "nobody has left"
    assert asyncio.all_tasks() == tasks


async def test_each_request_without_such_a_server_has_a_connection_of_its_own() -> None:
    first, second = make_exchange(), make_exchange()
    assert first.connection is not second.connection
    assert len({first.connection, second.connection}) == 2
    assert not first.connection.half_closed
    assert not first.connection.is_lost

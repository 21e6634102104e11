"""Stalled clients: half of a body, then silence, until the server or the test ends it."""

import asyncio

import pytest

from loadtests.clients.http_client import build_request
from loadtests.overload.stalled import StalledClients
from tests.loadtests.local_server import CLOSING, Peer, serve

pytestmark = pytest.mark.anyio
REQUEST = build_request("POST", "/classify", b"0123456789")


async def test_half_of_the_body_is_sent_and_an_answer_is_counted() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_head()
        assert await peer.reader.readexactly(5) == b"01234"
        await peer.send(CLOSING.replace(b"200 OK", b"408 Slow"))

    async with serve(behave) as seen:
        clients = StalledClients(seen.address, REQUEST, 20)
        await clients.stall(0.0)
    assert clients.counts == {"408": 1}
    assert [outcome.status for outcome in clients.outcomes] == [408]


async def test_what_is_open_at_the_end_is_cut_off_and_counted() -> None:
    async def behave(peer: Peer) -> None:
        await peer.reader.read()

    async with serve(behave) as seen:
        clients = StalledClients(seen.address, REQUEST, 20)
        tasks = [asyncio.create_task(clients.stall(0.0)) for _ in range(3)]
        while seen.connections < 3:
            await asyncio.sleep(0.001)
        clients.end()
        await asyncio.gather(*tasks)
    assert clients.counts == {"still open at the end": 3}


async def test_silence_is_given_up() -> None:
    async def behave(peer: Peer) -> None:
        await peer.reader.read()

    async with serve(behave) as seen:
        clients = StalledClients(seen.address, REQUEST, 0.02)
        await clients.stall(0.0)
    assert clients.counts == {"no answer in time": 1}


async def test_no_more_than_a_bound_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtests.overload.stalled.MAX_OPEN", 0)
    async with serve(lambda _: asyncio.sleep(0)) as seen:
        clients = StalledClients(seen.address, REQUEST, 20)
        await clients.stall(0.0)
    assert clients.counts == {"not started: too many are open": 1}
    assert seen.connections == 0

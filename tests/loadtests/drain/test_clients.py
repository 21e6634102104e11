"""The clients of a drain, against servers that end in order and servers that don't."""

import asyncio
import random
from time import perf_counter

import pytest

from loadtests.clients.http_client import Address, Answer, How, Lost, build_request
from loadtests.drain.clients import Clients, DrainLog, Fate
from loadtests.drain.nginx import CONNECT_HEADER
from loadtests.servers.server import find_free_port
from tests.loadtests.local_server import CLOSING, OK, Peer, serve

pytestmark = pytest.mark.anyio
REQUEST = build_request("POST", "/classify", b"x")
PROBLEM = b'{"code": "draining"}'
DRAINING = (
    b"HTTP/1.1 503 No\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(PROBLEM), PROBLEM)
)


def make_clients(address: Address, log: DrainLog) -> Clients:
    """That hardly pause."""
    return Clients(address, [REQUEST], log, random.Random(1), 0.001)


def begin(log: DrainLog) -> None:
    """SIGTERM is now."""
    log.told = perf_counter()


@pytest.mark.parametrize("kind", ["loop", "think", "connect"])
async def test_nothing_is_lost_by_a_server_that_ends_in_order(kind: str) -> None:
    log = DrainLog()
    closing = asyncio.Event()

    async def behave(peer: Peer) -> None:
        while True:
            await peer.read_request()
            if closing.is_set():
                await peer.send(DRAINING)
                return
            await peer.send(OK)

    async with serve(behave) as seen:
        tasks = [asyncio.create_task(make_clients(seen.address, log).be(kind)) for _ in range(2)]
        while log.before[Fate.ANSWERED] < 6:
            await asyncio.sleep(0.001)
        begin(log)
        closing.set()
        while log.after[Fate.REFUSED] < 2:
            await asyncio.sleep(0.001)
    await asyncio.gather(*tasks)  # they end when nobody accepts them any more
    assert log.lost == 0
    assert log.after[Fate.NOBODY] == 2
    assert log.labels["503 draining"] == log.after[Fate.REFUSED] >= 2


async def test_a_connection_that_is_cut_loses_a_request() -> None:
    log = DrainLog()

    async def behave(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK)
        await peer.read_request()
        begin(log)
        peer.reset()

    async with serve(behave) as seen:
        task = asyncio.create_task(make_clients(seen.address, log).be("loop"))
        while not log.lost:
            await asyncio.sleep(0.001)
    await task
    assert log.after[Fate.RESET] >= 1


async def test_a_burst_is_one_request() -> None:
    log = DrainLog()

    async def behave(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(CLOSING)

    async with serve(behave) as seen:
        await make_clients(seen.address, log).be("burst")
    assert log.before == {Fate.ANSWERED: 1}
    assert seen.connections == 1


async def test_refusals_before_sigterm_are_losses() -> None:
    log = DrainLog()
    address = Address("127.0.0.1", find_free_port())
    await make_clients(address, log).be("loop")
    assert log.before == {Fate.EARLY: 1}
    assert log.lost == 1


def answer(status: int, code: str = "", keep_alive: bool = True, **headers: str) -> Answer:
    """As a service or nginx sends it."""
    kind = {"content-type": "application/problem+json"} if code else {}
    body = b'{"code": "%b"}' % code.encode()
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {**kind, **lines}, body, perf_counter(), keep_alive)


@pytest.mark.parametrize(
    ("found", "fate"),
    [
        (answer(200), Fate.ANSWERED),
        (answer(503, "draining"), Fate.REFUSED),
        (answer(429, "overloaded"), Fate.REFUSED),
        (answer(504, "deadline_exceeded"), Fate.REFUSED),
        (answer(503), Fate.WRONG),  # a proxy's, or a server's own: nobody said that it drains
        (answer(500, "internal"), Fate.WRONG),
        (answer(502, x_upstream_connect="0.000"), Fate.WRONG),
        (answer(502, x_upstream_connect="-"), Fate.NOBODY),
    ],
)
def test_fates_of_answers(found: Answer, fate: Fate) -> None:
    assert CONNECT_HEADER == "x-upstream-connect"
    log = DrainLog(told=0.0)
    assert log.count_answer(found) is fate
    assert log.lost == (fate is Fate.WRONG)


def test_answers_that_keep_the_connection_in_a_drain_are_counted() -> None:
    log = DrainLog()
    log.count_answer(answer(200))
    assert log.kept_after == 0
    begin(log)
    log.count_answer(answer(200))
    log.count_answer(answer(200, keep_alive=False))
    log.count_answer(answer(200, x_upstream_connect="0.000"))  # nginx's own connection
    assert log.kept_after == 1


@pytest.mark.parametrize(
    ("how", "fate"),
    [
        (How.RESET, Fate.RESET),
        (How.CLOSED, Fate.CLOSED),
        (How.TIMEOUT, Fate.UNANSWERED),
        (How.MALFORMED, Fate.WRONG),
        (How.REFUSED, Fate.NOBODY),
    ],
)
def test_fates_of_losses(how: How, fate: Fate) -> None:
    assert DrainLog(told=0.0).count_loss(Lost(how)) is fate


async def test_readiness_counts_from_a_moment_after_sigterm_on() -> None:
    log = DrainLog(told=perf_counter() - 1)

    async def behave(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(DRAINING if log.ready_after else CLOSING)

    async with serve(behave) as seen:
        clients = make_clients(seen.address, log)
        task = asyncio.create_task(clients.watch_readiness(seen.address))
        while not log.not_ready_after:
            await asyncio.sleep(0.001)
        log.over = True
        await task
    assert log.ready_after == 1

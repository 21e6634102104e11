"""The requests of the soak: what is drawn, how it is sent, and which outcomes are right."""

import pytest

from loadtests.clients.http_client import How, Pool, build_request
from loadtests.clients.outcomes import Outcome
from loadtests.soak.files import OK, ImageFile
from loadtests.soak.requests import (
    IN_ORDER,
    NO_ANSWER,
    Mix,
    Planned,
    find_batch,
    send,
    send_and_leave,
    send_and_stall,
    send_expecting,
    send_half,
    send_slowly,
    send_whole,
    stay_silent,
)
from tests.loadtests.local_server import CLOSING, Peer, answer_all, serve
from tests.loadtests.local_server import OK as ANSWER

pytestmark = pytest.mark.anyio
GOOD = [ImageFile("a.jpg", b"\xff\xd8 good" * 50)]
BAD = [ImageFile("b.gif", b"GIF89a", frozenset({415}))]
DATA = build_request("POST", "/classify", bytes(4000)).data


def test_every_kind_is_drawn_and_seeds_repeat_the_order() -> None:
    mixes = [Mix(GOOD, BAD, batch=True, seed=3) for _ in range(2)]
    first, second = ([mix.draw() for _ in range(6000)] for mix in mixes)
    assert first == second
    kinds = {planned.kind for planned in first}
    assert kinds >= {"bare image", "form", "chunked", "batch", "broken form", "stalled", "silent"}
    assert len(kinds) == 14
    without = Mix(GOOD, BAD, batch=False, seed=3)
    assert "batch" not in {without.draw().kind for _ in range(1000)}


def test_drawn_requests_are_http() -> None:
    mix = Mix(GOOD, BAD, batch=True, seed=4)
    for planned in (mix.draw() for _ in range(500)):
        if planned.kind not in ("silent", "wrong request"):
            assert planned.data.startswith((b"POST /classify", b"GET /")), planned.kind


@pytest.mark.parametrize(
    ("outcome", "right"),
    [
        (None, True),
        (Outcome(0, 0, 1, 200), True),
        (Outcome(0, 0, 1, 415), False),
        (Outcome(0, 0, 1, 500), False),
        (Outcome(0, 0, 1, lost=How.RESET), False),
        *((Outcome(0, 0, 1, status), True) for status in IN_ORDER),
    ],
)
def test_judging(outcome: Outcome | None, right: bool) -> None:
    planned = Planned("bare image", DATA, send_whole, OK)
    assert planned.judge(outcome)[1] is right


@pytest.mark.parametrize("way", [send_whole, send_slowly, send_expecting])
async def test_requests_arrive_whole_however_they_are_sent(way: object) -> None:
    bodies: list[bytes] = []

    async def behave(peer: Peer) -> None:
        if way is send_expecting:
            assert b"Expect: 100-continue" in await peer.read_head()
            await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            bodies.append(await peer.reader.readexactly(4000))
        else:
            bodies.append(await peer.read_request())
        await peer.send(ANSWER)

    async with serve(behave) as seen:
        pool = Pool(seen.address)
        planned = Planned("bare image", DATA, way, OK)  # type: ignore[arg-type]
        assert await send(pool, planned) == ("200", True)
        pool.close()
    assert bodies == [bytes(4000)]


async def test_an_early_answer_ends_a_slow_body() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(CLOSING.replace(b"200 OK", b"408 Slow"))
        await peer.reader.read()

    async with serve(behave) as seen:
        outcome = await send_slowly(Pool(seen.address), DATA)
    assert outcome is not None
    assert outcome.status == 408


@pytest.mark.parametrize("way", [send_half, send_and_leave, stay_silent])
async def test_those_who_leave_want_no_answer(way: object) -> None:
    async with serve(answer_all) as seen:
        planned = Planned("leaver", DATA, way, OK)  # type: ignore[arg-type]
        assert await send(Pool(seen.address), planned) == (NO_ANSWER, True)


async def test_a_stalled_client_may_be_answered_or_cut_off() -> None:
    async def answer(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(CLOSING.replace(b"200 OK", b"408 Slow"))

    async def cut(peer: Peer) -> None:
        await peer.read_head()

    for behave, expected in ((answer, "408"), (cut, NO_ANSWER)):
        async with serve(behave) as seen:
            planned = Planned("stalled", DATA, send_and_stall, frozenset({408}))
            assert await send(Pool(seen.address), planned) == (expected, True)


async def test_a_lost_answer_is_wrong() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_request()

    async with serve(behave) as seen:
        planned = Planned("bare image", DATA, send_whole, OK)
        assert await send(Pool(seen.address), planned) == ("closed without an answer", False)


def test_batches_are_sent_where_the_description_has_them() -> None:
    assert find_batch({"paths": {"/classify/batch": {}}})
    assert not find_batch({"paths": {"/classify": {}}})
    assert not find_batch({})


def test_a_batch_is_refused_as_a_whole_for_its_bytes_alone() -> None:
    """What is wrong with one image, its pixels too, is that image's problem in an answer 200."""
    many_pixels = ImageFile("huge.png", b"pixels", frozenset({413}))
    too_long = ImageFile("too-long.jpg", b"bytes" * 99, frozenset({413}), is_too_long=True)
    mix = Mix(GOOD, [*BAD, many_pixels, too_long], batch=True, seed=5)
    batches = [planned for planned in (mix.draw() for _ in range(3000)) if planned.kind == "batch"]
    refused = [planned for planned in batches if too_long.data in planned.data]
    assert 0 < len(refused) < len(batches)
    assert any(many_pixels.data in planned.data for planned in batches)
    for planned in batches:
        assert planned.allowed == (frozenset({413}) if planned in refused else OK)

"""What became of a request: statuses, problem codes, losses; kept and new connections."""

import pytest

from loadtests.clients.http_client import Address, Answer, How, Pool
from loadtests.clients.images import build_image
from loadtests.clients.outcomes import (
    Outcome,
    attempt,
    attempt_alone,
    count_labels,
    read_outcome,
    select,
)
from loadtests.clients.requests import build_classify
from loadtests.servers.server import find_free_port
from tests.loadtests.local_server import Peer, answer_all, serve

pytestmark = pytest.mark.anyio
IMAGE = build_image("cat.jpg", b"\xff\xd8 bytes")


def make_answer(status: int, body: bytes, kind: str = "application/problem+json") -> Answer:
    """An answer of that type."""
    return Answer(status, {"content-type": kind, "retry-after": "1"}, body, 2.5, keep_alive=True)


def test_problem_codes_are_read() -> None:
    outcome = read_outcome(1.0, 1.5, make_answer(429, b'{"code": "overloaded"}'))
    assert (outcome.status, outcome.label, outcome.retry_after) == (429, "429 overloaded", True)
    assert outcome.latency == 1.5


@pytest.mark.parametrize(
    ("body", "label"), [(b"oops", "500 (not JSON)"), (b"[]", "500 (no object)"), (b"{}", "500")]
)
def test_odd_problem_bodies(body: bytes, label: str) -> None:
    assert read_outcome(0, 0, make_answer(500, body)).label == label


def test_only_problems_have_codes() -> None:
    assert read_outcome(0, 0, make_answer(200, b'{"code": 1}', "application/json")).label == "200"


def test_counting_and_selecting() -> None:
    outcomes = [Outcome(0, 0, 1, 200), Outcome(0, 0, 1, lost=How.RESET), Outcome(0, 0, 1, 200)]
    assert count_labels(outcomes) == {"200": 2, "reset": 1}
    assert len(select(outcomes, 200)) == 2


async def test_attempts_keep_or_close_their_connection() -> None:
    data = build_classify(IMAGE, form=False).data
    async with serve(answer_all) as seen:
        pool = Pool(seen.address)
        for _ in range(3):
            assert (await attempt(pool, data, 0.0, 20)).status == 200
        assert seen.connections == 1
        for _ in range(2):
            outcome = await attempt_alone(seen.address, data, 0.0, 20)
            assert outcome.due < outcome.sent < outcome.ended
        assert seen.connections == 3
        pool.close()


async def test_losses_are_outcomes() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_request()

    data = build_classify(IMAGE, form=False).data
    async with serve(behave) as seen:
        pool = Pool(seen.address)
        assert (await attempt(pool, data, 0.0, 20)).label == "closed without an answer"
        assert (await attempt_alone(seen.address, data, 0.0, 20)).lost is How.CLOSED
    nobody = Address("127.0.0.1", find_free_port())
    assert (await attempt_alone(nobody, data, 0.0, 20)).lost is How.REFUSED

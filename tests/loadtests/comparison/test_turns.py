"""Turns of load: what counts, latencies from the time due, and the search for a rate."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.clients.http_client import Address, Pool, build_request
from loadtests.clients.loops import GeneratorUse
from loadtests.clients.outcomes import Outcome
from loadtests.comparison.sides import Side
from loadtests.comparison.turns import (
    MAX_SHARE,
    MIN_SHARE,
    Search,
    Turn,
    find_percentiles,
    judge_turn,
    take_closed_turn,
    take_open_turn,
)
from loadtests.errors import ServerFault
from loadtests.servers.server import Server, ServerSpec
from tests.loadtests.local_server import OK, Peer, Turns, answer_all, serve

BODIES = [build_request("POST", "/classify", b"x").data]
IDLE = ServerSpec("idle", (sys.executable, "-c", "import time; time.sleep(60)"), Path())


def make_turn(latencies: list[float], status: int = 200, seconds: float = 1.0) -> Turn:
    outcomes = [Outcome(0.0, 0.0, latency, status) for latency in latencies]
    return Turn(1.0, outcomes, seconds, GeneratorUse(0.1, 1.0))


@asynccontextmanager
async def make_side(address: Address) -> AsyncIterator[Side]:
    """A side whose requests go to a server of the test's own; its process only has CPU time."""
    with Server(IDLE) as server:
        side = Side(Path("bundle"), server, 0.1)
        side.pool = Pool(address)
        yield side
        side.pool.close()


def test_cpu_time_and_rate_count_answers() -> None:
    turn = make_turn([0.1] * 8, seconds=2.0)
    turn.outcomes += [Outcome(0, 0, 0.1, 429)] * 8
    assert (turn.answered, turn.cpu_ms, turn.rate) == (8, 125.0, 4.0)


def test_a_busy_generator_is_told() -> None:
    turn = make_turn([0.1])
    assert judge_turn(turn) == []
    turn.generator = GeneratorUse(0.9, 1.0)
    assert "90%" in judge_turn(turn)[0]
    turn.lag_reasons = ["late"]
    assert judge_turn(turn) == ["late"]


def test_percentiles_are_over_all_turns() -> None:
    turns = [make_turn([0.001 * i for i in range(1, 51)]), make_turn([0.051] * 50)]
    assert find_percentiles(turns, [0.5, 0.99]) == pytest.approx([50.0, 51.0])
    assert find_percentiles([make_turn([0.1], status=429)], [0.5]) == []


@pytest.mark.anyio
async def test_no_turn_uses_connections_that_were_idle_since_the_one_before() -> None:
    turns = Turns()
    async with serve(turns.behave) as seen, make_side(seen.address) as side:
        for turns.turn in range(4):
            if turns.turn % 2:
                await take_open_turn(side, BODIES, 100.0, 0.05, warm_up=0.05, seed=turns.turn)
            else:
                await take_closed_turn(side, BODIES, 2, 0.01, warm_up=0.01)
    assert turns.stale == 0


@pytest.mark.anyio
async def test_closed_turn_counts_what_came_after_the_warm_up() -> None:
    async with serve(answer_all) as seen, make_side(seen.address) as side:
        turn = await take_closed_turn(side, BODIES, 2, 0.1, warm_up=0.05)
    assert 0 < len(turn.outcomes) < len(seen.heads)
    assert turn.rate > 0


@pytest.mark.anyio
async def test_closed_turn_ends_at_an_answer_that_is_not_200() -> None:
    async def refuse(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(OK.replace(b"200 OK", b"503 No"))

    async with serve(refuse) as seen, make_side(seen.address) as side:
        with pytest.raises(ServerFault, match="expected 200 for every request"):
            await take_closed_turn(side, BODIES, 1, 0.05, warm_up=0)
        with pytest.raises(ServerFault, match="expected answers at"):
            await take_open_turn(side, BODIES, 50, 0.2, warm_up=0, seed=1)


@pytest.mark.anyio
async def test_open_turn_sends_the_same_times_for_the_same_seed() -> None:
    async with serve(answer_all) as seen, make_side(seen.address) as side:
        turns = [await take_open_turn(side, BODIES, 200, 0.3, 0.05, seed) for seed in (1, 1, 2)]
    counts = [len(turn.outcomes) for turn in turns]
    assert counts[0] == counts[1] > 0
    firsts = [turn.outcomes[0].due for turn in turns]
    gaps = [
        [o.due - first for o in sorted(t.outcomes, key=lambda o: o.due)]
        for t, first in zip(turns, firsts, strict=True)
    ]
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-6)
    assert gaps[0][:5] != pytest.approx(gaps[2][:5], abs=1e-6)


def explore(search: Search, capacity: float, steps: int) -> None:
    """Steps of a service that answers in time up to its capacity."""
    for _ in range(steps):
        rate = search.next_rate
        slow = rate > capacity
        search.take(rate, make_turn([0.5 if slow else 0.01] * 100))


@given(st.floats(1, 1e4), st.floats(0, 1.2), st.integers(1, 8))
def test_search_closes_in_on_the_capacity(closed: float, share: float, steps: int) -> None:
    search = Search(closed, 100.0)
    capacity = share * closed
    explore(search, capacity, steps)
    room = (MAX_SHARE - MIN_SHARE) * closed / 2**steps
    for step in search.steps:
        assert MIN_SHARE * closed < step.rate < MAX_SHARE * closed
        assert step.holds == (step.rate <= capacity)
    best = search.best
    if best is not None:
        assert best.rate <= capacity
    if MIN_SHARE * closed + room < capacity < MAX_SHARE * closed:
        assert best is not None
        assert capacity - best.rate <= 2 * room * (1 + 1e-9)


def test_refused_requests_do_not_hold_the_target() -> None:
    search = Search(100.0, 100.0)
    turn = make_turn([0.01] * 98)
    turn.outcomes += [Outcome(0, 0, 0.001, 429)] * 2
    search.take(50.0, turn)
    assert (search.steps[0].in_time, search.best) == (0.98, None)
    assert search.steps[0].p99_ms == pytest.approx(10.0)

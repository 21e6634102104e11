"""Closed and open loops: how many requests at once, when, and when they are no measure."""

import asyncio
import errno
import itertools
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.clients.http_client import Pool, build_request
from loadtests.clients.loops import (
    MAX_CPU_SHARE,
    GeneratorUse,
    Lag,
    judge_cpu,
    plan_arrivals,
    run_closed_loop,
    run_open_loop,
)
from tests.loadtests.local_server import OK, Peer, answer_all, serve

pytestmark = pytest.mark.anyio
DATA = build_request("POST", "/classify", b"x").data


async def test_closed_loop_keeps_as_many_requests_on_their_way_as_it_has_clients() -> None:
    now, most, all_there = 0, 0, asyncio.Event()

    async def behave(peer: Peer) -> None:
        nonlocal now, most
        while True:
            await peer.read_request()
            now += 1
            most = max(most, now)
            if now == 3:
                all_there.set()
            await all_there.wait()
            now -= 1
            await peer.send(OK)

    async with serve(behave) as seen:
        pool = Pool(seen.address)
        run = await run_closed_loop(pool, [DATA], 3, 0.1)
        pool.close()
    assert most == 3
    assert seen.connections == 3
    assert len(run.outcomes) == len(seen.heads) >= 3
    assert {outcome.status for outcome in run.outcomes} == {200}
    assert run.rate == len(run.outcomes) / run.seconds


async def test_closed_loop_sends_bodies_in_turn() -> None:
    async with serve(answer_all) as seen:
        pool = Pool(seen.address)
        bodies = [build_request("POST", f"/{name}", b"x").data for name in "ab"]
        await run_closed_loop(pool, bodies, 1, 0.05)
        pool.close()
    paths = [head.split()[1] for head in seen.heads]
    assert len(paths) % 2 == 0  # whole passes
    assert paths == list(itertools.islice(itertools.cycle([b"/a", b"/b"]), len(paths)))


async def test_requests_without_200_are_no_rate() -> None:
    async def behave(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(OK.replace(b"200 OK", b"503 No"))

    async with serve(behave) as seen:
        pool = Pool(seen.address)
        run = await run_closed_loop(pool, [DATA], 1, 0.02)
        pool.close()
    assert run.outcomes
    assert run.rate == 0


async def test_open_loop_does_not_wait_for_what_it_began() -> None:
    due: list[float] = []
    release = asyncio.Event()

    async def fire(moment: float) -> None:
        due.append(moment)
        if len(due) == 5:
            release.set()
        await release.wait()

    began = perf_counter()
    times = [0.0, 0.01, 0.02, 0.02, 0.03]
    lag = await run_open_loop(fire, times)
    assert [round(moment - due[0], 6) for moment in due] == times
    assert due[0] >= began
    assert len(lag.seconds) == 5
    assert min(lag.seconds) >= 0


async def test_what_this_machine_lacks_is_told_and_is_no_measurement() -> None:
    async def fire(_: float) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    lag = await run_open_loop(fire, [0.0, 0.0])
    assert lag.faults == {"Too many open files": 2}
    assert "2 requests could not be sent" in lag.judge(1e9)[0]


async def test_other_exceptions_end_an_open_loop() -> None:
    async def fire(_: float) -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        await run_open_loop(fire, [0.0])


def test_late_or_busy_generators_are_told() -> None:
    assert not Lag([0.001] * 100).judge(20)
    assert "99th percentile of the lag is 50.0 ms" in Lag([0.0] * 98 + [0.05] * 2).judge(20)[0]
    busy = GeneratorUse(cpu=MAX_CPU_SHARE * 2, wall=1.0)
    assert "lower the rate" in judge_cpu(busy)[0]
    assert "lower the rate" in Lag([0.0], generator=busy).judge(20)[0]
    assert not judge_cpu(GeneratorUse())


@given(st.floats(1, 500), st.integers(0, 2**32))
def test_arrivals_are_repeatable_ordered_and_about_as_many_as_asked(rate: float, seed: int) -> None:
    times = list(plan_arrivals(rate, 20.0, seed))
    assert times == list(plan_arrivals(rate, 20.0, seed))
    assert times == sorted(times)
    assert all(0 < moment < 20 for moment in times)
    expected = rate * 20
    assert abs(len(times) - expected) < 7 * expected**0.5  # a Poisson number


def test_arrivals_need_a_rate() -> None:
    with pytest.raises(ValueError, match="above 0"):
        list(plan_arrivals(0, 1, 1))

"""service.work.scheduler: real workers, held and let go by the test, and what they make of the
queue.
"""

import asyncio
import logging
import random
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import numpy as np
import pytest

from service.messages.exchange import Connection
from service.messages.logs import RequestContext, log_with
from service.messages.problems import Problem
from service.work.scheduler import Job, Scheduler
from tests.service.servers import wait_for
from tests.service.wire import SECONDS

pytestmark = pytest.mark.anyio
DRAINING = Problem("draining", "")


def make_job(data: bytes = b"", caller: str = "a", cost: float = 1.0, **changes: Any) -> Job:
    """A job that nobody else has a connection with."""
    connection = changes.pop("connection", None) or Connection()
    return Job(data, 1, caller, connection, cost, monotonic() + changes.pop("seconds", SECONDS))


class Bench:
    """Work that notes what it is given, and is held up where the job's data are b"hold"."""

    def __init__(self) -> None:
        self.units: list[tuple[list[bytes], bool]] = []
        self.let_go = threading.Semaphore(0)

    def __call__(self, jobs: Sequence[Job], is_alone: Callable[[], bool]) -> list[Any]:
        """A job's answer is its data in capitals."""
        self.units.append(([job.data for job in jobs], is_alone()))
        if any(job.data == b"hold" for job in jobs):
            assert self.let_go.acquire(timeout=SECONDS)
        if any(job.data == b"fail" for job in jobs):
            raise ValueError("an image of this unit is bad")
        return [
            Problem("bad_request", "") if job.data == b"bad" else job.data.upper() for job in jobs
        ]

    @property
    def data(self) -> list[list[bytes]]:
        """What was worked on, by unit."""
        return [data for data, _ in self.units]


@asynccontextmanager
async def start(workers: int = 1, unit: int = 1) -> AsyncIterator[tuple[Scheduler, Bench]]:
    """A scheduler and its work."""
    bench = Bench()
    scheduler = Scheduler(workers, bench)
    scheduler.unit = unit
    try:
        yield scheduler, bench
    finally:
        for _ in range(100):
            bench.let_go.release()
        await scheduler.stop(SECONDS)
        assert (scheduler.waiting, scheduler.busy) == (0, 0)


async def occupy(scheduler: Scheduler, count: int = 1) -> list[Job]:
    """Jobs that keep so many workers busy."""
    jobs = [make_job(b"hold", caller="holder") for _ in range(count)]
    for job in jobs:
        scheduler.submit(job)
    await until(lambda: scheduler.busy >= count and not scheduler.waiting)
    return jobs


async def until(condition: Callable[[], bool]) -> None:
    """Waits for another thread, without standing in the event loop's way."""
    await asyncio.to_thread(wait_for, condition)


async def gather(jobs: Sequence[Job]) -> list[Any]:
    """What became of each job."""
    return await asyncio.gather(*(job.done for job in jobs), return_exceptions=True)


async def test_a_jobs_image_is_taken_once() -> None:
    for data in (b"file", memoryview(b"a file")[2:]):
        job = make_job(data)  # type: ignore[arg-type]
        assert job.take_data() == b"file"
        assert (job.data, job.encoded_bytes) == (b"", 4)
    tensor = np.zeros((3, 2, 2), np.float32)
    job = make_job(tensor)  # type: ignore[arg-type]
    assert job.take_data() is tensor
    assert job.encoded_bytes == 0


async def test_answers_and_faults_come_back_to_the_loop() -> None:
    async with start(2) as (scheduler, _):
        jobs = [make_job(data) for data in (b"a", b"bad", b"b", b"fail", b"c")]
        for job in jobs:
            scheduler.submit(job)
        found = await gather(jobs)
    assert found[::2] == [b"A", b"B", b"C"]
    assert isinstance(found[1], Problem)
    assert isinstance(found[3], ValueError)


async def test_a_fault_of_the_work_ends_its_unit_and_no_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with start(unit=8) as (scheduler, bench):
        await occupy(scheduler)
        jobs = [make_job(data) for data in (b"a", b"fail", b"b")]
        for job in jobs:
            scheduler.submit(job)
        bench.let_go.release()
        assert {type(outcome) for outcome in await gather(jobs)} == {ValueError}
        assert "failed unexpectedly" in caplog.text
        later = make_job(b"c")
        scheduler.submit(later)
        assert await later.done == b"C"


async def test_a_unit_is_what_waits_and_not_more_than_pays() -> None:
    async with start(unit=4) as (scheduler, bench):
        held = await occupy(scheduler)
        jobs = [make_job(b"%d" % number) for number in range(6)]
        for job in jobs:
            scheduler.submit(job)
        bench.let_go.release()
        await gather(held + jobs)
        assert bench.data == [[b"hold"], [b"0", b"1", b"2", b"3"], [b"4", b"5"]]


async def test_workers_share_what_waits() -> None:
    async with start(workers=2, unit=8) as (scheduler, bench):
        held = await occupy(scheduler, 2)
        jobs = [make_job(b"%d" % number) for number in range(3)] + [make_job(b"hold")]
        for job in jobs:
            scheduler.submit(job)
        bench.let_go.release()  # this worker takes half of the four; the other one is still busy
        await until(lambda: len(bench.units) >= 3)
        assert bench.data[2] == [b"0", b"1"]
        for _ in range(3):
            bench.let_go.release()
        await gather(held + jobs)
        assert all(len(unit) == 1 for unit in bench.data[3:])


async def test_an_image_is_alone_when_nothing_else_runs_or_waits() -> None:
    async with start(workers=2) as (scheduler, bench):
        (held,) = await occupy(scheduler)
        beside = make_job(b"beside")
        scheduler.submit(beside)
        await beside.done
        bench.let_go.release()
        await held.done
        await until(lambda: not scheduler.busy)
        after = make_job(b"after")
        scheduler.submit(after)
        await after.done
        assert bench.units == [([b"hold"], True), ([b"beside"], False), ([b"after"], True)]
    async with start(workers=1) as (scheduler, bench):
        held_up = await occupy(scheduler)
        jobs = [make_job(b"first"), make_job(b"second")]
        for job in jobs:
            scheduler.submit(job)
        bench.let_go.release()
        await gather(held_up + jobs)
        assert [alone for _, alone in bench.units[1:]] == [False, True]


async def test_a_job_that_waits_can_be_withdrawn() -> None:
    async with start() as (scheduler, bench):
        (held,) = await occupy(scheduler)
        leaving, staying = make_job(b"leaving", "leaver", 3.0), make_job(b"staying", "stayer", 4.0)
        scheduler.submit(leaving)
        scheduler.submit(staying)
        assert (scheduler.waiting, scheduler.count_waiting("leaver")) == (2, 1)
        assert scheduler.withdraw(leaving)
        assert not scheduler.withdraw(leaving)
        assert (scheduler.waiting, scheduler.count_waiting("leaver")) == (1, 0)
        assert scheduler.predict_wait() == pytest.approx(4.0 + 1.0, abs=0.99)
        assert not scheduler.withdraw(held), "it has begun"
        bench.let_go.release()
        assert await staying.done == b"STAYING"
        assert bench.data == [[b"hold"], [b"staying"]]
        assert not leaving.done.done()


async def test_a_job_that_was_given_up_by_everyone_is_not_begun() -> None:
    async with start(unit=4) as (scheduler, bench):
        await occupy(scheduler)
        late, abandoned, good = make_job(b"late", seconds=-1), make_job(b"left"), make_job(b"good")
        abandoned.abandoned = True
        for job in (late, abandoned, good):
            scheduler.submit(job)
        bench.let_go.release()
        assert await good.done == b"GOOD"
        assert bench.data == [[b"hold"], [b"good"]]
        assert (late.began, abandoned.began) == (0, 0)
        assert good.queued <= good.began <= monotonic()
        scheduler.submit(make_job(b"late", seconds=-1))  # alone: the worker finds nothing to do
        await until(lambda: not scheduler.waiting)
        scheduler.submit(again := make_job(b"again"))
        assert await again.done == b"AGAIN"


async def test_those_who_have_probably_left_come_last_but_do_come() -> None:
    async with start() as (scheduler, bench):
        await occupy(scheduler)
        gone = Connection()
        jobs = [make_job(b"gone", connection=gone), make_job(b"1"), make_job(b"2", "b")]
        dropped = make_job(b"dropped", "c", connection=gone)
        for job in (dropped, *jobs):
            scheduler.submit(job)
        gone.half_closed = True
        bench.let_go.release()
        await until(lambda: len(bench.units) > 1)
        scheduler.withdraw(dropped)  # from wherever it is by now, or it has begun
        await gather(jobs)
        order = [data for (data,) in bench.data if data != b"dropped"]
        assert set(order[1:3]) == {b"1", b"2"}
        assert order[3:] == [b"gone"]


async def test_a_caller_waits_for_one_image_of_each_other() -> None:
    async with start() as (scheduler, bench):
        await occupy(scheduler)
        connection = Connection()
        many = [make_job(b"many", "greedy", connection=connection) for _ in range(50)]
        one = make_job(b"one", "modest")
        for job in (*many, one):
            scheduler.submit(job)
        bench.let_go.release()
        await gather([*many, one])
        assert bench.data.index([b"one"]) <= 3


async def test_what_waits_can_be_refused() -> None:
    async with start() as (scheduler, bench):
        (held,) = await occupy(scheduler)
        late = make_job(b"late", connection=Connection(half_closed=True))
        jobs = [make_job(b"a"), make_job(b"b", "b"), late]
        answered = make_job(b"answered")
        answered.done.set_result(b"by someone else")
        for job in (*jobs, answered):
            scheduler.submit(job)
        scheduler.refuse_waiting(DRAINING)
        assert await gather(jobs) == [DRAINING] * 3
        assert (scheduler.waiting, scheduler.predict_wait()) == (0, pytest.approx(1, abs=0.99))
        bench.let_go.release()
        assert await held.done == b"HOLD"
        assert bench.data == [[b"hold"]]


async def test_stopping_finishes_what_was_begun_and_takes_nothing_more() -> None:
    async with start(workers=3) as (scheduler, bench):
        workers = scheduler._threads
        assert all(worker.is_alive() for worker in workers)
        held = await occupy(scheduler, 3)
        waiting = make_job(b"waits")
        scheduler.submit(waiting)
        stopping = asyncio.create_task(scheduler.stop(SECONDS))
        with pytest.raises(Problem, match="draining"):
            await waiting.done
        with pytest.raises(Problem, match="draining"):
            scheduler.submit(make_job())
        assert not stopping.done()
        for _ in held:
            bench.let_go.release()
        await stopping
        assert await gather(held) == [b"HOLD"] * 3
        assert not any(worker.is_alive() for worker in workers)


async def test_a_worker_that_hangs_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    async with start(workers=2) as (scheduler, bench):
        (held,) = await occupy(scheduler)
        assert 0 < scheduler.longest_run() < SECONDS
        caplog.set_level(logging.ERROR)
        await scheduler.stop(0.05)
        (record,) = caplog.records
        assert "hangs" in record.message
        assert scheduler.busy == 1
        bench.let_go.release()
        assert await held.done == b"HOLD", "late, but nothing is lost"
        await until(lambda: not scheduler.busy)
        assert scheduler.longest_run() == 0


def test_a_worker_does_not_fail_where_nobody_can_hear_its_answer() -> None:
    bench = Bench()
    scheduler = Scheduler(1, bench)

    async def submit() -> None:
        await occupy(scheduler)

    asyncio.run(submit())  # and the event loop is closed
    (worker,) = scheduler._threads
    bench.let_go.release()
    wait_for(lambda: not scheduler.busy)
    scheduler._calls.put(False)
    worker.join(SECONDS)
    assert not worker.is_alive()


async def test_the_wait_is_predicted_by_what_waits_and_what_runs() -> None:
    async with start(workers=2) as (scheduler, bench):
        assert scheduler.predict_wait() == 0
        await occupy(scheduler)
        assert scheduler.predict_wait() == 0, "a worker is free"
        await occupy(scheduler)
        assert 0 <= scheduler.predict_wait() <= 1
        jobs = [make_job(cost=10.0) for _ in range(4)]
        for job in jobs:
            scheduler.submit(job)
        assert 20 <= scheduler.predict_wait() <= 21
        for _ in range(2):
            bench.let_go.release()
        await gather(jobs)
        await until(lambda: not scheduler.busy)
        assert scheduler.predict_wait() == 0


async def test_a_worker_logs_for_the_request_of_its_job(caplog: pytest.LogCaptureFixture) -> None:
    from service.messages.logs import _context

    with log_with(RequestContext("mine")):
        job = make_job()
    assert job.context.run(_context.get) == RequestContext("mine")
    assert _context.get() is None


@pytest.mark.parametrize("seed", range(4))
async def test_in_any_turmoil_each_job_ends_once(seed: int) -> None:
    """Submitted, withdrawn, expired, half-closed, refused: at the end nothing waits or is lost."""
    choose = random.Random(seed)
    async with start(workers=3, unit=choose.choice([1, 2, 4])) as (scheduler, bench):
        for _ in range(100):
            bench.let_go.release()
        connections = [Connection() for _ in range(5)]
        jobs: list[Job] = []
        withdrawn: set[Job] = set()
        for number in range(400):
            job = make_job(
                b"%d" % number,
                choose.choice("abc"),
                choose.random(),
                connection=choose.choice(connections),
                seconds=choose.choice([-1, SECONDS, SECONDS]),
            )
            jobs.append(job)
            scheduler.submit(job)
            if choose.random() < 0.2:
                victim = choose.choice(jobs)
                if scheduler.withdraw(victim):
                    withdrawn.add(victim)
            if choose.random() < 0.1:
                choose.choice(connections).half_closed = choose.random() < 0.5
            if choose.random() < 0.02:
                scheduler.refuse_waiting(DRAINING)
            if choose.random() < 0.1:
                await asyncio.sleep(0)
        await until(lambda: not scheduler.waiting and not scheduler.busy)
        await asyncio.sleep(0)
        assert scheduler.predict_wait() == 0
        assert all(scheduler.count_waiting(caller) == 0 for caller in "abc")
        worked_on = [data for unit in bench.data for data in unit]
        assert len(worked_on) == len(set(worked_on))
        for job in jobs:
            if job.data in worked_on:
                assert await asyncio.wait_for(job.done, SECONDS) == job.data
                assert job not in withdrawn
            elif job.done.done():
                assert job.done.exception() is DRAINING
            else:
                assert job in withdrawn or job.abandoned or job.deadline < monotonic()

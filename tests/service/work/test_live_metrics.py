"""service.work.live_metrics: what is read fits what the live objects are doing at that moment."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pytest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from service.classification.predictor import Predictor
from service.memory.ledger import Account
from service.messages.exchange import Connection
from service.messages.problems import Problem
from service.metrics.metrics import Metrics
from service.settings.settings import Settings
from service.work.admission import Admission
from service.work.lifecycle import Lifecycle
from service.work.live_metrics import (
    PHASES,
    ConnectionCollector,
    LiveCollector,
    is_ready,
    name_phase,
)
from service.work.scheduler import Job, Scheduler

pytestmark = pytest.mark.anyio
MIB = 2**20


def read(collector: Collector) -> dict[str, float]:
    """Sample -> value; labels as `name{value}`."""
    families: Iterable[Metric] = collector.collect()
    return {
        sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


@dataclass
class Budget:
    """A budget of the test's own numbers."""

    limit: int | None
    base: int
    bodies: Account
    decoding: Account


class Parts:
    """The live objects of a service whose workers wait at a gate."""

    def __init__(self, workers: int) -> None:
        self.gate = threading.Event()
        self.lifecycle = Lifecycle(60)
        self.scheduler = Scheduler(workers, self._work)
        self.budget = Budget(640 * MIB, 70 * MIB, Account(100 * MIB), Account(300 * MIB))
        self.admission = Admission(
            self.scheduler, Predictor(), self.budget.bodies, Metrics(), queue_images=64
        )
        self.jobs: list[Job] = []

    def _work(self, jobs: Any, is_alone: Any) -> list[None]:
        assert self.gate.wait(30), "nobody opened the gate"
        return [None] * len(jobs)

    def submit(self, count: int, cost: float) -> None:
        """So many images to come to the workers."""
        for _ in range(count):
            job = Job(b"", 1, "caller", Connection(), cost, monotonic() + 60)
            self.jobs.append(job)
            self.scheduler.submit(job)

    async def wait_until_busy(self, workers: int) -> None:
        for _ in range(1000):
            if self.scheduler.busy == workers:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.scheduler.busy} workers are busy, expected {workers}")

    def read(self) -> dict[str, float]:
        settings = Settings(queue_images=64, hang_ms=60_000)
        return read(
            LiveCollector(self.lifecycle, self.scheduler, self.admission, self.budget, settings)
        )


@asynccontextmanager
async def open_parts(workers: int = 2) -> AsyncIterator[Parts]:
    parts = Parts(workers)
    try:
        yield parts
    finally:
        parts.gate.set()
        await asyncio.gather(*(job.done for job in parts.jobs))
        await parts.scheduler.stop(30)


async def test_nothing_to_do() -> None:
    async with open_parts(workers=3) as parts:
        values = parts.read()
    assert values["bnn_workers"] == 3
    assert values["bnn_workers_busy"] == values["bnn_worker_longest_run_seconds"] == 0
    assert values["bnn_predicted_wait_seconds"] == 0
    assert values["bnn_queue_images{waiting}"] == values["bnn_queue_images{arriving}"] == 0
    assert values["bnn_queue_limit_images"] == 64
    assert values["bnn_worker_run_limit_seconds"] == 60


async def test_queue_workers_and_predicted_wait() -> None:
    async with open_parts(workers=2) as parts:
        parts.submit(2, cost=100)
        await parts.wait_until_busy(2)
        parts.submit(5, cost=4)
        await asyncio.sleep(0.02)
        values = parts.read()
        assert values["bnn_workers_busy"] == 2
        assert values["bnn_queue_images{waiting}"] == 5
        assert 0 < values["bnn_worker_longest_run_seconds"] < 100
        # Two workers have about 100 s before them, and 20 s of images wait for both.
        assert 50 < values["bnn_predicted_wait_seconds"] < 110


async def test_bodies_on_their_way_and_memory() -> None:
    async with open_parts() as parts:
        tickets = [parts.admission.admit("caller", 10 * MIB, deadline=60) for _ in range(2)]
        with parts.budget.decoding.hold(30 * MIB, monotonic() + 1):
            values = parts.read()
        assert values["bnn_queue_images{arriving}"] == 2
        assert 40 * MIB <= values["bnn_memory_held_bytes{bodies}"] <= 41 * MIB
        assert values["bnn_memory_held_bytes{decoding}"] == 30 * MIB
        assert values["bnn_memory_capacity_bytes{bodies}"] == 100 * MIB
        assert values["bnn_memory_capacity_bytes{decoding}"] == 300 * MIB
        assert values["bnn_memory_budget_bytes"] == 640 * MIB
        assert values["bnn_memory_base_bytes"] == 70 * MIB
        for ticket in tickets:
            ticket.close()
        values = parts.read()
        assert values["bnn_queue_images{arriving}"] == values["bnn_memory_held_bytes{bodies}"] == 0


async def test_without_a_limit_there_is_no_budget() -> None:
    async with open_parts() as parts:
        parts.budget = Budget(None, 0, Account(1), Account(1))
        assert "bnn_memory_budget_bytes" not in parts.read()


def test_phases_in_the_order_of_a_life() -> None:
    lifecycle = Lifecycle(60)
    seen = [name_phase(lifecycle)]
    for step in (lifecycle.finish_start, lifecycle.begin_drain, lifecycle.refuse_new):
        step()
        seen.append(name_phase(lifecycle))
    lifecycle = Lifecycle(60)
    lifecycle.fail_start("no such file")
    seen.append(name_phase(lifecycle))
    assert tuple(seen) == PHASES


async def test_the_phase_is_one_and_ready_is_what_the_probe_says() -> None:
    async with open_parts() as parts:
        for step in (
            lambda: None,
            parts.lifecycle.finish_start,
            parts.lifecycle.begin_drain,
            parts.lifecycle.refuse_new,
        ):
            step()
            values = parts.read()
            phases = {name: values[f"bnn_phase{{{name}}}"] for name in PHASES}
            assert sum(phases.values()) == 1
            assert phases[name_phase(parts.lifecycle)] == 1
            try:
                parts.lifecycle.check_ready()
                expected = 1
            except Problem:
                expected = 0
            assert values["bnn_ready"] == expected == is_ready(parts.lifecycle)


@dataclass(frozen=True)
class FakeConnection:
    number: int
    is_working: bool


def test_connections_by_what_they_do() -> None:
    connections = {FakeConnection(i, i < 3) for i in range(8)}
    assert read(ConnectionCollector(lambda: connections, 512)) == {
        "bnn_connections{working}": 3,
        "bnn_connections{idle}": 5,
        "bnn_connections_limit": 512,
    }


def test_connections_may_come_and_go_while_they_are_counted() -> None:
    connections = {FakeConnection(i, False) for i in range(500)}
    over = threading.Event()

    def change() -> None:
        number = 1000
        while not over.is_set():
            extra = FakeConnection(number, True)
            connections.add(extra)
            connections.discard(extra)
            number += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            values = read(ConnectionCollector(lambda: connections, 512))
            assert values["bnn_connections{idle}"] == 500
    finally:
        over.set()
        thread.join()

"""Closed loops (clients that wait for their answers) and open loops (requests at fixed times)."""

import asyncio
import gc
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from loadtests.clients.http_client import Pool
from loadtests.clients.outcomes import Outcome, attempt
from loadtests.output.figures import measure_latencies

GIVE_UP_SECONDS = 60.0
#: If the generator uses more of one CPU than this share, it counts as the limit.
MAX_CPU_SHARE = 0.7


@dataclass
class GeneratorUse:
    """The CPU time of the generator, and the time that passed, in seconds."""

    cpu: float = 0.0
    wall: float = 0.0

    @property
    def share(self) -> float:
        """Of one CPU."""
        return self.cpu / self.wall if self.wall else 0.0


@contextmanager
def spare_collector() -> Iterator[None]:
    """Inside, the garbage collector passes over objects that existed before."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@dataclass
class ClosedRun:
    """What a closed loop found."""

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0  # from its first request to its last answer
    generator: GeneratorUse = field(default_factory=GeneratorUse)

    @property
    def rate(self) -> float:
        """Answers with status 200 a second."""
        good = sum(1 for outcome in self.outcomes if outcome.status == 200)
        return good / self.seconds if self.seconds else 0.0


async def run_closed_loop(
    pool: Pool,
    bodies: Sequence[bytes],
    concurrency: int,
    seconds: float,
    give_up: float = GIVE_UP_SECONDS,
) -> ClosedRun:
    """`concurrency` clients, each sending its next request when it has its answer.

    After `seconds` the current pass over the bodies is completed, so that each body is sent as
    often as the others; then all answers are awaited.
    """
    run, begun = ClosedRun(), 0

    async def be_client() -> None:
        nonlocal begun
        while perf_counter() < end or begun % len(bodies):
            now, body = perf_counter(), bodies[begun % len(bodies)]
            begun += 1
            outcome = await attempt(pool, body, now, give_up)
            run.outcomes.append(outcome)
            if outcome.lost:  # no hot loop on a server that refuses at once
                await asyncio.sleep(0.01)

    with spare_collector():
        cpu, began = time.process_time(), perf_counter()
        end = began + seconds
        await asyncio.gather(*(be_client() for _ in range(concurrency)))
        run.generator = GeneratorUse(time.process_time() - cpu, perf_counter() - began)
        run.seconds = max((o.ended for o in run.outcomes), default=began) - began
    return run


def plan_arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Times from 0 on at which requests of independent clients are due: a Poisson process."""
    if rate <= 0:
        raise ValueError(f"expected a rate above 0, found {rate}")
    gaps = random.Random(seed)
    moment = gaps.expovariate(rate)
    while moment < seconds:
        yield moment
        moment += gaps.expovariate(rate)


async def run_open_loop(fire: Callable[[float], Awaitable[None]], times: Iterable[float]) -> "Lag":
    """Calls `fire` at these times, without waiting for earlier calls; returns when all are over.

    `fire` is given the moment at which it was due (`perf_counter` seconds). Times are seconds from
    now on, in order. If this machine runs out of descriptors or ports, the result says so.
    """
    lag = Lag()

    async def call(due: float) -> None:
        try:
            await fire(due)
        except OSError as fault:
            lag.faults[str(fault.strerror or fault)] += 1

    async with asyncio.TaskGroup() as tasks:
        cpu, began = time.process_time(), perf_counter()
        for moment in times:
            due = began + moment
            # Yield even when late, so that answers are read in time.
            await asyncio.sleep(max(due - perf_counter(), 0.0))
            lag.seconds.append(perf_counter() - due)
            tasks.create_task(call(due))
        lag.generator = GeneratorUse(time.process_time() - cpu, perf_counter() - began)
    return lag


@dataclass
class Lag:
    """By how many seconds requests were sent later than they were due, and those never sent."""

    seconds: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    generator: GeneratorUse = field(default_factory=GeneratorUse)  # while it was sending

    @property
    def p99_ms(self) -> float:
        """Only one in a hundred was later than this."""
        return measure_latencies(self.seconds).p99_ms

    def judge(self, max_ms: float) -> list[str]:
        """Why the generator was the limit; empty if it was not."""
        reasons = [
            f"{count} requests could not be sent: {fault}; raise the limit (ulimit -n), or lower "
            "the rate"
            for fault, count in self.faults.items()
        ]
        if self.p99_ms > max_ms:
            reasons.append(
                f"requests were sent late: the 99th percentile of the lag is {self.p99_ms:.1f} ms, "
                f"{max_ms:g} ms are allowed; give the generator a CPU of its own"
            )
        return reasons + judge_cpu(self.generator)


def judge_cpu(use: GeneratorUse) -> list[str]:
    """Why the generator was the limit by its CPU time; empty if it was not."""
    if use.share <= MAX_CPU_SHARE:
        return []
    return [
        f"the generator used {use.share:.0%} of its CPU, {MAX_CPU_SHARE:.0%} are allowed: lower "
        "the rate"
    ]

"""Overloads one server: its best rate first, then several times as many requests."""

import argparse
import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from loadtests.clients.http_client import Pool
from loadtests.clients.images import EncodedImage
from loadtests.clients.loops import (
    GIVE_UP_SECONDS,
    Lag,
    plan_arrivals,
    run_closed_loop,
    run_open_loop,
    spare_collector,
)
from loadtests.clients.outcomes import Outcome, attempt, attempt_alone, select
from loadtests.clients.requests import DEADLINE_HEADER, build_classify
from loadtests.command_line.progress import Progress
from loadtests.errors import ServerFault
from loadtests.output.figures import Latencies, measure_latencies
from loadtests.overload.probes import ProbeLog, run_probes
from loadtests.overload.stalled import StalledClients
from loadtests.servers.sampling import Samples, sample_usage
from loadtests.servers.server import Server

KEPT, NEW = "kept", "new"
_CLOSED_LOOPS = (2, 8)  # clients; the better one is the best rate
_WARM_UP_SECONDS = 1.0
_SETTLE_SECONDS = 2.0  # of the open loop, before the rate of answers is counted


@dataclass
class OverloadRun:
    """What one server did under overload."""

    connections: str
    best_rate: float  # answers a second in a closed loop
    seconds: float  # of the open loop
    began: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    stalled: StalledClients | None = None
    probes: ProbeLog = field(default_factory=ProbeLog)
    samples: Samples = field(default_factory=Samples)
    lag: Lag = field(default_factory=Lag)
    answers_after: bool = False
    rss_after_bytes: int = 0

    @property
    def accepted(self) -> Latencies:
        """Of the answers with status 200, from the time they were due."""
        return measure_latencies(o.latency for o in select(self.outcomes, 200))

    @property
    def refused(self) -> Latencies:
        """Of the answers with status 429."""
        return measure_latencies(o.latency for o in select(self.outcomes, 429))

    @property
    def rate(self) -> float:
        """Answers with status 200 a second while the overload lasted, its beginning left out."""
        settle = min(_SETTLE_SECONDS, self.seconds / 4)
        begin, end = self.began + settle, self.began + self.seconds
        good = sum(begin <= o.ended < end for o in select(self.outcomes, 200))
        return good / (end - begin)

    @property
    def offered_rate(self) -> float:
        """Requests that were due, a second; those of stalled clients left out."""
        return len(self.outcomes) / self.seconds


async def overload(
    server: Server,
    connections: str,
    images: Sequence[EncodedImage],
    options: argparse.Namespace,
    progress: Progress,
) -> OverloadRun:
    """The best rate of a server, then several times as many requests. Raises ServerFault."""
    headers = {DEADLINE_HEADER: str(options.deadline_ms)}
    if connections == NEW:
        headers["Connection"] = "close"
    requests = [build_classify(image, options.form, headers) for image in images]
    progress.show(f"{connections} connections: the best rate")
    async with run_probes(server.address):
        best = await find_best_rate(
            server, [request.data for request in requests], options.capacity_seconds
        )
    run = OverloadRun(connections, best, options.seconds)
    progress.note(
        f"{connections} connections: best rate {best:.1f}/s; "
        f"{best * options.times:.1f}/s for {options.seconds:g} s"
    )
    bodies = itertools.cycle([request.data for request in requests])
    run.stalled = StalledClients(server.address, requests[0], options.give_up)
    pool, chance = Pool(server.address), random.Random(options.seed + 1)
    give_up: float = options.give_up

    async def fire(due: float) -> None:
        assert run.stalled is not None
        if chance.random() < options.stalled:
            await run.stalled.stall(due)
        elif connections == NEW:
            run.outcomes.append(await attempt_alone(server.address, next(bodies), due, give_up))
        else:
            run.outcomes.append(await attempt(pool, next(bodies), due, give_up))

    times = plan_arrivals(best * options.times, options.seconds, options.seed)
    async with (
        sample_usage(server) as run.samples,
        run_probes(server.address) as run.probes,
    ):
        with spare_collector():
            run.began = perf_counter()
            asyncio.get_running_loop().call_later(options.seconds, run.stalled.end)
            run.lag = await run_open_loop(fire, times)
    pool.close()
    await _look_afterwards(server, run, requests[0].data)
    return run


async def find_best_rate(
    server: Server, bodies: Sequence[bytes], seconds: float, warm_up: float = _WARM_UP_SECONDS
) -> float:
    """Answers a second in the better of two closed loops. Raises ServerFault if none comes."""
    pool = Pool(server.address)
    await run_closed_loop(pool, bodies, max(_CLOSED_LOOPS), warm_up)
    best = 0.0
    for clients in _CLOSED_LOOPS:
        best = max(best, (await run_closed_loop(pool, bodies, clients, seconds)).rate)
    pool.close()
    if not best:
        raise ServerFault(
            "expected answers with status 200 from an idle service, found none; its log ends "
            f"with:\n{server.read_log()}"
        )
    return best


async def _look_afterwards(server: Server, run: OverloadRun, data: bytes) -> None:
    """When all is over: does it answer, and what memory does it keep?"""
    await asyncio.sleep(1.0)
    outcome = await attempt_alone(server.address, data, perf_counter(), GIVE_UP_SECONDS)
    run.answers_after = outcome.status == 200
    run.rss_after_bytes = server.read_usage().rss_bytes if server.alive else 0

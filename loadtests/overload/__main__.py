"""Overload: what a service does with more requests than it can answer.

First a closed loop finds the best rate of the same requests beside the same probes. Then an open
loop sends several times as many, at times that do not depend on answers, and latencies count from
the time a request was due. The probes run on connections of their own, and the server's memory is
sampled. Each way to connect gets a fresh server.
"""

import argparse
import asyncio
import itertools
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from loadtests.clients.http_client import Pool
from loadtests.clients.images import JPEG_SIZES, Picture, generate_jpegs, read_photos
from loadtests.clients.loops import (
    GIVE_UP_SECONDS,
    Lag,
    plan_arrivals,
    run_closed_loop,
    run_open_loop,
    spare_collector,
)
from loadtests.clients.outcomes import (
    DEADLINE_HEADER,
    Outcome,
    attempt,
    attempt_alone,
    build_classify,
    select,
)
from loadtests.command_line.options import (
    choose_cpus,
    choose_service,
    describe_options,
    make_parser,
    parse_count,
    parse_positive,
    run_tool,
)
from loadtests.command_line.progress import Progress
from loadtests.errors import ServerFault
from loadtests.output.figures import Latencies, measure_latencies
from loadtests.output.report import Report
from loadtests.overload.probes import ProbeLog, run_probes
from loadtests.overload.report import add_results
from loadtests.overload.stalled import StalledClients
from loadtests.servers.sampling import Samples, sample_usage
from loadtests.servers.server import Server

KEPT, NEW = "kept", "new"
_COUNTS = {"tiny": 1, "photo": 8, "phone": 3}
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _build_parser().parse_args(arguments)
    server_cpus, client_cpus = choose_cpus(options)
    return run_tool(lambda: _run(options, server_cpus), client_cpus)


async def _run(options: argparse.Namespace, server_cpus: Sequence[int]) -> int:
    spec = choose_service(options)
    progress = Progress()
    report = Report(f"Overload of {spec.name}", describe_options(options))
    pictures = (
        read_photos(options.photos)
        if options.photos
        else generate_jpegs(options.seed, _COUNTS[options.images], JPEG_SIZES[options.images])
    )
    runs = []
    for connections in options.connections:
        progress.note(f"{connections} connections: starting {spec.name}")
        with Server(spec, server_cpus) as server:
            await server.wait_until_ready()
            runs.append(await _overload(server, connections, pictures, options, progress))
    add_results(report, spec, runs, options)
    progress.clear()
    return report.write(options.json, options.markdown)


async def _overload(
    server: Server,
    connections: str,
    pictures: Sequence[Picture],
    options: argparse.Namespace,
    progress: Progress,
) -> OverloadRun:
    headers = {DEADLINE_HEADER: str(options.deadline_ms)}
    if connections == NEW:
        headers["Connection"] = "close"
    requests = [build_classify(picture, options.form, headers) for picture in pictures]
    progress.show(f"{connections} connections: the best rate")
    async with run_probes(server.address):
        best = await _find_best_rate(
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


async def _find_best_rate(server: Server, bodies: Sequence[bytes], seconds: float) -> float:
    """Answers a second in the better of two closed loops. Raises ServerFault if none comes."""
    pool = Pool(server.address)
    await run_closed_loop(pool, bodies, max(_CLOSED_LOOPS), _WARM_UP_SECONDS)
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


def _build_parser() -> argparse.ArgumentParser:
    parser = make_parser("overload", __doc__ or "")
    parser.add_argument("--times", type=parse_positive, default=5.0, help="of the best rate")
    parser.add_argument("--seconds", type=parse_positive, default=60.0, help="of the overload")
    parser.add_argument(
        "--capacity-seconds", type=parse_positive, default=4.0, help="of each closed loop"
    )
    parser.add_argument(
        "--connections",
        nargs="+",
        choices=(KEPT, NEW),
        default=[KEPT, NEW],
        help="each request on a kept connection that is free, or on a new one",
    )
    parser.add_argument(
        "--images",
        choices=JPEG_SIZES,
        default="photo",
        help="generated JPEGs: tiny 73 pixels wide, photo 512, phone 12 megapixels",
    )
    parser.add_argument("--photos", type=Path, metavar="DIR", help="instead of generated ones")
    parser.add_argument("--form", action="store_true", help="send forms, not bare files")
    parser.add_argument(
        "--stalled",
        type=parse_share,
        default=0.0,
        metavar="SHARE",
        help="of the clients that stop in the middle of their body, as 0.5",
    )
    parser.add_argument("--seed", type=int, default=1, help="of images and times")
    parser.add_argument(
        "--deadline-ms", type=parse_count, default=3000, help=f"sent as {DEADLINE_HEADER}"
    )
    parser.add_argument(
        "--give-up",
        type=parse_positive,
        default=GIVE_UP_SECONDS,
        metavar="S",
        help="seconds after which a client stops waiting (default 60)",
    )
    group = parser.add_argument_group("thresholds")
    group.add_argument("--memory-budget", type=parse_count, metavar="BYTES", help="of the RSS peak")
    group.add_argument("--max-refusal-ms", type=float, default=50.0, help="p99 of 429 (50)")
    group.add_argument("--max-probe-ms", type=float, default=100.0, help="of any probe (100)")
    group.add_argument("--min-rate", type=float, default=0.9, help="of the best rate (0.9)")
    group.add_argument("--max-lag-ms", type=float, default=20.0, help="p99 of the generator's lag")
    return parser


def parse_share(text: str) -> float:
    """0 to 1; for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share of 0 to 1; found {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())

"""Soak: many varied requests, and whether memory, descriptors and threads stay level meanwhile.

Images of many sizes and formats, damaged and forged ones, broken forms, uploads that are cut off,
clients that leave early, slow bodies, probes. Each kind has statuses that are right for it; any
other one is counted and makes the run fail.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from loadtests.clients.asking import ask, ask_json
from loadtests.clients.http_client import Pool
from loadtests.clients.loops import spare_collector
from loadtests.command_line.options import (
    choose_cpus,
    choose_service,
    describe_options,
    make_parser,
    parse_count,
    parse_positive,
    parse_result,
    run_tool,
)
from loadtests.command_line.progress import Progress
from loadtests.errors import ServerFault
from loadtests.output.report import Report
from loadtests.servers.processes import ProcessGone, Usage
from loadtests.servers.server import Server
from loadtests.soak.files import make_bad, make_good, make_too_long
from loadtests.soak.plot import draw_usage
from loadtests.soak.report import SoakRun, add_results
from loadtests.soak.requests import Mix, find_batch, send

_SAMPLES = 400  # of the usage, over the whole run
_SETTLE_SECONDS = 3.0


@dataclass
class _Soak:
    """One run: who counts what."""

    server: Server
    mix: Mix
    requests: int
    run: SoakRun = field(default_factory=SoakRun)
    begun: int = 0

    async def be_client(self, pool: Pool) -> None:
        """Sends until all requests are begun, or the server is gone. Raises OSError."""
        while self.begun < self.requests and self.server.alive:
            self.begun += 1
            planned = self.mix.draw()
            label, right = await send(pool, planned)
            self.run.labels.setdefault(planned.kind, Counter())[label] += 1
            if not right:
                self.run.wrong[f"{planned.kind}: {label}"] += 1
            self.run.done += 1

    def sample(self) -> None:
        """Notes the usage now."""
        try:
            usage = self.server.read_usage()
        except ProcessGone:
            return
        self.run.points.append((self.run.done, perf_counter() - self.run.began, usage))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _build_parser().parse_args(arguments)
    server_cpus, client_cpus = choose_cpus(options)
    return run_tool(lambda: _run(options, server_cpus), client_cpus)


async def _run(options: argparse.Namespace, server_cpus: Sequence[int]) -> int:
    spec = choose_service(options)
    progress = Progress()
    report = Report(f"Soak of {spec.name}", describe_options(options))
    with Server(spec, server_cpus) as server:
        await server.wait_until_ready()
        address = str(server.address)
        openapi = await asyncio.to_thread(ask_json, address, "/openapi.json")
        info = await asyncio.to_thread(ask_json, address, "/info")
        bad = [*make_bad(options.seed), make_too_long(_read_limit(info))]
        batch = find_batch(openapi)
        mix = Mix(make_good(options.seed), bad, batch, options.seed)
        soak = _Soak(server, mix, options.requests)
        await _soak(soak, options.clients, progress)
    run = soak.run
    add_results(report, spec, run, options.max_growth)
    if options.plot:
        report.paragraphs.append(draw_usage(run.points, options.plot))
    progress.clear()
    return report.write(options.json, options.markdown)


async def _soak(soak: _Soak, clients: int, progress: Progress) -> None:
    server, run = soak.server, soak.run
    run.before = server.read_usage()
    run.began = perf_counter()
    pool = Pool(server.address)
    every = max(soak.requests // _SAMPLES, 1)

    async def watch() -> None:
        following = 0
        while True:
            if run.done >= following:
                soak.sample()
                following = run.done + every
            share = run.done / soak.requests
            progress.show(
                f"{run.done}/{soak.requests} requests ({share:.0%}), {run.wrong.total()} wrong"
            )
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    try:
        with spare_collector():
            await asyncio.gather(*(soak.be_client(pool) for _ in range(clients)))
    finally:
        watching.cancel()
    soak.sample()
    pool.close()
    await asyncio.sleep(_SETTLE_SECONDS)
    run.alive = server.alive
    run.after = server.read_usage() if run.alive else Usage(0, 0, 0, 0)
    if run.alive:
        try:
            status, _ = await asyncio.to_thread(ask, str(server.address), "/readyz")
            run.ready_after = status == 200
        except ServerFault:
            run.ready_after = False


def _read_limit(info: Any) -> int:
    """The bytes of a body that the service takes, as it says itself. Raises ServerFault."""
    try:
        return int(info["limits"]["max_body_bytes"])
    except (ValueError, KeyError, TypeError) as fault:
        raise ServerFault(
            "expected limits.max_body_bytes in /info, found none; is this the service?"
        ) from fault


def _build_parser() -> argparse.ArgumentParser:
    parser = make_parser("soak", __doc__ or "")
    parser.add_argument("--requests", type=parse_count, default=100_000, metavar="N")
    parser.add_argument("--clients", type=parse_count, default=8, metavar="N")
    parser.add_argument("--seed", type=int, default=1, help="of images and of their order")
    parser.add_argument(
        "--max-growth",
        type=parse_positive,
        default=0.05,
        metavar="SHARE",
        help="of RSS, descriptors, threads after the first tenth (0.05)",
    )
    parser.add_argument(
        "--plot",
        type=parse_result,
        metavar="FILE",
        help="draw usage over time (SVG or PNG; matplotlib)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

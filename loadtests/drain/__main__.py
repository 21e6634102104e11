"""Drain: what happens to clients when the service is told to end while they use it.

For each kind of client a fresh server; SIGTERM in the middle. Every request is followed to its end:
answered, refused in order (503, 429), or lost. Clients behave as clients do: they keep a connection
until an answer says that it is closed, then open another one, and stop when nobody accepts it.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import Sequence
from time import perf_counter

from loadtests.clients.http_client import Address
from loadtests.clients.images import JPEG_SIZES, generate_jpegs
from loadtests.clients.outcomes import build_classify
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
from loadtests.drain.clients import KINDS, Clients, DrainLog, Fate
from loadtests.drain.nginx import Nginx, find_nginx
from loadtests.drain.report import Drained, add_results
from loadtests.output.report import Report
from loadtests.servers.server import Server, ServerSpec

DIRECT, BUFFERED, UNBUFFERED = "direct", "nginx", "nginx, request buffering off"
_GRACE_MS = 30_000  # where none is given: what Kubernetes waits
_SLACK_SECONDS = 5.0
_WARM_UP_REQUESTS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _build_parser().parse_args(arguments)
    server_cpus, client_cpus = choose_cpus(options)
    return run_tool(lambda: _run(options, server_cpus, client_cpus), client_cpus)


async def _run(
    options: argparse.Namespace, server_cpus: Sequence[int], client_cpus: Sequence[int]
) -> int:
    spec = choose_service(options, _make_environment(options))
    progress = Progress()
    report = Report(f"Drain of {spec.name}", describe_options(options))
    fronts = [DIRECT]
    if options.nginx:
        fronts += [BUFFERED, UNBUFFERED]
        if find_nginx() is None:
            fronts = [DIRECT]
            text = "NOT RUN: the scenarios behind nginx. Install it: apt-get install nginx-light"
            progress.note(text)
            report.paragraphs.append(f"**{text}**")
    found = []
    for front in fronts:
        for kind in options.kinds:
            progress.note(f"{front}, {kind}: {options.clients} clients")
            found.append(await _drain(spec, front, kind, options, server_cpus, client_cpus))
    add_results(report, spec, found, _limit_exit(options))
    progress.clear()
    return report.write(options.json, options.markdown)


def _make_environment(options: argparse.Namespace) -> dict[str, str]:
    given = {"BNN_DRAIN_DELAY_MS": options.drain_delay_ms, "BNN_GRACE_MS": options.grace_ms}
    return {name: str(value) for name, value in given.items() if value is not None}


def _limit_exit(options: argparse.Namespace) -> float:
    """Seconds from SIGTERM to the end that are allowed."""
    if options.exit_within:
        return float(options.exit_within)
    grace = _GRACE_MS if options.grace_ms is None else options.grace_ms
    return ((options.drain_delay_ms or 0) + grace) / 1000 + _SLACK_SECONDS


async def _drain(
    spec: ServerSpec,
    front: str,
    kind: str,
    options: argparse.Namespace,
    server_cpus: Sequence[int],
    client_cpus: Sequence[int],
) -> Drained:
    with contextlib.ExitStack() as running:
        server = running.enter_context(Server(spec, server_cpus))
        await server.wait_until_ready()
        address = server.address
        if front != DIRECT:
            nginx = running.enter_context(Nginx(address, front == BUFFERED, client_cpus))
            await nginx.wait_until_ready()
            address = nginx.address
        return await _follow(server, address, front, kind, options)


async def _follow(
    server: Server, address: Address, front: str, kind: str, options: argparse.Namespace
) -> Drained:
    pictures = generate_jpegs(options.seed, 4, JPEG_SIZES[options.images])
    requests = [build_classify(picture, options.form) for picture in pictures]
    log = DrainLog()
    clients = Clients(address, requests, log, random.Random(options.seed), options.think_ms / 1000)
    await clients.warm_up(_WARM_UP_REQUESTS)
    tasks = [asyncio.create_task(clients.be(kind)) for _ in range(options.clients)]
    watching = asyncio.create_task(clients.watch_readiness(server.address))
    end = perf_counter() + options.after
    while perf_counter() < end and not (
        kind == "burst" and log.before[Fate.ANSWERED] >= options.clients // 2
    ):
        await asyncio.sleep(0.005)
    server.signal(signal.SIGTERM)
    log.told = perf_counter()
    status = await server.wait_for_end(_limit_exit(options) + _SLACK_SECONDS)
    seconds = perf_counter() - log.told
    log.over = True
    for task in (*tasks, watching):
        await task
    return Drained(front, kind, log, status, seconds)


def _build_parser() -> argparse.ArgumentParser:
    parser = make_parser("drain", __doc__ or "")
    parser.add_argument("--clients", type=parse_count, default=300, metavar="N")
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=KINDS,
        default=list(KINDS),
        help="loop: one request after another on a kept connection; think: with pauses; connect: a "
        "new connection for each request; burst: one request each, all at once",
    )
    parser.add_argument("--think-ms", type=parse_positive, default=50.0, help="mean pause of think")
    parser.add_argument(
        "--after",
        type=parse_positive,
        default=2.0,
        metavar="S",
        help="seconds until SIGTERM; a burst "
        "gets it when half of it is answered, if that is sooner",
    )
    parser.add_argument("--nginx", action="store_true", help="also behind nginx, twice")
    parser.add_argument("--drain-delay-ms", type=parse_ms, metavar="MS", help="BNN_DRAIN_DELAY_MS")
    parser.add_argument("--grace-ms", type=parse_ms, metavar="MS", help="BNN_GRACE_MS")
    parser.add_argument("--images", choices=JPEG_SIZES, default="photo")
    parser.add_argument("--form", action="store_true", help="send forms, not bare files")
    parser.add_argument("--seed", type=int, default=1, help="of images and pauses")
    parser.add_argument(
        "--exit-within",
        type=parse_positive,
        metavar="S",
        help="seconds from SIGTERM to the end (default: delay + grace, 30 s if not given, + 5)",
    )
    return parser


def parse_ms(text: str) -> int:
    """Milliseconds, from 0 on; for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected milliseconds from 0 on; found {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

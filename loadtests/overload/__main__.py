"""Overload: what a service does with more requests than it can answer.

First a closed loop finds the best rate of the same requests beside the same probes. Then an open
loop sends several times as many, at times that do not depend on answers, and latencies count from
the time a request was due. The probes run on connections of their own, and the server's memory is
sampled. Each way to connect gets a fresh server.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtests.clients.images import SIZES, describe_sizes, generate_jpegs, read_photos
from loadtests.clients.loops import (
    GIVE_UP_SECONDS,
)
from loadtests.clients.requests import DEADLINE_HEADER
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
from loadtests.output.report import Report
from loadtests.overload.report import add_results
from loadtests.overload.run import KEPT, NEW, overload
from loadtests.servers.server import Server

_COUNTS = {"tiny": 1, "phone": 3}  # of different images; others: 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _build_parser().parse_args(arguments)
    server_cpus, client_cpus = choose_cpus(options)
    return run_tool(lambda: _run(options, server_cpus), client_cpus)


async def _run(options: argparse.Namespace, server_cpus: Sequence[int]) -> int:
    spec = choose_service(options)
    progress = Progress()
    report = Report(f"Overload of {spec.name}", describe_options(options))
    images = (
        read_photos(options.photos)
        if options.photos
        else generate_jpegs(options.seed, _COUNTS.get(options.images, 8), SIZES[options.images])
    )
    runs = []
    for connections in options.connections:
        progress.note(f"{connections} connections: starting {spec.name}")
        with Server(spec, server_cpus) as server:
            await server.wait_until_ready()
            runs.append(await overload(server, connections, images, options, progress))
    add_results(report, spec, runs, options)
    progress.clear()
    return report.write(options.json, options.markdown)


def _build_parser() -> argparse.ArgumentParser:
    parser = make_parser("overload", __doc__ or "")
    parser.add_argument(
        "--times",
        type=parse_positive,
        default=5.0,
        help="rate of the overload, as a multiple of the best rate (5)",
    )
    parser.add_argument(
        "--seconds", type=parse_positive, default=60.0, help="seconds of the overload (60)"
    )
    parser.add_argument(
        "--capacity-seconds",
        type=parse_positive,
        default=4.0,
        help="seconds of each closed loop (4)",
    )
    parser.add_argument(
        "--connections",
        nargs="+",
        choices=(KEPT, NEW),
        default=[KEPT, NEW],
        help="send each request on a free kept connection, or on a new one",
    )
    parser.add_argument(
        "--images",
        choices=SIZES,
        default="photo",
        help=f"generated JPEGs: {describe_sizes()}",
    )
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="send these photos instead of generated ones"
    )
    parser.add_argument("--form", action="store_true", help="send forms, not bare files")
    parser.add_argument(
        "--stalled",
        type=parse_share,
        default=0.0,
        metavar="SHARE",
        help="share of clients that stop in the middle of their body, such as 0.5",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of images and times")
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
    group.add_argument("--memory-budget", type=parse_count, metavar="BYTES", help="max RSS peak")
    group.add_argument(
        "--max-refusal-ms", type=float, default=50.0, help="max p99 of 429 answers (50)"
    )
    group.add_argument(
        "--max-probe-ms", type=float, default=100.0, help="max latency of a probe (100)"
    )
    group.add_argument(
        "--min-rate", type=float, default=0.9, help="min share of the best rate (0.9)"
    )
    group.add_argument(
        "--max-lag-ms", type=float, default=20.0, help="max p99 of the generator's lag (20)"
    )
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

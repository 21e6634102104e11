"""Soak: many varied requests, and whether memory, descriptors and threads stay level meanwhile.

Images of many sizes and formats, damaged and forged ones, broken forms, uploads that are cut off,
clients that leave early, slow bodies, probes. Each kind has statuses that are right for it; any
other one is counted and makes the run fail.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from loadtests.clients.asking import ask_json
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
from loadtests.output.report import Report
from loadtests.servers.server import Server
from loadtests.soak.files import make_bad, make_good, make_too_long
from loadtests.soak.plot import draw_usage
from loadtests.soak.report import add_results
from loadtests.soak.requests import Mix, find_batch
from loadtests.soak.run import Soak, read_limit, soak_server


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
        bad = [*make_bad(options.seed), make_too_long(read_limit(info))]
        batch = find_batch(openapi)
        mix = Mix(make_good(options.seed), bad, batch, options.seed)
        soak = Soak(server, mix, options.requests)
        await soak_server(soak, options.clients, progress)
    run = soak.run
    add_results(report, spec, run, options.max_growth)
    if options.plot:
        draw_usage(run.points, options.plot)
        report.paragraphs.append(f"Plot: {options.plot.name}.")
    progress.clear()
    return report.write(options.json, options.markdown)


def _build_parser() -> argparse.ArgumentParser:
    parser = make_parser("soak", __doc__ or "")
    parser.add_argument("--requests", type=parse_count, default=100_000, metavar="N")
    parser.add_argument("--clients", type=parse_count, default=8, metavar="N")
    parser.add_argument("--seed", type=int, default=1, help="seed of images and of their order")
    parser.add_argument(
        "--max-growth",
        type=parse_positive,
        default=0.05,
        metavar="SHARE",
        help="max growth of RSS, descriptors, threads after the first tenth (0.05)",
    )
    parser.add_argument(
        "--plot",
        type=parse_result,
        metavar="FILE",
        help="draw usage over time: SVG or PNG",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

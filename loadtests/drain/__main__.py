"""Drain: what happens to clients when the service is told to end while they use it.

For each kind of client a fresh server; SIGTERM in the middle. Every request is followed to its end:
answered, refused in order (503, 429), or lost. Clients behave as clients do: they keep a connection
until an answer says that it is closed, then open another one, and stop when nobody accepts it.
"""

import argparse
import sys
from collections.abc import Sequence

from loadtests.clients.images import SIZES, describe_sizes
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
from loadtests.drain.clients import KINDS
from loadtests.drain.nginx import find_nginx
from loadtests.drain.report import add_results
from loadtests.drain.run import BUFFERED, DIRECT, UNBUFFERED, drain, limit_exit
from loadtests.output.report import Report


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
            found.append(await drain(spec, front, kind, options, server_cpus, client_cpus))
    add_results(report, spec, found, limit_exit(options))
    progress.clear()
    return report.write(options.json, options.markdown)


def _make_environment(options: argparse.Namespace) -> dict[str, str]:
    given = {"BNN_DRAIN_DELAY_MS": options.drain_delay_ms, "BNN_GRACE_MS": options.grace_ms}
    return {name: str(value) for name, value in given.items() if value is not None}


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
        help="seconds until SIGTERM; a burst gets it earlier, if half of it is answered",
    )
    parser.add_argument("--nginx", action="store_true", help="also behind nginx, twice")
    parser.add_argument("--drain-delay-ms", type=parse_ms, metavar="MS", help="BNN_DRAIN_DELAY_MS")
    parser.add_argument("--grace-ms", type=parse_ms, metavar="MS", help="BNN_GRACE_MS")
    parser.add_argument(
        "--images",
        choices=SIZES,
        default="photo",
        help=f"generated JPEGs: {describe_sizes()}",
    )
    parser.add_argument("--form", action="store_true", help="send forms, not bare files")
    parser.add_argument("--seed", type=int, default=1, help="seed of images and pauses")
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

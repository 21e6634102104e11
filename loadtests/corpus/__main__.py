"""Corpus: posts every file of folders, and reports statuses, the slowest files, and faults.

For folders of odd, damaged or hostile files. The run fails if any answer is 500, 501 or 502, if a
file has no answer in time, or if the service does not classify afterwards. Which status is right
for a file is not checked.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from loadtests.clients.http_client import Address, Pool
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
from loadtests.corpus.report import add_results
from loadtests.corpus.run import classify_good, list_files, post_all
from loadtests.errors import WrongUsage
from loadtests.output.report import Report
from loadtests.servers.server import Server


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _build_parser().parse_args(arguments)
    server_cpus, client_cpus = choose_cpus(options)
    return run_tool(lambda: _run(options, server_cpus), client_cpus)


async def _run(options: argparse.Namespace, server_cpus: Sequence[int]) -> int:
    paths = list(list_files(options.folders))
    progress = Progress()
    report = Report("Corpus", describe_options(options))
    with ExitStack() as running:
        server = None
        if options.url:
            address = parse_url(options.url)
        else:
            server = running.enter_context(Server(choose_service(options), server_cpus))
            await server.wait_until_ready()
            address = server.address
        posted = await post_all(Pool(address), paths, options, progress)
        after = await classify_good(address, options)
        usage = server.read_usage() if server is not None and server.alive else None
    add_results(report, posted, after, usage)
    progress.clear()
    return report.write(options.json, options.markdown)


def parse_url(text: str) -> Address:
    """http://HOST:PORT. Raises WrongUsage."""
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
        raise WrongUsage(f"expected http://HOST:PORT, found {text!r}")
    return Address(parts.hostname, parts.port or 80)


def _build_parser() -> argparse.ArgumentParser:
    parser = make_parser("corpus", __doc__ or "")
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="folders of files, with their sub-folders",
    )
    parser.add_argument(
        "--url", metavar="URL", help="address of a running service, http://HOST:PORT"
    )
    parser.add_argument(
        "--clients",
        type=parse_count,
        default=1,
        metavar="N",
        help="number of concurrent clients (1)",
    )
    parser.add_argument("--form", action="store_true", help="send forms, not bare files")
    parser.add_argument(
        "--give-up",
        type=parse_positive,
        default=60.0,
        metavar="S",
        help="seconds to wait for an answer (60)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Corpus: posts every file of folders, and tells statuses, the slowest files, and faults.

For folders of odd, damaged or hostile files. Any answer 500, 501, 502, any file without an answer
in time, and a service that does not classify afterwards make the run fail; which status is right
for a file is not known here.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

from loadtests.clients.http_client import Address, Pool
from loadtests.clients.images import build_image, generate_jpegs
from loadtests.clients.outcomes import Outcome, attempt, build_classify
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
from loadtests.errors import WrongUsage
from loadtests.output.figures import LATENCY_HEAD, format_ms, measure_latencies
from loadtests.output.report import Check, Report, check_at_most
from loadtests.servers.processes import Usage, format_bytes
from loadtests.servers.server import Server

_SHOWN = 10  # of the slowest
_FAULTS_SHOWN = 50
_IN_ORDER = frozenset({503, 504})  # the service refuses, it does not fail


@dataclass(frozen=True)
class Posted:
    """A file and what became of it."""

    path: Path
    size: int  # bytes
    outcome: Outcome

    @property
    def kind(self) -> str:
        """By the ending of its name."""
        return self.path.suffix.lower() or "(none)"

    @property
    def faulty(self) -> bool:
        """Whether the service failed, rather than refused."""
        status = self.outcome.status
        return bool(self.outcome.lost) or (status >= 500 and status not in _IN_ORDER)


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
        posted = await _post_all(Pool(address), paths, options, progress)
        after = await _classify_good(address, options)
        usage = server.read_usage() if server is not None and server.alive else None
    _add_results(report, posted, after, usage)
    progress.clear()
    return report.write(options.json, options.markdown)


async def _post_all(
    pool: Pool, paths: Sequence[Path], options: argparse.Namespace, progress: Progress
) -> list[Posted]:
    posted: list[Posted] = []
    waiting = iter(paths)

    async def be_client() -> None:
        for path in waiting:
            data = path.read_bytes()
            request = build_classify(build_image(path.name, data), options.form)
            outcome = await attempt(pool, request.data, perf_counter(), options.give_up)
            posted.append(Posted(path, len(data), outcome))
            progress.show(f"{len(posted)}/{len(paths)} files, {path.name}")

    await asyncio.gather(*(be_client() for _ in range(options.clients)))
    pool.close()
    return posted


async def _classify_good(address: Address, options: argparse.Namespace) -> Outcome:
    """An ordinary image, when all is over."""
    (image,) = generate_jpegs(1, 1, (512, 384))
    pool = Pool(address)
    data = build_classify(image, options.form).data
    outcome = await attempt(pool, data, perf_counter(), options.give_up)
    pool.close()
    return outcome


def _add_results(
    report: Report, posted: Sequence[Posted], after: Outcome, usage: Usage | None
) -> None:
    counts: dict[str, Counter[str]] = {}
    for each in posted:
        counts.setdefault(each.kind, Counter())[each.outcome.label] += 1
    report.add_table(
        "Answers by the ending of the name:",
        ["ending", "files", "answers"],
        [
            [kind, str(c.total()), ", ".join(f"{label}: {n}" for label, n in c.most_common())]
            for kind, c in sorted(counts.items())
        ],
    )
    latencies = measure_latencies(each.outcome.latency for each in posted)
    report.add_table("Latency:", LATENCY_HEAD, [latencies.cells()])
    slowest = sorted(posted, key=lambda each: each.outcome.latency, reverse=True)[:_SHOWN]
    report.add_table("The slowest:", ["file", "bytes", "ms", "answer"], [_row(e) for e in slowest])
    faults = [each for each in posted if each.faulty]
    if faults:
        rows = [_row(each) for each in faults[:_FAULTS_SHOWN]]
        report.add_table("Faults:", ["file", "bytes", "ms", "answer"], rows)
    if usage is not None:
        report.paragraphs.append(
            f"RSS afterwards {format_bytes(usage.rss_bytes)} MiB, largest "
            f"{format_bytes(usage.peak_bytes)} MiB, descriptors {usage.descriptors}, threads "
            f"{usage.threads}."
        )
    errors = sum(1 for e in faults if not e.outcome.lost)
    report.checks += [
        check_at_most("answers 500, 501, 502, ...", errors, 0),
        check_at_most("files without an answer", len(faults) - errors, 0),
        Check("an ordinary image afterwards", after.label, "200", after.status == 200),
    ]
    report.data = {
        "files": len(posted),
        "answers": {kind: dict(c) for kind, c in counts.items()},
        "slowest": [_to_json(each) for each in slowest],
        "faults": [_to_json(each) for each in faults],
        "rss_bytes": usage.rss_bytes if usage else None,
        "peak_bytes": usage.peak_bytes if usage else None,
    }


def _row(each: Posted) -> list[str]:
    ms = format_ms(each.outcome.latency * 1000)
    return [each.path.name.replace("|", "/"), str(each.size), ms, each.outcome.label]


def _to_json(each: Posted) -> dict[str, object]:
    ms = round(each.outcome.latency * 1000, 2)
    return {"file": str(each.path), "bytes": each.size, "ms": ms, "answer": each.outcome.label}


def list_files(folders: Sequence[Path]) -> Iterator[Path]:
    """Every file below the folders, in order. Raises WrongUsage if there is none."""
    found = False
    for folder in folders:
        if not folder.is_dir():
            raise WrongUsage(f"expected a folder, found none at {folder}")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found = True
                yield path
    if not found:
        raise WrongUsage("expected files in the folders, found none")


def parse_url(text: str) -> Address:
    """http://HOST:PORT. Raises WrongUsage."""
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
        raise WrongUsage(f"expected http://HOST:PORT, found {text!r}")
    return Address(parts.hostname, parts.port or 80)


def _build_parser() -> argparse.ArgumentParser:
    parser = make_parser("corpus", __doc__ or "")
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="with all below them")
    parser.add_argument("--url", metavar="URL", help="of a running service, http://HOST:PORT")
    parser.add_argument("--clients", type=parse_count, default=1, metavar="N", help="at once (1)")
    parser.add_argument("--form", action="store_true", help="send forms, not bare files")
    parser.add_argument(
        "--give-up", type=parse_positive, default=60.0, metavar="S", help="seconds (default 60)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

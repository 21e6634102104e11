"""Resident memory: of what it consists, how high it goes under load, and what others take.

The slim service (native engine, neither torch nor ONNX Runtime in it) is built up step by step in a
process of its own, and its memory read after each step. Then it is started as it is served, beside
the same service with other engines and beside other servers, one after the other: idle, and under
closed loops of photos up to one megapixel, until the peak does not rise any more.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.clients.http_client import Pool
from loadtests.clients.images import Picture, read_photos
from loadtests.clients.loops import run_closed_loop
from loadtests.clients.outcomes import build_classify, count_labels
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
from loadtests.memory.photos import generate_photos
from loadtests.memory.report import add_results
from loadtests.memory.sides import NAMES, SERVICES, SLIM, Networks, Side, describe_side
from loadtests.output.report import Report
from loadtests.servers.baseline import measure_server_no_model
from loadtests.servers.processes import Usage, format_bytes
from loadtests.servers.sampling import sample_usage
from loadtests.servers.server import ROOT, Server
from loadtests.servers.smaps import Memory, list_libraries, read_mapped, read_memory
from loadtests.servers.steps import Breakdown, break_down

_SETTLE_SECONDS = 5.0  # idle: the service gives back what is free after two
_PERIOD_SECONDS = 0.05
_WEIGHTS = "packed.safetensors"
_HEAVY = ("libtorch", "onnxruntime")


@dataclass
class Load:
    """A closed loop of so many clients: the peak so far at the end of each slice, images/s."""

    clients: int
    peaks: list[int] = field(default_factory=list)
    answers: int = 0
    seconds: float = 0.0

    @property
    def peak(self) -> int:
        """Bytes."""
        return self.peaks[-1]

    def is_level(self, growth: float) -> bool:
        """Whether the last two slices have raised the peak by no more than this share."""
        return len(self.peaks) > 2 and self.peaks[-1] <= self.peaks[-3] * (1 + growth)


@dataclass
class Measured:
    """What a server was found to take."""

    side: Side
    breakdown: Breakdown | None
    no_model: int
    idle: Memory
    usage: Usage
    heavy: list[str]
    mapped_weights: int
    loads: list[Load] = field(default_factory=list)
    after: int = 0

    @property
    def peak(self) -> int:
        """The highest, bytes."""
        return max(load.peak for load in self.loads)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    options = _build_parser().parse_args(arguments)
    server_cpus, client_cpus = choose_cpus(options)
    return run_tool(lambda: _run(options, server_cpus), client_cpus)


async def _run(options: argparse.Namespace, cpus: Sequence[int]) -> int:
    service = choose_service(options)
    networks = Networks(options.network, options.mobilenet)
    own = {k: v for k, v in service.environment.items() if k not in ("BNN_HOST", "BNN_PORT")}
    names = dict.fromkeys([*(options.side or SERVICES), *options.peer])
    sides = [
        describe_side(name, service.command[0], service.folder, networks, own) for name in names
    ]
    pictures = read_photos(options.photos) if options.photos else generate_photos(options.seed)
    report = Report("Resident memory", describe_options(options))
    progress = Progress()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        files = _write_files(pictures, Path(folder))
        for side in sides:
            progress.note(f"{side.name}: starting")
            found.append(await _measure(side, pictures, files, options, cpus, progress))
    add_results(report, found, pictures, options)
    progress.clear()
    return report.write(options.json, options.markdown)


async def _measure(
    side: Side,
    pictures: Sequence[Picture],
    files: Sequence[Path],
    options: argparse.Namespace,
    cpus: Sequence[int],
    progress: Progress,
) -> Measured:
    """Raises ServerFault."""
    breakdown = None
    if side.engine is not None:
        breakdown = await break_down(
            side.spec.command[0],
            side.spec.folder,
            side.engine,
            side.spec.environment,
            files=files if side.name == SLIM else (),
            cpus=cpus,
        )
        no_model = breakdown.without_model.rss
    else:
        no_model = await measure_server_no_model(side.spec, cpus)
    with Server(side.spec, cpus) as server:
        await server.wait_until_ready()
        await asyncio.sleep(_SETTLE_SECONDS)
        libraries = list_libraries(server.pid)
        result = Measured(
            side,
            breakdown,
            no_model,
            read_memory(server.pid),
            server.read_usage(),
            [name for name in _HEAVY if any(name in library for library in libraries)],
            read_mapped(server.pid, _WEIGHTS),
        )
        for clients in options.clients:
            load = await _put_under_load(server, side, pictures, clients, options, progress)
            result.loads.append(load)
        await asyncio.sleep(_SETTLE_SECONDS)
        result.after = server.read_usage().rss_bytes
    return result


async def _put_under_load(
    server: Server,
    side: Side,
    pictures: Sequence[Picture],
    clients: int,
    options: argparse.Namespace,
    progress: Progress,
) -> Load:
    """Slice after slice, until the peak is level or there are no more. Raises ServerFault."""
    bodies = [build_classify(picture, side.form).data for picture in pictures]
    load, pool = Load(clients), Pool(server.address)
    try:
        while len(load.peaks) < options.slices and not load.is_level(options.max_rise):
            async with sample_usage(server, _PERIOD_SECONDS) as samples:
                run = await run_closed_loop(pool, bodies, clients, options.seconds)
            labels = count_labels(run.outcomes)
            if list(labels) != ["200"]:
                raise ServerFault(f"{side.name}: expected 200 for every request, found {labels}")
            load.peaks.append(max([samples.peak_rss_bytes, *load.peaks]))
            load.answers += len(run.outcomes)
            load.seconds += run.seconds
            progress.show(f"{side.name}: {clients} clients, peak {format_bytes(load.peak)} MiB")
    finally:
        pool.close()
    progress.note(f"{side.name}: {clients} clients, peak {format_bytes(load.peak)} MiB")
    return load


def _write_files(pictures: Sequence[Picture], folder: Path) -> list[Path]:
    paths = [folder / picture.name for picture in pictures]
    for path, picture in zip(paths, pictures, strict=True):
        path.write_bytes(picture.data)
    return paths


def _build_parser() -> argparse.ArgumentParser:
    parser = make_parser("memory", __doc__)
    parser.add_argument(
        "--side",
        action="append",
        default=[],
        choices=NAMES,
        help=f"what to measure (default: the service as {', '.join(SERVICES)}); may be repeated",
    )
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        choices=NAMES[len(SERVICES) :],
        help="another server beside them, with MobileNet, from 'make serving-peers'; may be "
        "repeated",
    )
    bundles = ROOT / "service" / "bundles"
    parser.add_argument(
        "--network", type=Path, default=bundles / "default", help="the bundle that is served"
    )
    parser.add_argument(
        "--mobilenet",
        type=Path,
        default=bundles / "mobilenet_v1",
        help="the bundle of MobileNet, for onnx-mobilenet and the peers",
    )
    parser.add_argument("--clients", type=parse_count, nargs="+", default=[8, 16])
    parser.add_argument(
        "--seconds", type=parse_positive, default=10.0, help="of a slice of the load (10)"
    )
    parser.add_argument(
        "--slices", type=parse_count, default=8, help="at most, until the peak is level (8)"
    )
    parser.add_argument("--photos", type=Path, metavar="DIR", help="send these instead")
    parser.add_argument("--seed", type=int, default=20, help="of generated photos (20)")
    parser.add_argument("--plot", type=parse_result, metavar="FILE", help="draw bars: SVG or PNG")
    limits = parser.add_argument_group("thresholds, of the native service")
    limits.add_argument(
        "--max-mib", type=parse_positive, default=90.0, help="peak RSS under load (90)"
    )
    limits.add_argument(
        "--max-model-mib", type=parse_positive, default=15.0, help="model and arena (15)"
    )
    limits.add_argument(
        "--max-gap",
        type=parse_positive,
        default=0.1,
        help="share of the idle service by which the parts together may miss it (0.1)",
    )
    limits.add_argument(
        "--max-rise",
        type=parse_positive,
        default=0.01,
        help="of the peak in the last two slices: more, and it is not level (0.01)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

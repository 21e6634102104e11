"""Resident memory: its parts, its peak under load, and the memory of other servers.

The slim service (native engine, neither torch nor ONNX Runtime in it) is built up step by step in a
process of its own, and its memory read after each step. Then it is started as it is served, beside
the same service with other engines and beside other servers, one after the other: idle, and under
closed loops of photos up to one megapixel, until the peak does not rise any more.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from loadtests.clients.images import read_photos
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
from loadtests.memory.photos import generate_photos
from loadtests.memory.report import add_results
from loadtests.memory.run import measure_side, write_files
from loadtests.memory.sides import NAMES, SERVICES, Networks, describe_side
from loadtests.output.report import Report
from loadtests.servers.server import ROOT


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
    images = read_photos(options.photos) if options.photos else generate_photos(options.seed)
    report = Report("Resident memory", describe_options(options))
    progress = Progress()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(images, Path(folder))
        for side in sides:
            progress.note(f"{side.name}: starting")
            found.append(await measure_side(side, images, files, options, cpus, progress))
    add_results(report, found, images, options)
    progress.clear()
    return report.write(options.json, options.markdown)


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
        "--seconds", type=parse_positive, default=10.0, help="seconds of a slice of the load (10)"
    )
    parser.add_argument(
        "--slices",
        type=parse_count,
        default=8,
        help="max number of slices until the peak is constant (8)",
    )
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="send these photos instead of generated ones"
    )
    parser.add_argument("--seed", type=int, default=20, help="seed of generated photos (20)")
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
        help="max difference of the sum of the steps from the idle service, as a share (0.1)",
    )
    limits.add_argument(
        "--max-rise",
        type=parse_positive,
        default=0.01,
        help="max growth of the peak in the last two slices, as a share (0.01)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""CPU time per request: what HTTP and the service cost beyond decoding, preprocessing, inference.

Every contestant (services, peers, and the bare loop that belongs to each) is running all the time,
pinned to the server's CPU, and has short turns in the order A B B A, so that whatever else the
machine does meets all of them. CPU time is the kernel's clock of the process. The overhead of a
request is its CPU time less that of the bare loop on the same files in the same round.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtests.command_line.options import (
    choose_cpus,
    make_parser,
    parse_count,
    parse_positive,
    run_tool,
)
from loadtests.overhead.run import BUNDLES, ONNX_BUNDLE, Measurement
from loadtests.servers.contestants import PEERS


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = _build_parser()
    options = parser.parse_args(arguments)
    if options.onnx_bundle and options.bundle and ONNX_BUNDLE not in options.bundle:
        parser.error(
            f"--onnx-bundle takes the place of {ONNX_BUNDLE}, which is not measured; "
            f"expected --bundle {ONNX_BUNDLE} too, or no --bundle"
        )
    server_cpus, client_cpus = choose_cpus(options)
    return run_tool(lambda: Measurement(options, server_cpus).run(), client_cpus)


def _read_bundle_folder(text: str) -> Path:
    folder = Path(text)
    if not (folder / "model.onnx").is_file():
        raise argparse.ArgumentTypeError(
            f"expected a bundle with model.onnx; found none in {folder}. python -m "
            "models.export writes one"
        )
    return folder


def _build_parser() -> argparse.ArgumentParser:
    parser = make_parser("overhead", __doc__ or "")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        choices=PEERS,
        help="another server to compare with; may be repeated",
    )
    parser.add_argument(
        "--peer-bundle",
        type=_read_bundle_folder,
        metavar="DIR",
        help="a bundle for the onnx engine that peers serve instead, beside every bundle of the "
        "service: another network, so that only rates and CPU time compare",
    )
    parser.add_argument(
        "--onnx-bundle",
        type=_read_bundle_folder,
        metavar="DIR",
        help="what services and peers serve in ONNX Runtime instead of service/bundles/"
        "mobilenet_v1: the lighter its network, the more of a request is HTTP",
    )
    parser.add_argument(
        "--bundle", action="append", choices=BUNDLES, help="measure with this one (default: both)"
    )
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="send these photos instead of generated ones"
    )
    parser.add_argument("--form", action="store_true", help="send forms, not bare files")
    parser.add_argument("--seed", type=int, default=1, help="seed of the generated images")
    parser.add_argument("--concurrency", type=parse_count, nargs="+", default=[1, 8], metavar="N")
    parser.add_argument(
        "--repeats", type=parse_count, default=6, metavar="N", help="number of rounds (6)"
    )
    parser.add_argument(
        "--seconds", type=parse_positive, default=2.0, metavar="S", help="seconds of a turn (2)"
    )
    group = parser.add_argument_group(
        "thresholds", "the first --service is judged, by the medians of the rounds' ratios"
    )
    group.add_argument("--max-of-service", type=float, default=0.65, metavar="R")
    group.add_argument("--max-of-peer", type=float, default=1.2, metavar="R")
    group.add_argument("--min-of-bare", type=float, default=0.88, metavar="R")
    return parser


if __name__ == "__main__":
    sys.exit(main())

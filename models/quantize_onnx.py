"""Gives a float bundle 8-bit weights and activations, by ONNX Runtime's own quantizer.

python -m models.quantize_onnx BUNDLE [--calibration DIR] --out DIR: the network to compare an 8-bit
network with: static, per channel, as ONNX Runtime runs fastest on CPUs. The activations' ranges are
those that the photos of a folder reach. Those of noise, which an untrained network gets and a
trained one with --noise, are good for time and memory alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

from models.command_line.figures import format_figures
from models.command_line.main import make_parser, run_command
from models.errors import DataError
from models.export.quantize_onnx import PHOTOS, quantize_bundle
from runtime import read_bundle
from runtime.bundle import ONNX_GRAPH


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.quantize_onnx", __doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    ranges = parser.add_mutually_exclusive_group()
    ranges.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help=f"photos, in any folders below it; at most {PHOTOS} are read (untrained: noise)",
    )
    ranges.add_argument(
        "--noise", action="store_true", help="no photos, though the network is trained"
    )
    parser.add_argument(
        "--no-self-test",
        action="store_true",
        help="untrained only, for measuring: store no images and answers",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="of the new bundle")
    return run_command(parser, arguments, _quantize_onnx)


def _quantize_onnx(args: argparse.Namespace) -> None:
    bundle = read_bundle(args.bundle)
    if args.no_self_test and bundle.manifest.trained:
        raise DataError(
            f"{args.bundle}: expected --no-self-test for an untrained network, found a trained "
            "one; leave --no-self-test out"
        )
    new = quantize_bundle(bundle, args.out, args.calibration, args.noise, not args.no_self_test)
    print(f"{new.path}: {new.manifest.name}, {new.manifest.files[ONNX_GRAPH].bytes:,} bytes")
    print(indent(format_figures(new.manifest.quantization or {}), "  "))


if __name__ == "__main__":
    sys.exit(main())

"""Gives a float bundle 8-bit weights and activations with ONNX Runtime's own quantizer.

python -m models.quantize_onnx BUNDLE [--calibration DIR] --out DIR [--replace] makes an 8-bit
network to compare others with. The quantization is static and per channel, which ONNX Runtime runs
fastest on CPUs. The ranges of the activations are measured on the photos of a folder, or on its
packs of training images (train.npz or its shards). An untrained network, or a trained one with
--noise, is calibrated on noise: such a bundle is good for measuring time and memory only. A bundle
that is already in --out is replaced only with --replace.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

from models.command_line.bundle_folder import (
    add_bundle_options,
    check_bundle_folder,
    tell_left_out,
)
from models.command_line.figures import format_figures
from models.command_line.main import make_parser, run_command
from models.errors import DataError
from models.export.quantize import IMAGES
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
        help=f"folder of photos, with sub-folders, or of packs; {PHOTOS} are read (else: noise)",
    )
    ranges.add_argument("--noise", action="store_true", help="calibrate a trained network on noise")
    parser.add_argument(
        "--no-self-test",
        action="store_true",
        help="untrained only, for measuring: store no images and answers",
    )
    add_bundle_options(parser, "folder of the new bundle")
    return run_command(parser, arguments, _quantize_onnx)


def _quantize_onnx(args: argparse.Namespace) -> None:
    check_bundle_folder(args.out, args.replace)
    bundle = read_bundle(args.bundle)
    if args.no_self_test and bundle.manifest.trained:
        raise DataError(
            f"{args.bundle}: expected --no-self-test for an untrained network, found a trained "
            "one; leave --no-self-test out"
        )
    new = quantize_bundle(bundle, args.out, args.calibration, args.noise, not args.no_self_test)
    tell_left_out(bundle.manifest)
    quantization = new.manifest.quantization or {}
    if args.calibration and (found := quantization["calibration"]["images"]) < IMAGES:
        print(
            f"models.quantize_onnx: warning: expected at least {IMAGES} photos for the "
            f"calibration, found {found} in {args.calibration}. Larger values in other "
            "photos will be cut off. Add photos.",
            file=sys.stderr,
        )
    print(f"{new.path}: {new.manifest.name}, {new.manifest.files[ONNX_GRAPH].bytes:,} bytes")
    print(indent(format_figures(quantization), "  "))


if __name__ == "__main__":
    sys.exit(main())

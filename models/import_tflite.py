"""Imports quantised .tflite classifiers as bundles for the onnx engine.

python -m models.import_tflite FILE... --out DIR [--replace] reads Google's own MobileNet-v1, in one
file or in two that follow each other, and writes two bundles: DIR/float is the network in float32,
DIR/int8 has the integers that TensorFlow Lite computes with. If the first label is "background",
that class is left out, and the index of every other one is lower by 1. Bundles that are already
there are replaced only with --replace.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.command_line.bundle_folder import add_bundle_options, check_bundle_folder
from models.command_line.main import make_parser, run_command
from models.tflite.convert import LABELS, PRECISIONS, import_tflite
from runtime.bundle import ONNX_GRAPH


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.import_tflite", __doc__)
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help=".tflite; a network that is cut in parts: all of them, in order",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help=f"one label a line (default: {LABELS} beside the first file)",
    )
    add_bundle_options(parser, "the bundles become its folders float and int8")
    parser.add_argument(
        "--reduce",
        type=float,
        metavar="FACTOR",
        help="let large JPEGs be decoded at a fraction of their size, 1 to 16 times what the "
        "network sees, as our own bundles are (2); default: at full size",
    )
    return run_command(parser, arguments, _import)


def _import(args: argparse.Namespace) -> None:
    for precision in PRECISIONS:
        check_bundle_folder(args.out / precision, args.replace)
    bundles = import_tflite(args.files, args.out, args.labels, args.reduce)
    for bundle in bundles:
        size = bundle.manifest.files[ONNX_GRAPH].bytes
        print(f"{bundle.path}: {bundle.manifest.name}, {bundle.manifest.classes} classes")
        print(f"  {ONNX_GRAPH:<20}{size:>12,} bytes")


if __name__ == "__main__":
    sys.exit(main())

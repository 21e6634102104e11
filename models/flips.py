"""Measures which flipped bits of a bundle's weights its self-test notices.

python -m models.flips BUNDLE [--flips N] flips N single bits in each tensor of the weight file, one
at a time, and compares the native engine's logits of the stored images with the stored ones, bit
for bit. A flip that the bundle's reader refuses, such as one to an infinite weight, is also
noticed. Flips that are not noticed are tried on other images: "idle" flips change no logit there
either. Prints a table of the kinds of layers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.command_line.main import make_parser, run_command
from models.export.flips import FLIPS, format_table, measure_flips, summarize
from runtime import read_bundle


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.flips", __doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--flips", type=int, default=FLIPS, help="of each tensor")
    return run_command(parser, arguments, _measure)


def _measure(args: argparse.Namespace) -> None:
    flips = measure_flips(read_bundle(args.bundle), args.flips)
    print(format_table(summarize(flips)))


if __name__ == "__main__":
    sys.exit(main())

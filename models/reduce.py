"""Lets a bundle decode images at reduced scale, and records how that changes its answers.

python -m models.reduce BUNDLE --data DIR --out DIR [--replace] decodes each photo of the test split
of DIR twice, as the bundle does today and at reduced scale, and compares the two answers. The new
bundle has preprocessing.reduce and the record; weights, graphs and the self-test stay the same,
byte for byte. Such a bundle decodes a JPEG at 1/2, 1/4 or 1/8 of its size, if FACTOR times the
pixels of the network's input remain. Use photos as large as those that will be classified: small
ones are never reduced. A bundle that is already in --out is replaced only with --replace.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from models.command_line.bundle_folder import add_bundle_options, check_bundle_folder
from models.command_line.figures import print_figures
from models.command_line.main import make_parser, run_command
from models.data.datasets import open_data_set
from models.data.others import leave_out_others
from models.errors import DataError
from models.evaluation.accuracy import find_classes
from models.evaluation.reduction import measure_reduction, reduce_bundle
from runtime import (
    ENGINES,
    load_engine,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.reduce", __doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--data", type=Path, required=True, help="directory with test/ or val/")
    add_bundle_options(parser, "folder of the new bundle")
    parser.add_argument("--factor", type=float, default=2.0, help="1 to 16 (default 2)")
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return run_command(parser, arguments, _reduce)


def _reduce(args: argparse.Namespace) -> None:
    engine = load_engine(args.bundle, args.engine)
    replace(engine.bundle.manifest.preprocessing, reduce=args.factor)  # refused before the work
    check_bundle_folder(args.out, args.replace)
    data = open_data_set(args.data, None, needs_train=False)
    data = leave_out_others(data, find_classes(engine.bundle.manifest))
    if data.test is None:
        raise DataError(f"{args.data}: expected test or val in it; found neither")
    record = measure_reduction(engine, data.test, args.factor, data.labels, progress=not args.quiet)
    record = {"data": data.name, **record}
    new = reduce_bundle(engine.bundle, args.factor, record, args.out)
    print_figures(record)
    print(f"{new.path}: {new.manifest.name}, preprocessing.reduce {args.factor:g}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

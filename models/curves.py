"""Draws how trainings went, from their records, as one SVG image.

python -m models.curves RECORD ... --out FILE.svg
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.command_line.main import make_parser, run_command
from models.plots.curves import write_curves
from models.records.record import read_record


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.curves", __doc__)
    parser.add_argument("records", type=Path, nargs="+", help="record.json of one or more runs")
    parser.add_argument("--out", type=Path, required=True, help="the image, an .svg file")
    return run_command(parser, arguments, _draw)


def _draw(args: argparse.Namespace) -> None:
    write_curves([read_record(path) for path in args.records], args.out)


if __name__ == "__main__":
    sys.exit(main())

"""Checks and packs data sets: python -m models.data check or pack.

check DIR [--set NAME]                   counts every part, compares them with the table
pack DIR --out DIR [--set NAME]          a few .npz files instead of thousands of images
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.command_line.figures import print_figures
from models.command_line.main import make_parser, run_command
from models.data.catalog import NAMES
from models.data.datasets import open_data_set, write_words
from models.data.packs import (
    check_no_images,
    fill_together,
    write_packs,
)
from models.data.splits import hold_back
from models.errors import DataError
from runtime.images import MAX_SIDE


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.data", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("check", "pack"):
        command = commands.add_parser(name)
        command.add_argument("data", type=Path, help="a local copy: train/, val/ or test/ in it")
        command.add_argument("--set", choices=NAMES, help="what it is a copy of; checks the counts")
        if name == "pack":
            command.add_argument("--out", type=Path, required=True, help="folder without packs")
            command.add_argument("--parts", type=int, default=1, help="files for train (default 1)")
            command.add_argument(
                "--side",
                type=int,
                help="larger images of train and val are reduced to squares of at most this side",
            )
            command.add_argument(
                "--validation-share",
                type=float,
                metavar="SHARE",
                help="hold back so much of train as val, where there is none: with --side the same "
                "images that models.train would hold back of the set as it is. It is no copy of "
                "a --set any more",
            )
    return run_command(parser, arguments, _check_or_pack)


def _check_or_pack(args: argparse.Namespace) -> None:
    _check(args) if args.command == "check" else _pack(args)


def _check(args: argparse.Namespace) -> None:
    data = open_data_set(args.data, args.set)
    for part, files in data.parts().items():
        counts = files.counts().values()
        summary = {
            "part": part,
            "images": len(files),
            "classes": sum(count > 0 for count in counts),
            "fewest": min(counts),
            "most": max(counts),
            "sha256": files.sha256(),
        }
        print_figures(summary)


def _pack(args: argparse.Namespace) -> None:
    if args.parts < 1:
        raise DataError(f"expected at least 1 part; found --parts {args.parts}")
    if args.side is not None and not 1 <= args.side <= MAX_SIDE:
        raise DataError(
            f"expected --side from 1 to {MAX_SIDE} pixels; found {args.side}. Leave it out to "
            "keep the files as they are."
        )
    share = args.validation_share
    if share is not None and not 0 < share < 1:
        raise DataError(f"expected --validation-share between 0 and 1; found {share}")
    check_no_images(args.out, ("train", "val", "test"))
    data = open_data_set(args.data, args.set)
    if share is not None:
        if data.validation is not None:
            raise DataError(
                f"{args.data}: expected a set without val for --validation-share; found one that "
                "has it. Leave the option out."
            )
        if data.test is None:  # or the images held back would be taken for it
            raise DataError(
                f"{args.data}: expected a set with a test part for --validation-share; found none. "
                "Leave the option out."
            )
        data = hold_back(data, share)
    splits = {"train": "train", "validation": "val", "test": "test"}
    lines = []
    with fill_together(args.out) as folder:
        for part, files in data.parts().items():
            parts, side = (args.parts, args.side) if part == "train" else (1, args.side)
            side = None if part == "test" else side  # testing uses the untouched files
            for path in write_packs(files, folder, splits[part], parts, side):
                lines.append(f"{args.out / path.name}: {path.stat().st_size:,} bytes")
            lines.append(f"{splits[part]}: {len(files)} images")
        write_words(data, folder)
    print("\n".join(lines))  # of files that are in place


if __name__ == "__main__":
    sys.exit(main())

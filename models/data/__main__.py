"""Checks and packs data sets: python -m models.data check or pack.

check DIR [--set NAME]                   counts every split, compares the counts with the table
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
        command.add_argument("data", type=Path, help="a local copy, with train/, val/ or test/")
        command.add_argument(
            "--set", choices=NAMES, help="the data set it is a copy of; checks the counts"
        )
        if name == "pack":
            command.add_argument("--out", type=Path, required=True, help="folder without packs")
            command.add_argument(
                "--shards",
                "--parts",  # its name before
                type=int,
                default=1,
                help="number of files for train (default 1)",
            )
            command.add_argument(
                "--side",
                type=int,
                help="reduce larger images of train and val to squares of at most this side",
            )
            command.add_argument(
                "--validation-share",
                type=float,
                metavar="SHARE",
                help="hold this share of train back as val, if there is no val. Even with --side "
                "these are the images that models.train would hold back. The packs are then no "
                "copy of a --set any more",
            )
    return run_command(parser, arguments, _check_or_pack)


def _check_or_pack(args: argparse.Namespace) -> None:
    _check(args) if args.command == "check" else _pack(args)


def _check(args: argparse.Namespace) -> None:
    data = open_data_set(args.data, args.set)
    for part, files in data.parts().items():
        counts = files.counts().values()
        summary = {
            "split": part,
            "images": len(files),
            "classes": sum(count > 0 for count in counts),
            "min_images_of_a_class": min(counts),
            "max_images_of_a_class": max(counts),
            "sha256": files.sha256(),
        }
        print_figures(summary)


def _pack(args: argparse.Namespace) -> None:
    if args.shards < 1:
        raise DataError(f"expected at least 1 shard; found --shards {args.shards}")
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
                f"{args.data}: expected a set without val for --validation-share; found a val. "
                "Leave the option out."
            )
        if data.test is None:  # or val would be read as the test split
            raise DataError(
                f"{args.data}: expected a set with a test split for --validation-share; found "
                "none. Leave the option out."
            )
        data = hold_back(data, share)
    splits = {"train": "train", "validation": "val", "test": "test"}
    lines = []
    with fill_together(args.out) as folder:
        for part, files in data.parts().items():
            shards = args.shards if part == "train" else 1
            side = None if part == "test" else args.side  # test images stay untouched
            for path in write_packs(files, folder, splits[part], shards, side):
                lines.append(f"{args.out / path.name}: {path.stat().st_size:,} bytes")
            lines.append(f"{splits[part]}: {len(files)} images")
        write_words(data, folder)
    print("\n".join(lines))  # only now are the files in place


if __name__ == "__main__":
    sys.exit(main())

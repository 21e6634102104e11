"""Collects a data set from local clones of public repositories of images.

python -m models.gather SOURCES.toml --clones DIR --out SET writes a pack (models.data.packs), which
models.train reads, and models.groups, if it knows the set. SOURCES.toml has a table [[repository]]
for each repository: its name (owner/name), a commit, and [repository.classes] with lines class =
[folders or files]. These may be patterns with *, ? and [], as in a shell, but * also matches /.
With `table`, a CSV file in the repository whose rows are image and label, the lines are class =
[labels], and the images are in `folder`. The clones are DIR/OWNER/NAME. Bare clones are enough:
nothing is checked out.

These files are left out and counted: files of more than `max_bytes`, files that no image can be
decoded from, images with a side under `min_side` pixels, copies, and ImageNet's validation images,
which other sets of this package test on. If a side of an image is longer than `side`, the centre
square is kept, reduced to that side. At most `max_images` are kept of a class of one
repository, chosen by their content; SOURCES.toml may say this for all repositories, for one, or not
at all. Files in `without` are in no class.

With --list LIST.csv, a list of models.hold_out, exactly its files make the set, in the packs val
(for validation) and test; files that differ from the list are an error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.command_line.main import make_parser, run_command
from models.data.collect import gather
from models.data.held_out import HALVES, gather_listed, read_list
from models.data.packs import (
    check_no_images,
    fill_together,
    write_packs,
)
from models.data.sources import Sources, read_sources
from models.errors import DataError


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.gather", __doc__)
    parser.add_argument("sources", type=Path, metavar="SOURCES.toml")
    parser.add_argument("--clones", type=Path, required=True, help="DIR/OWNER/NAME are the clones")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pack")
    parser.add_argument("--shards", type=int, default=1, help="files of the pack (default 1)")
    parser.add_argument(
        "--list", type=Path, metavar="LIST.csv", help="take its files: a held-out set in two halves"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return run_command(parser, arguments, _gather)


def _gather(args: argparse.Namespace) -> None:
    if args.shards < 1:
        raise DataError(f"expected at least 1 shard; found --shards {args.shards}")
    sources = read_sources(args.sources)
    check_no_images(args.out, ("train", "val", "test"))
    if args.list is not None:
        _gather_listed(args, sources)
        return
    gathered = gather(sources, args.clones, progress=not args.quiet)
    files = gathered.files()
    with fill_together(args.out) as folder:
        write_packs(files, folder, "train", args.shards)
    for name, count in files.counts().items():
        print(f"{name}: {count}")
    print(f"{len(files)} images; left out: {gathered.list_reasons()}")


def _gather_listed(args: argparse.Namespace, sources: Sources) -> None:
    halves = gather_listed(read_list(args.list), sources, args.clones)
    with fill_together(args.out) as folder:
        for half, files in halves.items():
            write_packs(files, folder, HALVES[half])
    for half, files in halves.items():
        print(f"{half}: {len(files)} images, sha256 {files.sha256()}")


if __name__ == "__main__":
    sys.exit(main())

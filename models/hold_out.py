"""Makes the list of a held-out set: which images of public repositories a model is measured on.

python -m models.hold_out SOURCES.toml --clones DIR --list LIST.csv --apart-from SET ... chooses
images as models.gather would, leaves out those that nearly repeat another one, or an image of a set
that is trained on (SET, a folder or a pack), and writes the others down: repository, path, sha256,
class, and the half that the image is in. A list is made once, before any training; with it
`python -m models.gather SOURCES.toml --list LIST.csv` makes the set, or says which files differ.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from models.command_line.main import make_parser, run_command
from models.data.collect import gather
from models.data.held_out import drop_near_copies, halve, write_list
from models.data.image_files import ImageFiles
from models.data.packs import find_packs, read_pack, read_packs
from models.data.sources import read_sources
from models.errors import DataError


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.hold_out", __doc__)
    parser.add_argument("sources", type=Path, metavar="SOURCES.toml")
    parser.add_argument("--clones", type=Path, required=True, help="DIR/OWNER/NAME are the clones")
    parser.add_argument(
        "--list", type=Path, required=True, metavar="LIST.csv", help="to write; must not be there"
    )
    parser.add_argument(
        "--apart-from",
        type=Path,
        nargs="+",
        default=[],
        metavar="SET",
        help="sets that are trained on: a folder with train packs, or a pack",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return run_command(parser, arguments, _hold_out)


def _hold_out(args: argparse.Namespace) -> None:
    if args.list.exists():
        raise DataError(
            f"{args.list}: expected no such file; found one. A list says what models were measured "
            "on: give another name, or remove it."
        )
    sources = read_sources(args.sources)
    others = [_read_train(path) for path in args.apart_from]
    gathered = gather(sources, args.clones, progress=not args.quiet)
    kept, why = drop_near_copies(gathered.images(), others)
    rows = halve(kept)
    write_list(rows, args.list)
    counts = Counter((row.class_name, row.repository) for row in rows)
    for (class_name, repository), count in sorted(counts.items()):
        print(f"{class_name}: {count} of {repository}")
    near = ", ".join(f"{count} {reason}" for reason, count in why.items()) or "none"
    print(f"{len(rows)} images; left out: {gathered.list_reasons()}; of the others: {near}")


def _read_train(path: Path) -> ImageFiles:
    """Of a folder its train packs."""
    if path.is_file():
        return read_pack(path)
    if packs := find_packs(path, "train"):
        return read_packs(packs)
    raise DataError(f"{path}: expected a pack, or a folder with train.npz or its parts; found none")


if __name__ == "__main__":
    sys.exit(main())

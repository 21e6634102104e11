"""Makes a data set of everyday classes from other sets: each class is a group of their classes.

python -m models.groups GROUPS.toml --from SET=DIR [--from SET=DIR ...] --out DIR writes packs
(models.data.packs), which models.train reads. GROUPS.toml has a table [groups], name = [classes],
in which "SET/*" are all classes of a set and "SET/CLASS" is one, and two limits: `max_images` and
`max_test_images`, the images of a group to train on and to test on. The classes of a group get
equal shares. A class named without its set comes from the first set that has it, because two sets
may split the same images differently. If a set has no test split, a tenth of each of its classes
becomes test images. Sets without a train split give packs with test images alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.command_line.main import make_parser, run_command
from models.data.catalog import KNOWN
from models.data.class_groups import group_sets, read_groups
from models.data.datasets import DataSet, open_data_set
from models.data.packs import check_no_images, fill_together, write_packs
from models.errors import DataError


def _open_sources(sources: Sequence[str]) -> dict[str, DataSet]:
    """Of texts SET=DIR. Raises DataError."""
    sets: dict[str, DataSet] = {}
    for source in sources:
        name, _, folder = source.partition("=")
        if name not in KNOWN or not folder:
            raise DataError(
                f"expected --from SET=DIR with SET of {', '.join(KNOWN)}; found {source}"
            )
        if name in sets:
            raise DataError(f"expected each set once; found --from {name}= twice")
        sets[name] = open_data_set(Path(folder), name, needs_train=KNOWN[name].has_train)
    return sets


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.groups", __doc__)
    parser.add_argument("groups", type=Path, metavar="GROUPS.toml")
    parser.add_argument(
        "--from",
        dest="sources",
        action="append",
        required=True,
        metavar="SET=DIR",
        help=f"a set of {', '.join(KNOWN)} and its folder; the first has precedence",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the packs")
    return run_command(parser, arguments, _groups)


def _groups(args: argparse.Namespace) -> None:
    groups = read_groups(args.groups)
    check_no_images(args.out, ("train", "test"))
    sets = _open_sources(args.sources)
    parts = {part: files for part, files in group_sets(groups, sets).items() if len(files)}
    with fill_together(args.out) as folder:
        for part, files in parts.items():
            write_packs(files, folder, part)
    for part, files in parts.items():
        counts = ", ".join(f"{name} {count}" for name, count in files.counts().items())
        print(f"{part}: {len(files)} images ({counts})")


if __name__ == "__main__":
    sys.exit(main())

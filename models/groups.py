"""Makes a data set of everyday classes out of others: each is a group of their classes.

python -m models.groups GROUPS.toml --from SET=DIR [--from SET=DIR ...] --out DIR writes packs
(models.packs) that models.train reads. GROUPS.toml has a table [groups], name = [classes], in which
"SET/*" are all classes of a set, and `most` and `most_test`: how many pictures of a group are
trained on and tested on at most, shared evenly by its classes. A class is taken from the first set
that has it: two sets may have split the same pictures differently into train and test. Of a set
without a test part a tenth of each class is tested on. Sets without a train part give packs to test
on alone.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.data import split_off
from models.datasets import KNOWN, DataSet, open_data_set
from models.errors import DataError, TrainingFault
from models.packs import check_no_pictures, fill_together, write_packs
from models.picture_files import PictureFiles, join_files

ALL_OF = "/*"  # after the name of a set: its classes
TESTED_ON = 0.1  # of each class, where a set has no test part


@dataclass(frozen=True)
class Groups:
    """members: group -> classes; most, most_test: pictures of a group to train and test on."""

    members: Mapping[str, tuple[str, ...]]
    most: int
    most_test: int

    def expand(self, sets: Mapping[str, DataSet]) -> Groups:
        """Without "SET/*": with the classes of those sets instead.

        Raises DataError if a set is not there, or a class comes into two groups.
        """

        def find_classes(group: str, name: str) -> tuple[str, ...]:
            if not name.endswith(ALL_OF):
                return (name,)
            found = sets.get(name.removesuffix(ALL_OF))
            if found is None:
                raise DataError(
                    f"{group}: expected a set of {', '.join(sets)}; found {name}. Give the set "
                    "with --from, or leave it out."
                )
            return found.train.classes

        members = {
            group: tuple(c for name in row for c in find_classes(group, name))
            for group, row in self.members.items()
        }
        _check_once(members, "the groups")
        return replace(self, members=members)

    def find_group(self, class_name: str) -> str | None:
        """The group of a class."""
        return next((g for g, members in self.members.items() if class_name in members), None)


def _check_once(members: Mapping[str, Sequence[str]], where: str) -> None:
    counts = Counter(name for row in members.values() for name in row)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise DataError(f"{where}: expected each class in one group; found twice: {twice[:5]}")


def read_groups(path: Path) -> Groups:
    """Raises DataError for a file that is not as described, or a class in two groups."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected a TOML file; found {error}") from error
    most, most_test, table = (content.get(key) for key in ("most", "most_test", "groups"))
    if type(most) is not int or type(most_test) is not int or not isinstance(table, dict):
        raise DataError(
            f"{path}: expected whole numbers most and most_test, and a table [groups]; found "
            f"{most}, {most_test} and {str(table)[:80]}"
        )
    for name, row in table.items():
        if not isinstance(row, list) or not all(isinstance(member, str) for member in row):
            raise DataError(
                f"{path}: expected a list of class names for {name}; found {str(row)[:80]}"
            )
    members = {name: tuple(row) for name, row in table.items()}
    _check_once(members, str(path))
    if len(members) < 2 or min(most, most_test) < 1 or not all(members.values()):
        raise DataError(
            f"{path}: expected at least 2 groups with classes in each, and limits of at least 1; "
            f"found {len(members)} groups, limits {most} and {most_test}"
        )
    return Groups(members, most, most_test)


def group_sets(groups: Groups, sets: Mapping[str, DataSet]) -> dict[str, PictureFiles]:
    """The parts of the new set. Raises DataError if a class is in none of the sets."""
    groups = groups.expand(sets)
    source = {
        name: next((s for s, data in sets.items() if name in data.train.classes), None)
        for members in groups.members.values()
        for name in members
    }
    if missing := [name for name, found in source.items() if found is None]:
        raise DataError(
            f"expected every class in one of {', '.join(sets)}; found none of "
            f"{', '.join(missing[:5])}. Give the set that has it, or leave the class out."
        )
    parts: dict[str, list[PictureFiles]] = {}
    for set_name, data in sets.items():
        for part, files in _parts(data).items():
            taken = [
                i for i, c in enumerate(files.labels) if source.get(files.classes[c]) == set_name
            ]
            parts.setdefault(part, []).append(_regroup(files.select(taken), groups, set_name))
    test = join_files(parts["test"])
    # Only some sets have a validation part: those pictures may be trained on. Sets gathered from
    # the web have some pictures twice: none of the test part's is left.
    train = join_files([*parts["train"], *parts.pop("validation", [])]).without(test)
    return {
        "train": train.select(_share_evenly(train, groups.most)),
        "test": test.select(_share_evenly(test, groups.most_test)),
    }


def _parts(data: DataSet) -> dict[str, PictureFiles]:
    if data.test is not None:
        return data.parts()
    train, test = split_off(data.train, TESTED_ON)
    return {**data.parts(), "train": train, "test": test}


def _regroup(files: PictureFiles, groups: Groups, set_name: str) -> PictureFiles:
    """The same pictures, labelled by group; their names begin with the set and the class."""
    classes = tuple(sorted(groups.members))
    groups_of = [groups.find_group(name) for name in files.classes]
    found = [classes.index(groups_of[label] or "") for label in files.labels]
    names = tuple(
        f"{set_name}/{files.classes[label]}/{name.rpartition('/')[2]}"
        for name, label in zip(files.names, files.labels, strict=True)
    )
    return PictureFiles(names, tuple(found), classes, files.read)


def _share_evenly(files: PictureFiles, most: int) -> list[int]:
    """At most so many of each label: the first of each of its folders, the second, ..."""
    rank: Counter[str] = Counter()
    order = []
    for i, name in enumerate(files.names):
        folder = name.rpartition("/")[0]
        order.append((files.labels[i], rank[folder], name, i))
        rank[folder] += 1
    taken: Counter[int] = Counter()
    chosen = []
    for label, _, _, i in sorted(order):
        if taken[label] < most:
            taken[label] += 1
            chosen.append(i)
    return sorted(chosen)


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
    parser = argparse.ArgumentParser(
        prog="python -m models.groups",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    args = parser.parse_args(arguments)
    try:
        groups = read_groups(args.groups)
        check_no_pictures(args.out, ("train", "test"))
        sets = _open_sources(args.sources)
        parts = {part: files for part, files in group_sets(groups, sets).items() if len(files)}
        with fill_together(args.out) as folder:
            for part, files in parts.items():
                write_packs(files, folder, part)
        for part, files in parts.items():
            counts = ", ".join(f"{name} {count}" for name, count in files.counts().items())
            print(f"{part}: {len(files)} pictures ({counts})")
    except (TrainingFault, OSError) as error:
        print(f"models.groups: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

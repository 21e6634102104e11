"""A data set made of others: each of its classes is a group of their classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.data.datasets import DataSet
from models.data.image_files import ImageFiles, join_files
from models.data.splits import split_off
from models.data.toml_files import read_toml
from models.errors import DataError

ALL = "*"  # after "SET/": its classes
TESTED_ON = 0.1  # share of each class that is tested on, if a set has no test split

Place = tuple[str, str]  # the name of a set, and a class of it


@dataclass(frozen=True)
class Groups:
    """members: group -> classes; the limits are images of a group to train on and to test on."""

    members: Mapping[str, tuple[str, ...]]
    max_images: int
    max_test_images: int

    def locate(self, sets: Mapping[str, DataSet]) -> dict[Place, str]:
        """Each place of images -> its group.

        Raises DataError if a set or a class is missing, or a class is in two groups.
        """
        written: dict[Place, list[str]] = {}
        groups: dict[Place, str] = {}
        missing: list[str] = []
        for group, row in self.members.items():
            for name in row:
                found = _find_places(group, name, sets)
                missing += [] if found else [name]
                for place in found:
                    written.setdefault(place, []).append(name)
                    groups[place] = group
        if missing:
            raise DataError(
                f"expected every class in one of {', '.join(sets)}; found none of "
                f"{', '.join(missing[:5])}. Give the set that has it, or leave the class out."
            )
        if twice := [names for names in written.values() if len(names) > 1]:
            raise DataError(
                "the groups: expected each class in one group; found twice: "
                + ", ".join(" and ".join(dict.fromkeys(names)) for names in twice[:5])
            )
        return groups


def _find_places(group: str, name: str, sets: Mapping[str, DataSet]) -> list[Place]:
    """Of SET/*, SET/CLASS or CLASS; none where there is no such class."""
    wanted, slash, class_name = name.rpartition("/")
    if slash and wanted not in sets:
        raise DataError(
            f"{group}: expected a set of {', '.join(sets)}; found {name}. Give the set with "
            "--from, or leave it out."
        )
    if slash and class_name == ALL:
        return [(wanted, c) for c in sets[wanted].train.classes]
    where = [wanted] if slash else list(sets)
    return [(s, class_name) for s in where if class_name in sets[s].train.classes][:1]


def read_groups(path: Path) -> Groups:
    """Raises DataError for a file that is not as described, or a class in two groups."""
    content = read_toml(path)
    limits = [content.get(key) for key in ("max_images", "max_test_images")]
    whole = [limit for limit in limits if type(limit) is int]
    table = content.get("groups")
    if len(whole) < len(limits) or not isinstance(table, dict):
        raise DataError(
            f"{path}: expected whole numbers max_images and max_test_images, and a table "
            f"[groups]; found {limits[0]}, {limits[1]} and {str(table)[:80]}"
        )
    for name, row in table.items():
        if not isinstance(row, list) or not all(isinstance(member, str) for member in row):
            raise DataError(
                f"{path}: expected a list of class names for {name}; found {str(row)[:80]}"
            )
    members = {name: tuple(row) for name, row in table.items()}
    counts = Counter(name for row in members.values() for name in row)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise DataError(f"{path}: expected each class in one group; found twice: {twice[:5]}")
    if len(members) < 2 or min(whole) < 1 or not all(members.values()):
        raise DataError(
            f"{path}: expected at least 2 groups with classes in each, and limits of at least 1; "
            f"found {len(members)} groups, limits {whole[0]} and {whole[1]}"
        )
    return Groups(members, *whole)


def group_sets(groups: Groups, sets: Mapping[str, DataSet]) -> dict[str, ImageFiles]:
    """The splits of the new set. Raises DataError if a class is in none of the sets."""
    places = groups.locate(sets)
    classes = tuple(sorted(groups.members))
    parts: dict[str, list[ImageFiles]] = {}
    for set_name, data in sets.items():
        for part, files in _parts(data).items():
            taken = [
                i for i, c in enumerate(files.labels) if (set_name, files.classes[c]) in places
            ]
            grouped = _regroup(files.select(taken), places, classes, set_name)
            parts.setdefault(part, []).append(grouped)
    test = join_files(parts["test"])
    # Only some sets have a validation split; its images are training images here. Sets collected
    # from the web have some images twice: copies of test images are left out of train.
    train = join_files([*parts["train"], *parts.pop("validation", [])]).without(test)
    return {
        "train": train.select(_share_evenly(train, groups.max_images)),
        "test": test.select(_share_evenly(test, groups.max_test_images)),
    }


def _parts(data: DataSet) -> dict[str, ImageFiles]:
    if data.test is not None:
        return data.parts()
    train, test = split_off(data.train, TESTED_ON)
    return {**data.parts(), "train": train, "test": test}


def _regroup(
    files: ImageFiles, places: Mapping[Place, str], classes: tuple[str, ...], set_name: str
) -> ImageFiles:
    """The same images, labelled by group; their names begin with the set and the class."""
    found = [classes.index(places[set_name, files.classes[label]]) for label in files.labels]
    names = tuple(
        f"{set_name}/{files.classes[label]}/{name.rpartition('/')[2]}"
        for name, label in zip(files.names, files.labels, strict=True)
    )
    return ImageFiles(names, tuple(found), classes, files.read)


def _share_evenly(files: ImageFiles, max_images: int) -> list[int]:
    """At most `max_images` of each label: the first image of each folder, the second, ..."""
    rank: Counter[str] = Counter()
    order = []
    for i, name in enumerate(files.names):
        folder = name.rpartition("/")[0]
        order.append((files.labels[i], rank[folder], name, i))
        rank[folder] += 1
    taken: Counter[int] = Counter()
    chosen = []
    for label, _, _, i in sorted(order):
        if taken[label] < max_images:
            taken[label] += 1
            chosen.append(i)
    return sorted(chosen)

"""Data sets: train, val and test of a local copy, checked against what is known of it.

A set is a local copy: folders or packs called train, val and test. ImageNet's own validation
images, wherever they lie, are the test set: they are never trained on, and read only
at the end. A set without a test split is tested on its val, and a share of train is held back.
Nothing is downloaded here; README.md of this folder says how to get each set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.data.catalog import KNOWN, NAMES, PHOTOS, UNION, KnownSet
from models.data.image_files import (
    ImageFiles,
    join_files,
    read_folder,
    relabel,
    separate_test_files,
)
from models.data.packs import find_packs, read_packs
from models.errors import DataError, IncompleteData
from runtime.manifest import MAX_TEXT

WORDS = "words.txt"  # lines of WordNet id, tab, synonyms: names of classes, where a set has them
ANNOTATIONS = "val_annotations.txt"  # Tiny-ImageNet's labels of its one folder of val images
SHOWN = 5  # differences that an error lists


def _can_be_label(name: str) -> bool:
    return name.isprintable() and len(name) <= MAX_TEXT


@dataclass(frozen=True)
class DataSet:
    """Images to train on, to validate on (or None) and to test on (or None).

    All three have the same classes, sorted; `labels` are their names for people. Raises DataError
    for a name that no bundle could have.
    """

    name: str
    train: ImageFiles
    validation: ImageFiles | None
    test: ImageFiles | None
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        for label in self.labels:
            if not _can_be_label(label):
                raise DataError(
                    f"{self.name}: expected names of classes that can be shown, of at most "
                    f"{MAX_TEXT} characters; found {label!r:.80}. Rename the folder."
                )

    def parts(self) -> dict[str, ImageFiles]:
        """The splits that are there, by name."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: files for name, files in found.items() if files is not None}


def open_data_set(data: Path, name: str | None = None, needs_train: bool = True) -> DataSet:
    """The set in the folder `data`; with a `name` of NAMES its counts are checked.

    For a union, DATA has a folder with the name of each member. Without a name any folder with
    train/ (and test/ or val/) is a set; without needs_train, one with test/ or val/ alone, too.

    Raises DataError, IncompleteData.
    """
    if name is None:
        return _named(data.resolve().name, _open_parts(data, needs_train), _read_words(data))
    members = name.split(UNION)
    if unknown := [member for member in members if member not in KNOWN]:
        raise DataError(f"unknown data set {', '.join(unknown)}; known: {', '.join(NAMES)}")
    opened = []
    words: dict[str, str] = {}
    for member in members:
        folder = data / member if len(members) > 1 else data
        parts = _open_parts(folder, needs_train)
        verify(member, KNOWN[member], parts, folder)
        opened.append(parts)
        words |= _read_words(folder)
    if len(opened) == 1:
        return _named(name, opened[0], words)
    shared = set.intersection(*(set(parts) for parts in opened))
    joined = {part: join_files([parts[part] for parts in opened]) for part in shared}
    return _named(name, joined, words)


def verify(name: str, known: KnownSet, parts: dict[str, ImageFiles], where: Path) -> None:
    """Compares counts per class and split. Raises IncompleteData naming the first differences."""
    found_classes = parts["train"].classes
    expected_classes = tuple(photo.wnid for photo in known.photos) or found_classes
    differences = [
        f"class {c}: expected in train, found none"
        for c in sorted(set(expected_classes))
        if c not in found_classes
    ]
    if not known.photos and len(found_classes) != known.classes:
        differences.append(f"expected {known.classes} classes, found {len(found_classes)}")
    for part in ("train", "validation", "test"):
        counts = parts[part].counts() if part in parts else {}
        for class_name in found_classes:
            expected, found = known.expected(part, class_name), counts.get(class_name, 0)
            if expected != found:
                differences.append(
                    f"{part}, class {class_name}: expected {expected} images, found {found}"
                )
    if differences:
        more = len(differences) - SHOWN
        raise IncompleteData(
            f"{where}: expected a complete copy of {name}; found differences: "
            f"{'; '.join(differences[:SHOWN])}"
            f"{f'; and {more} more' if more > 0 else ''}. Get it again from {known.source}, or "
            "leave out the set's name to use the folder as it is."
        )


def _named(name: str, parts: dict[str, ImageFiles], words: dict[str, str]) -> DataSet:
    train = parts["train"]
    names = words | {wnid: photo.label for wnid, photo in PHOTOS.items()}
    labels = tuple(names.get(c, c) for c in train.classes)
    if len(set(labels)) < len(labels):  # two classes of one name: people could not tell them apart
        twice = {label for label in labels if labels.count(label) > 1}
        pairs = zip(labels, train.classes, strict=True)
        labels = tuple(f"{label} ({c})" if label in twice else label for label, c in pairs)
    return DataSet(name, train, parts.get("validation"), parts.get("test"), labels)


def _read_words(folder: Path) -> dict[str, str]:
    """The first name of every class in the set's list, if it has one."""
    path = folder / WORDS
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected text in UTF-8, found {error}") from error
    rows = [line.split("\t", 1) for line in lines if "\t" in line]
    names = {wnid: synonyms.split(",")[0].strip() for wnid, synonyms in rows}
    return {wnid: name for wnid, name in names.items() if name and _can_be_label(name)}


def write_words(data: DataSet, folder: Path) -> None:
    """Writes the list that open_data_set reads: classes whose label is not their name."""
    pairs = zip(data.train.classes, data.labels, strict=True)
    lines = [f"{name}\t{label}\n" for name, label in pairs if name != label]
    if lines:
        (folder / WORDS).write_text("".join(lines), encoding="utf-8")


def _open_parts(data: Path, needs_train: bool) -> dict[str, ImageFiles]:
    """Train, validation and test of a folder; ImageNet's validation images all in test."""
    if not data.is_dir():
        there = "a file" if data.exists() else "nothing there"
        raise DataError(
            f"{data}: expected the folder of a data set, with train/, test/ or val/ in it, or "
            f"packs of these names; found {there}. Correct the path."
        )
    found = {split: _read_split(data, split) for split in ("train", "val", "test")}
    if not needs_train and found["train"] is None:
        others = [files for files in found.values() if files is not None]
        if not others:
            raise DataError(
                f"{data}: expected test/ or val/ in it, or packs of these names; found neither"
            )
        found["train"] = join_files(others).select([])  # no images, but the classes
    if found["train"] is None:
        raise DataError(
            f"{data}: expected train/ or train.npz in it; found neither. For a folder of your own "
            "photos, a sub-folder per class, give --folder instead of --data."
        )
    train, test_files = separate_test_files(found["train"])
    classes = train.classes
    tests = [test_files] if len(test_files) else []
    validation: ImageFiles | None = None
    if found["val"] is not None:
        inside, outside = separate_test_files(relabel(found["val"], classes, f"{data}/val"))
        validation = inside if len(inside) else None
        tests += [outside] if len(outside) else []
    if found["test"] is not None:
        tests.append(relabel(found["test"], classes, f"{data}/test"))
    if not tests and validation is not None:
        tests, validation = [validation], None
    parts = {"train": train}
    if validation is not None:
        parts["validation"] = validation
    if tests:
        parts["test"] = relabel(join_files(tests), classes, f"{data}/test")
    return parts


def _read_split(data: Path, split: str) -> ImageFiles | None:
    folder, packs = data / split, find_packs(data, split)
    if folder.is_dir() and packs:
        raise DataError(f"{data}: expected {split}/ or {split}.npz; found both. Remove one.")
    if packs:
        return read_packs(packs)
    if (folder / ANNOTATIONS).is_file():
        return _read_annotated(folder)
    if split == "test" and (data / "val" / ANNOTATIONS).is_file() and (folder / "images").is_dir():
        return None  # Tiny-ImageNet's own test images have no labels: its val is the test split
    return read_folder(folder) if folder.is_dir() else None


def _read_annotated(folder: Path) -> ImageFiles:
    """Tiny-ImageNet's val: one folder of images, classes in a table of tab-separated lines."""
    rows = [line.split("\t") for line in (folder / ANNOTATIONS).read_text().splitlines()]
    if any(len(row) < 2 for row in rows):
        raise DataError(f"{folder / ANNOTATIONS}: expected lines of file, tab, class")
    rows.sort(key=lambda row: (row[1], row[0]))
    paths = [folder / "images" / row[0] for row in rows]
    if missing := [path for path in paths if not path.is_file()]:
        raise IncompleteData(
            f"{missing[0]}: listed in {ANNOTATIONS}, but not there; so are {len(missing)} of "
            f"{len(paths)} files. Copy the set again."
        )
    classes = tuple(sorted({row[1] for row in rows}))
    index = {name: label for label, name in enumerate(classes)}
    return ImageFiles(
        tuple(f"{row[1]}/{row[0]}" for row in rows),
        tuple(index[row[1]] for row in rows),
        classes,
        lambda i: paths[i].read_bytes(),
    )

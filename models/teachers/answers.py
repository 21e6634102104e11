"""Answers of teachers, computed once and stored beside the images of a data set.

A file has, for each image by its name, the classes of ImageNet that the teachers find most likely
and their probabilities; the probability that is left is spread over all other classes. Several
teachers are averaged. Kinds (models/recipes/teachers/*.toml) are groups of these classes, so that
one file serves students of any classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.packs import NUMPY_DAMAGE
from models.errors import DataError
from runtime.whole_file import write_whole

CLASSES = 1000  # of ImageNet, in its order
KEPT = 20  # likeliest classes of an image
FILE = "answers.npz"
_SHAPES: dict[str, tuple[int, Any]] = {
    "names": (1, np.str_),
    "classes": (2, np.uint16),
    "probabilities": (2, np.float16),
    "teachers": (1, np.str_),
}


@dataclass(frozen=True)
class StoredAnswers:
    """names [N]; classes uint16 and probabilities float16 [N, KEPT], likeliest first."""

    names: tuple[str, ...]
    classes: NDArray[np.uint16]
    probabilities: NDArray[np.float16]
    teachers: tuple[str, ...]

    def select(self, names: Sequence[str], where: str) -> StoredAnswers:
        """Those of images by name, in this order. Raises DataError if some have none."""
        place = {name: i for i, name in enumerate(self.names)}
        if missing := [name for name in names if name not in place]:
            raise DataError(
                f"{where}: expected an answer for each of {len(names)} images; found none for "
                f"{len(missing)}, {missing[0]} among them. Compute the answers anew: models.teach."
            )
        rows = [place[name] for name in names]
        return StoredAnswers(
            tuple(names), self.classes[rows], self.probabilities[rows], self.teachers
        )

    def dense(self) -> NDArray[np.float32]:
        """Probabilities of all classes, float32 [N, CLASSES]; each row sums to 1."""
        kept = self.probabilities.astype(np.float32)
        left = np.clip(1 - kept.sum(1, keepdims=True), 0, None) / (CLASSES - kept.shape[1])
        full = np.broadcast_to(left, (len(kept), CLASSES)).copy()
        np.put_along_axis(full, self.classes.astype(np.int64), kept, 1)
        normalized: NDArray[np.float32] = full / full.sum(1, keepdims=True)
        return normalized


def keep_likeliest(
    names: Sequence[str], probabilities: NDArray[np.float32], teachers: Sequence[str]
) -> StoredAnswers:
    """Of probabilities float32 [N, CLASSES] the KEPT largest of each row."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :KEPT]
    kept = np.take_along_axis(probabilities, order, 1)
    return StoredAnswers(
        tuple(names), order.astype(np.uint16), kept.astype(np.float16), tuple(teachers)
    )


def add_answers(
    answers: StoredAnswers, names: Sequence[str], classes: Sequence[int]
) -> StoredAnswers:
    """The same and, for more images, KEPT of these classes each, drawn by their number, alike.

    They are for images that show nothing: over many of them all the classes are as likely.
    """
    drawn = [np.random.default_rng(i).permutation(classes)[:KEPT] for i in range(len(names))]
    return StoredAnswers(
        (*answers.names, *names),
        np.concatenate([answers.classes, np.array(drawn, np.uint16).reshape(-1, KEPT)]),
        np.concatenate([answers.probabilities, np.full((len(names), KEPT), 1 / KEPT, np.float16)]),
        answers.teachers,
    )


def write_answers(answers: StoredAnswers, path: Path) -> None:
    """Writes FILE whole or not at all."""
    with write_whole(path) as stream:
        np.savez_compressed(
            stream,
            names=np.array(answers.names, np.str_),
            classes=answers.classes,
            probabilities=answers.probabilities,
            teachers=np.array(answers.teachers, np.str_),
        )


def read_answers(path: Path) -> StoredAnswers:
    """Raises DataError if it is no file of write_answers."""
    try:
        with path.open("rb") as stream:
            found = np.load(stream, allow_pickle=False)
            arrays = {key: found[key] for key in _SHAPES}
    except NUMPY_DAMAGE as error:
        raise DataError(
            f"{path}: expected answers of teachers; found {error}. Compute them: models.teach."
        ) from error
    for key, (dimensions, kind) in _SHAPES.items():
        if arrays[key].ndim != dimensions or not np.issubdtype(arrays[key].dtype, kind):
            raise DataError(f"{path}: expected {key} of {kind.__name__}; found {arrays[key].dtype}")
    count = len(arrays["names"])
    shape = (count, KEPT)
    fits = arrays["classes"].shape == shape == arrays["probabilities"].shape
    if not fits or (count and arrays["classes"].max() >= CLASSES):
        raise DataError(
            f"{path}: expected {KEPT} classes below {CLASSES} for each of {count} images; found "
            f"{arrays['classes'].shape}. Compute the answers anew: models.teach."
        )
    return StoredAnswers(
        tuple(map(str, arrays["names"])),
        arrays["classes"],
        arrays["probabilities"],
        tuple(map(str, arrays["teachers"])),
    )

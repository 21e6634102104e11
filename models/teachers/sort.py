"""Sorts unlabelled images into a student's classes by what teachers say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.data.image_files import ImageFiles
from models.errors import DataError
from models.teachers.kinds import Kinds

UNLABELLED = "unlabelled"
SURE = 0.5  # score of the second opinion that counts


@dataclass(frozen=True)
class Sorted:
    """files: without UNLABELLED; kept: which of the images before they are; why others are not."""

    files: ImageFiles
    kept: tuple[int, ...]
    left_out: Counter[str]


def name_classes(files: ImageFiles) -> tuple[str, ...]:
    """The student's classes: those of the files without UNLABELLED."""
    return tuple(name for name in files.classes if name != UNLABELLED)


def parse_limits(texts: Sequence[str], classes: Sequence[str]) -> dict[str, int | None]:
    """How many images of each class, from texts: a number for all, CLASS=NUMBER for one; None: all.

    Raises DataError for another text, a class that is not among `classes`, a number below 1.
    """
    general: int | None = None
    special: dict[str, int] = {}
    for text in texts:
        name, sign, number = text.rpartition("=")
        if not number.isdecimal() or int(number) < 1 or (sign and name not in classes):
            raise DataError(
                f"expected a number of images above 0, or CLASS=NUMBER with one of "
                f"{', '.join(classes)}; found {text!r:.80}"
            )
        if sign:
            special[name] = int(number)
        else:
            general = int(number)
    return {name: special.get(name, general) for name in classes}


def limit_classes(files: ImageFiles, limits: Mapping[str, int | None]) -> ImageFiles:
    """At most so many images of each class, chosen by their content; None: all of them."""
    members: dict[int, list[int]] = {}
    for i, label in enumerate(files.labels):
        members.setdefault(label, []).append(i)
    kept: list[int] = []
    for label, indices in members.items():
        limit = limits[files.classes[label]]
        if limit is not None and len(indices) > limit:
            indices = sorted(indices, key=files.digest)[:limit]
        kept += indices
    return files.select(sorted(kept))


def sort_unlabelled(
    files: ImageFiles,
    targets: Tensor,
    kinds: Kinds,
    sure: float,
    second: tuple[NDArray[np.float32], Sequence[str]] | None = None,
) -> Sorted:
    """Gives each unlabelled image the class that `targets` [N, classes] is `sure` of, or none.

    second: scores [N, labels] of a network that knows the kinds, and its labels. Where it is sure
    of one of `kinds.few_classes` and the teachers say "other", the image is left out.
    """
    classes = name_classes(files)
    index = {name: i for i, name in enumerate(classes)}
    best = targets.argmax(1).tolist()
    shares = targets.amax(1).tolist()
    doubted = _find_doubted(second, kinds)
    kept: list[int] = []
    labels: list[int] = []
    left_out: Counter[str] = Counter()
    for i, label in enumerate(files.labels):
        name = files.classes[label]
        if name != UNLABELLED:
            kept.append(i)
            labels.append(index[name])
        elif shares[i] < sure:
            left_out["no class is sure"] += 1
        elif classes[best[i]] == kinds.other and doubted is not None and doubted[i]:
            left_out["the second opinion differs"] += 1
        else:
            kept.append(i)
            labels.append(best[i])
    rows = tuple(kept)
    names = tuple(
        f"{classes[label]}/{files.names[i].partition('/')[2]}"
        for i, label in zip(rows, labels, strict=True)
    )
    chosen = ImageFiles(names, tuple(labels), classes, lambda i: files.read(rows[i]))
    return Sorted(chosen, rows, left_out)


def _find_doubted(
    second: tuple[NDArray[np.float32], Sequence[str]] | None, kinds: Kinds
) -> NDArray[np.bool_] | None:
    if second is None:
        return None
    scores, labels = second
    columns = [i for i, label in enumerate(labels) if label in kinds.few_classes]
    doubted: NDArray[np.bool_] = scores[:, columns].sum(1) >= SURE
    return doubted

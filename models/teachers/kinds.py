"""Kinds as groups of ImageNet's classes: what a teacher's answer says of a student's classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.toml_files import read_toml
from models.errors import DataError
from models.teachers.answers import CLASSES


@dataclass(frozen=True)
class Kinds:
    """groups: kind -> ImageNet's classes that show it; `other` names all the rest."""

    groups: Mapping[str, tuple[int, ...]]
    other: str
    unclear: frozenset[int]
    few_classes: frozenset[str]

    def find_others(self) -> tuple[int, ...]:
        """The classes of ImageNet that count for `other`."""
        named = {member for members in self.groups.values() for member in members}
        return tuple(i for i in range(CLASSES) if i not in named and i not in self.unclear)

    def matrix(self, classes: Sequence[str]) -> NDArray[np.float32]:
        """[CLASSES, len(classes)] of 0 and 1: whose column a class of ImageNet counts for.

        A class of `unclear` counts for none. Raises DataError if the student's classes are others.
        """
        wanted = {*self.groups, self.other}
        if differing := sorted(wanted ^ set(classes)):
            raise DataError(
                f"expected the classes {', '.join(sorted(wanted))}; found a difference in "
                f"{', '.join(differing[:5])}. Give the list of kinds that fits the data."
            )
        column = {name: i for i, name in enumerate(classes)}
        out = np.zeros((CLASSES, len(classes)), np.float32)
        out[list(self.find_others()), column[self.other]] = 1
        for kind, members in self.groups.items():
            out[list(members), column[kind]] = 1
        return out


def read_kinds(path: Path) -> Kinds:
    """Raises DataError for a file that is not as models/recipes/teachers/everyday.toml."""
    content = read_toml(path)
    kinds, other = content.get("kinds"), content.get("other")
    if not isinstance(kinds, dict) or not kinds or not isinstance(other, str) or other in kinds:
        raise DataError(f"{path}: expected a table [kinds] and a text other; found neither")
    groups = {name: _read_ranges(rows, f"{path}: {name}") for name, rows in kinds.items()}
    unclear = _read_ranges(content.get("unclear", []), f"{path}: unclear")
    few = content.get("few_classes", [])
    if not isinstance(few, list) or not set(few) <= groups.keys():
        raise DataError(f"{path}: expected few_classes as a list of kinds; found {str(few)[:80]}")
    seen: dict[int, str] = {}
    for name, members in (*groups.items(), ("unclear", unclear)):
        for member in members:
            if seen.setdefault(member, name) != name:
                raise DataError(
                    f"{path}: expected each class once; found {member} in {seen[member]} and {name}"
                )
    return Kinds(groups, other, frozenset(unclear), frozenset(few))


def _read_ranges(rows: object, where: str) -> tuple[int, ...]:
    if not isinstance(rows, list):
        raise DataError(f"{where}: expected a list of [first, last]; found {str(rows)[:80]}")
    out: list[int] = []
    for row in rows:
        whole = isinstance(row, list) and len(row) == 2 and all(type(n) is int for n in row)
        if not whole or not 0 <= row[0] <= row[1] < CLASSES:
            raise DataError(
                f"{where}: expected [first, last] from 0 to {CLASSES - 1}; found {str(row)[:80]}"
            )
        out += range(row[0], row[1] + 1)
    return tuple(out)


def as_targets(probabilities: NDArray[np.float32], kinds: Kinds, classes: Sequence[str]) -> Tensor:
    """[N, CLASSES] -> what the teachers say of the student's: float32 [N, classes], rows sum to 1.

    A row of nothing but unclear classes is even over all classes.
    """
    found = probabilities @ kinds.matrix(classes)
    total = found.sum(1, keepdims=True)
    even = np.full_like(found, 1 / len(classes))
    return torch.from_numpy(np.where(total > 1e-3, found / np.maximum(total, 1e-3), even))


def correct_by_labels(targets: Tensor, labels: Tensor, other: int) -> Tensor:
    """An image that is labelled with a kind does not show "other": that share goes to its label.

    ImageNet lacks many classes that a kind has (roses, for "flower").
    """
    corrected = targets.clone()
    rows = torch.nonzero(labels != other)[:, 0]
    corrected[rows, labels[rows]] += corrected[rows, other]
    corrected[rows, other] = 0
    return corrected

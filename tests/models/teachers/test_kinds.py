"""models.teachers.kinds: a class of ImageNet counts for the kind that it shows, or for "other"."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import DataError
from models.teachers.answers import CLASSES
from models.teachers.kinds import Kinds, as_targets, correct_by_labels, read_kinds

SHIPPED = Path(__file__).parents[3] / "models/recipes/teachers/everyday.toml"
PETS = Kinds({"cat": (1, 2), "dog": (5,)}, "other", frozenset({9}), frozenset())
NAMES = ("cat", "dog", "other")


def one_hot(*classes: int) -> np.ndarray:
    return np.eye(CLASSES, dtype=np.float32)[list(classes)]


def test_every_class_counts_for_one_kind_or_for_other() -> None:
    matrix = PETS.matrix(NAMES)
    assert matrix.sum(0).tolist() == [2, 1, CLASSES - 4]
    assert matrix[9].tolist() == [0, 0, 0]
    assert as_targets(one_hot(2, 5, 7), PETS, NAMES).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_other_has_all_classes_that_are_of_no_kind_and_clear() -> None:
    others = PETS.find_others()
    assert len(others) == CLASSES - 4
    assert not {1, 2, 5, 9} & set(others)
    assert as_targets(one_hot(*others[:20]), PETS, NAMES)[:, 2].tolist() == [1] * 20


def test_unclear_classes_leave_the_others_shares() -> None:
    answer = (one_hot(1) * 0.2 + one_hot(9) * 0.5 + one_hot(5) * 0.3).astype(np.float32)
    assert torch.allclose(as_targets(answer, PETS, NAMES), torch.tensor([[0.4, 0.6, 0.0]]))
    assert torch.allclose(as_targets(one_hot(9), PETS, NAMES), torch.full((1, 3), 1 / 3))


def test_a_labelled_kind_is_not_other() -> None:
    targets = torch.tensor([[0.2, 0.1, 0.7], [0.2, 0.1, 0.7]])
    corrected = correct_by_labels(targets, torch.tensor([1, 2]), 2)
    assert torch.allclose(corrected, torch.tensor([[0.2, 0.8, 0.0], [0.2, 0.1, 0.7]]))


def test_other_classes_of_a_student_are_refused() -> None:
    with pytest.raises(DataError, match=r"expected the classes cat, dog, other; found a differ"):
        PETS.matrix(("cat", "other"))


def test_the_shipped_list_is_read() -> None:
    kinds = read_kinds(SHIPPED)
    assert len(kinds.groups) == 22
    assert kinds.groups["cat"] == tuple(range(281, 286))
    matrix = kinds.matrix(sorted([*kinds.groups, kinds.other]))
    assert matrix.sum() == CLASSES - len(kinds.unclear)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("other = 'other'", "kinds"),
        ("[kinds]\ncat = [[1, 2]]", "kinds"),
        ("other = 'cat'\n[kinds]\ncat = [[1, 2]]", "kinds"),
        ("other = 'o'\n[kinds]\ncat = [[2, 1]]", "2, 1"),
        ("other = 'o'\n[kinds]\ncat = [[1, 1000]]", "1000"),
        ("other = 'o'\n[kinds]\ncat = 3", "3"),
        ("other = 'o'\n[kinds]\ncat = [[1, 2]]\ndog = [[2, 3]]", "2 in cat and dog"),
        ("other = 'o'\nfew_classes = ['cow']\n[kinds]\ncat = [[1, 2]]", "cow"),
    ],
)
def test_other_lists_are_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "kinds.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"kinds.toml.*expected.*{found}"):
        read_kinds(path)

"""models.teachers.sort: sure answers become labels, unsure and doubted images are left out."""

import numpy as np
import pytest
import torch

from models.data.image_files import ImageFiles
from models.errors import DataError
from models.teachers.kinds import Kinds
from models.teachers.sort import (
    UNLABELLED,
    limit_classes,
    name_classes,
    parse_limits,
    sort_unlabelled,
)

KINDS = Kinds({"cat": (1,), "flower": (2,)}, "other", frozenset(), frozenset({"flower"}))
CLASSES = ("cat", "flower", "other", UNLABELLED)
FILES = ImageFiles(
    ("cat/a.jpg", "unlabelled/b.jpg", "unlabelled/c.jpg", "unlabelled/d.jpg", "unlabelled/e.jpg"),
    (0, 3, 3, 3, 3),
    CLASSES,
    lambda i: bytes([i]),
)
TARGETS = torch.tensor(
    [[0.1, 0.1, 0.8], [0.9, 0.0, 0.1], [0.5, 0.0, 0.5], [0.0, 0.1, 0.9], [0.0, 0.2, 0.8]]
)


def test_labelled_images_keep_their_labels_and_unlabelled_ones_get_one() -> None:
    found = sort_unlabelled(FILES, TARGETS, KINDS, 0.6)
    assert found.files.names == ("cat/a.jpg", "cat/b.jpg", "other/d.jpg", "other/e.jpg")
    assert found.files.labels == (0, 0, 2, 2)
    assert found.files.classes == name_classes(FILES) == ("cat", "flower", "other")
    assert [found.files.read(i) for i in range(4)] == [bytes([i]) for i in (0, 1, 3, 4)]
    assert found.kept == (0, 1, 3, 4)
    assert dict(found.left_out) == {"no class is sure": 1}


def test_a_second_opinion_keeps_kinds_that_the_teachers_lack_out_of_other() -> None:
    scores = np.array([[0.9, 0.1]] * 3 + [[0.1, 0.9], [0.8, 0.2]], np.float32)
    found = sort_unlabelled(FILES, TARGETS, KINDS, 0.6, (scores, ("cat", "flower")))
    assert found.kept == (0, 1, 4)
    assert found.left_out["the second opinion differs"] == 1


def test_of_large_classes_the_same_images_are_kept_whatever_their_order() -> None:
    limits = {"cat": 1, "flower": None, "other": None, UNLABELLED: 2}
    kept = limit_classes(FILES, limits)
    assert kept.counts() == {"cat": 1, "flower": 0, "other": 0, UNLABELLED: 2}
    turned = limit_classes(FILES.select([4, 3, 2, 1, 0]), limits)
    assert sorted(turned.names) == sorted(kept.names)


def test_limits_are_for_all_classes_or_for_one() -> None:
    assert parse_limits(["5", "cat=7"], ["cat", "dog"]) == {"cat": 7, "dog": 5}
    assert parse_limits(["cat=7"], ["cat", "dog"]) == {"cat": 7, "dog": None}
    assert parse_limits([], ["cat"]) == {"cat": None}


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "cow=5", "cat=", "cat=0", "=5"])
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="CLASS=NUMBER with one of cat, dog"):
        parse_limits(["5", text], ["cat", "dog"])

"""Files with labels: what is read, and what is refused with a remedy."""

from pathlib import Path

import pytest

from models.data.label_files import read_labels
from models.errors import DataError


def test_lines_are_labels_in_order(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("background\n tench, Tinca tinca \nä\n", "utf-8")
    assert read_labels(file, (2, 3)) == ("background", "tench, Tinca tinca", "ä")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nb\nc", r"expected 5 labels.*found 3.*'background'"),
        (b"background\n\nb\nc\nd", r"line 2: expected a printable label.*found ''"),
        (b"background\na\tb\nb\nc\nd", "line 2: expected a printable label"),
        (b"background\n" + b"a" * 201 + b"\nb\nc\nd", "at most 200 characters"),
        (b"\xff\xfe", "expected text in UTF-8"),
        (None, r"expected a file with one label a line, found none.*--labels FILE"),
    ],
)
def test_wrong_labels_are_explained(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "labels.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_labels(file, (5,))


def test_each_count_is_told(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\n")
    with pytest.raises(DataError, match="expected 5 or 6 labels"):
        read_labels(tmp_path / "labels.txt", (5, 6))
    with pytest.raises(DataError, match="expected a file with one label a line"):
        read_labels(tmp_path, (5,))

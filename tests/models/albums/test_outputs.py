"""models.albums.outputs: CSV without formulas, JSON, and copies that replace and move nothing."""

import csv
import hashlib
import io
import json
import os
from pathlib import Path

import pytest

from models.albums.outputs import (
    Result,
    Row,
    check_apart,
    copy_sorted,
    count,
    format_time,
    write_csv,
    write_json,
)
from models.errors import DataError

ODD = [
    "=1+1.jpg",
    "@x.jpg",
    "+1.jpg",
    "-1.jpg",
    'a,"b".jpg',
    "line\nbreak.jpg",
    os.fsdecode(b"\xe9.jpg"),
]


def make_row(name: str, before: str = "cat", after: str = "dog", data: bytes = b"") -> Row:
    digest = hashlib.sha256(data).hexdigest()
    return Row(name, digest, 1.25, "=cmd|' /C calc'!A0", 1, before, 0.5, after, 0.75, "why")


def make_result(names: list[str]) -> Result:
    return Result(
        "net", "1 kind(a) = cat", tuple(map(make_row, names)), (("=bad.jpg", "cut"),), ("n",)
    )


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    write_csv(tmp_path / "album.csv", make_result(ODD))
    with (tmp_path / "album.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert len(rows) == 1 + len(ODD) + 1
    assert all(len(row) == 10 for row in rows)
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert rows[1][0] == "'=1+1.jpg"
    assert rows[5][0] == 'a,"b".jpg'
    assert rows[7][0] == "\\xe9.jpg"
    assert rows[1][1:9] == [
        *("1970-01-01T00:00:01.250Z", "'=cmd|' /C calc'!A0", "1", "cat", "0.5000", "dog"),
        *("0.7500", "yes"),
    ]
    assert rows[-1] == ["'=bad.jpg", *[""] * 8, "unreadable: cut"]


def test_json_has_everything(tmp_path: Path) -> None:
    write_json(tmp_path / "album.json", make_result(ODD))
    content = json.loads((tmp_path / "album.json").read_text(encoding="utf-8"))
    assert [photo["photo"] for photo in content["photos"]] == [*ODD[:-1], "\\xe9.jpg"]
    assert content["photos"][0]["changed"] is True
    assert content["unreadable"] == [{"photo": "=bad.jpg", "why": "cut"}]
    assert (content["bundle"], content["notes"], content["format"]) == ("net", ["n"], 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.0, "1970-01-01T00:00:00Z"), (0.9996, "1970-01-01T00:00:01.000Z")],
)
def test_times_are_utc(seconds: float | None, text: str) -> None:
    assert format_time(seconds) == text


def test_photos_are_copied_by_kind_and_stay(tmp_path: Path) -> None:
    album, copies = tmp_path / "album", tmp_path / "copies"
    (album / "2024").mkdir(parents=True)
    (album / "2024" / "a.jpg").write_bytes(b"a")
    (album / "b.jpg").write_bytes(b"b")
    (album / "changed.jpg").write_bytes(b"new")
    rows = [
        make_row("2024/a.jpg", data=b"a"),
        make_row("b.jpg", after="../x/y", data=b"b"),
        make_row("changed.jpg", data=b"old"),
        make_row("gone.jpg"),
    ]
    faults = copy_sorted(album, rows, copies)
    assert [name for name, _ in faults] == ["changed.jpg", "gone.jpg"]
    assert "has changed" in faults[0][1]
    found = {p.relative_to(copies).as_posix() for p in copies.rglob("*") if p.is_file()}
    assert found == {"dog/2024/a.jpg", "_.._x_y/b.jpg"}
    assert sorted(p.name for p in album.rglob("*.jpg")) == ["a.jpg", "b.jpg", "changed.jpg"]
    assert copy_sorted(album, rows[:2], copies) == []  # again: the same files are there
    (copies / "dog" / "2024" / "a.jpg").write_bytes(b"other")
    assert "another file is at" in copy_sorted(album, rows[:1], copies)[0][1]
    assert (copies / "dog" / "2024" / "a.jpg").read_bytes() == b"other"


@pytest.mark.parametrize(("album", "copies"), [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_copies_in_or_around_the_album_are_refused(album: str, copies: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a folder outside of"):
        check_apart(tmp_path / album, tmp_path / copies)
    check_apart(tmp_path / "a", tmp_path / "ab")


def test_a_copy_that_was_broken_off_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "a.jpg").write_bytes(b"photo")
    row = make_row("a.jpg", data=b"photo")
    really = Path.open

    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, os.strerror(28))

    def open_full(self: Path, mode: str = "r") -> object:
        really(self, mode).close()
        return Full()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        patch.setattr("models.albums.outputs.read_file", lambda path: b"photo")
        faults = copy_sorted(tmp_path / "album", [row], tmp_path / "sorted")
    assert faults == [("a.jpg", os.strerror(28))]
    assert copy_sorted(tmp_path / "album", [row], tmp_path / "sorted") == []
    assert (tmp_path / "sorted" / "dog" / "a.jpg").read_bytes() == b"photo"


def test_counts_read_well() -> None:
    assert [count(n, "photo") for n in (0, 1, 1234)] == ["0 photos", "1 photo", "1,234 photos"]

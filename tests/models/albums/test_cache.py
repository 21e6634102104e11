"""models.albums.cache: what is kept is found by content and model; damage is told."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from models.albums.cache import FILE, Cache, Kept, find_default_folder
from models.albums.exif import Taken
from models.errors import DataError

KEPT = Kept(np.array([1.5, -2], np.float32), Taken(12.5, None, "C", None, (1.0, -2.0)), b"jpeg")


def test_what_is_kept_is_found_again_by_content_and_model(tmp_path: Path) -> None:
    with Cache(tmp_path / "new" / "folder", "model", 2) as cache:
        assert cache.find("a") is None
        cache.add("a", KEPT)
    with Cache(tmp_path / "new" / "folder", "model", 2) as cache:
        found = cache.find("a")
        assert found is not None
        assert found.logits.tolist() == [1.5, -2]
        assert (found.taken, found.thumbnail) == (KEPT.taken, b"jpeg")
        assert cache.find("b") is None
    with Cache(tmp_path / "new" / "folder", "another model", 2) as cache:
        assert cache.find("a") is None


def test_what_was_added_before_a_fault_stays(tmp_path: Path) -> None:
    def add_and_fail() -> None:
        with Cache(tmp_path, "model", 2) as cache:
            cache.add("a", KEPT)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_and_fail()
    with Cache(tmp_path, "model", 2) as cache:
        assert cache.find("a") is not None


def test_another_file_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(
        DataError, match=r"album-cache\.sqlite: expected a cache .* Remove the file"
    ):
        Cache(tmp_path, "model", 2)


def test_the_default_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
    assert find_default_folder() == Path("/some/where/bnn-service")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert find_default_folder() == Path.home() / ".cache" / "bnn-service"


@pytest.mark.parametrize(
    "damage",
    [
        "logits = x'0000'", "logits = x'00000000'", "logits = zeroblob(12)", "logits = NULL",
        "logits = x'0000c07f0000c07f'",
        "thumbnail = NULL", "thumbnail = 'text'", "thumbnail = 5",
        "taken = 'null'", "taken = '{'", "taken = '{}'", "taken = '[1]'",
        *(
            f"taken = json_set(taken, '$.{name}', {value})"
            for name, value in [
                ("seconds", "'x'"), ("zone", "json('true')"), ("camera", "5"), ("serial", "1.5"),
                ("place", "json('[1.5]')"), ("place", "json('[1.5, null]')"), ("place", "'ab'"),
                ("extra", "1"),
            ]
        ),
    ],
)  # fmt: skip
def test_damage_in_it_is_told(tmp_path: Path, damage: str) -> None:
    with Cache(tmp_path, "model", 2) as cache:
        cache.add("a", KEPT)
    base = sqlite3.connect(tmp_path / FILE)
    base.execute(f"UPDATE photos SET {damage}")
    base.commit()
    base.close()
    with Cache(tmp_path, "model", 2) as cache, pytest.raises(DataError, match="Remove the file"):
        cache.find("a")


def test_what_is_no_fault_of_the_file_has_another_remedy(tmp_path: Path) -> None:
    with Cache(tmp_path, "model", 2) as cache:
        cache._base.execute("PRAGMA query_only = 1")
        with pytest.raises(DataError, match="expected a file to read and write; found: attempt"):
            cache.add("a", KEPT)
    (tmp_path / "folder" / FILE).mkdir(parents=True)
    with pytest.raises(DataError, match="read and write; found: unable to open"):
        Cache(tmp_path / "folder", "model", 2)

"""models.albums.photos: each file is scored once; what cannot be read is listed."""

import os
from pathlib import Path

import numpy as np
import pytest

from models.albums.cache import Cache
from models.albums.photos import Album, identify_model, read_album
from models.errors import DataError
from runtime import Engine, ImageReader, load_engine
from tests.models.albums.albums import make_photo, write_photo
from tests.runtime.bundles import make_bundle


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load_engine(make_bundle(tmp_path_factory.mktemp("b") / "b", graphs=False).path, "native")


def read(folder: Path, engine: Engine, cache: Path) -> Album:
    with Cache(cache, identify_model(engine), engine.bundle.manifest.logits) as kept:
        return read_album(folder, engine, kept)


def test_logits_are_those_of_the_engine_and_asked_for_once(engine: Engine, tmp_path: Path) -> None:
    folder, cache = tmp_path / "photos", tmp_path / "cache"
    for i in range(20):
        write_photo(folder / "2024" / f"{i:02}.jpg", "2024:05:01 12:00:03", seed=i)
    write_photo(folder / "copy.jpg", "2024:05:01 12:00:03", seed=3)
    album = read(folder, engine, cache)
    assert [photo.name for photo in album.photos] == [
        *(f"2024/{i:02}.jpg" for i in range(20)),
        "copy.jpg",
    ]
    assert album.scored == 20
    reader = ImageReader(engine.bundle.manifest.preprocessing)
    tensor = reader.read_tensor((folder / "copy.jpg").read_bytes())
    expected = engine.predict(tensor[np.newaxis])[0]
    assert np.array_equal(album.photos[3].kept.logits, expected)
    assert np.array_equal(album.photos[-1].kept.logits, expected)
    assert album.photos[0].taken.seconds is not None
    assert album.photos[0].kept.thumbnail.startswith(b"\xff\xd8")
    again = read(folder, engine, cache)
    assert again.scored == 0
    assert [p.sha256 for p in again.photos] == [p.sha256 for p in album.photos]
    assert np.array_equal(again.photos[3].kept.logits, expected)
    write_photo(folder / "2024" / "03.jpg", seed=77)  # changed meanwhile
    assert read(folder, engine, cache).scored == 1


def test_what_cannot_be_read_is_listed(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photos"
    write_photo(folder / "good.jpg")
    (folder / "text.jpg").write_text("no image")
    (folder / "cut.jpg").write_bytes(make_photo()[:400])
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("passed over")
    (folder / ".hidden.jpg").write_text("passed over")
    (folder / "folder.jpg").mkdir()
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    write_photo(folder / "vanishes.jpg", seed=5)
    really = Path.read_bytes

    def read_bytes(self: Path) -> bytes:
        if self.name == "vanishes.jpg":
            self.unlink()
        return really(self)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    album = read(folder, engine, tmp_path / "cache")
    assert [photo.name for photo in album.photos] == ["good.jpg"]
    names = [name for name, _ in album.unreadable]
    assert names == [
        *("cut.jpg", "empty.png", "gone.jpg", "pipe.jpg", "self.jpg", "text.jpg", "vanishes.jpg")
    ]
    faults = dict(album.unreadable)
    assert faults["pipe.jpg"] == "no regular file"
    assert faults["gone.jpg"] == os.strerror(2)
    assert all(faults.values())


def test_a_folder_that_cannot_be_listed_is_listed(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("open/a.jpg", "closed/b.jpg"):
        write_photo(tmp_path / "photos" / name)
    really = os.scandir

    def scan(path: str) -> object:
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, os.strerror(13), path)
        return really(path)

    monkeypatch.setattr(os, "scandir", scan)
    album = read(tmp_path / "photos", engine, tmp_path / "cache")
    assert [photo.name for photo in album.photos] == ["open/a.jpg"]
    assert album.unreadable == (("closed", os.strerror(13)),)


def test_odd_names_are_read(engine: Engine, tmp_path: Path) -> None:
    names = [
        "=1+1.jpg",
        "<b>&\"'.jpg",
        "line\nbreak.jpg",
        os.fsdecode(b"latin \xe9.jpg"),
        "ü 😀.jpg",
    ]
    for i, name in enumerate(names):
        write_photo(tmp_path / "photos" / name, seed=i)
    album = read(tmp_path / "photos", engine, tmp_path / "cache")
    assert {photo.name for photo in album.photos} == set(names)


@pytest.mark.parametrize("what", ["nothing there", "a file"])
def test_no_folder_is_refused(what: str, engine: Engine, tmp_path: Path) -> None:
    if what == "a file":
        (tmp_path / "photos").write_text("")
    with pytest.raises(DataError, match=f"expected a folder of photos; found {what}"):
        read(tmp_path / "photos", engine, tmp_path / "cache")


def test_an_empty_folder_is_an_album_of_no_photos(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert read(tmp_path / "photos", engine, tmp_path / "cache") == Album((), (), 0)


def test_images_in_other_formats_are_counted(engine: Engine, tmp_path: Path) -> None:
    write_photo(tmp_path / "photos" / "a.jpg")
    for name in ("b.HEIC", "c.heic", "sub.heic/d.tif", "notes.txt", ".hidden.heic"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    album = read(tmp_path / "photos", engine, tmp_path / "cache")
    assert album.notes == (
        "passed over: 2 .heic, 1 .tif. Convert them to JPEG, PNG, WebP or AVIF.",
    )


def test_jpeg_files_are_read_by_each_of_their_suffixes(engine: Engine, tmp_path: Path) -> None:
    write_photo(tmp_path / "photos" / "a.jpg")
    data = (tmp_path / "photos" / "a.jpg").read_bytes()
    for name in ("b.JPEG", "c.jfif", "d.jpe"):
        (tmp_path / "photos" / name).write_bytes(data)
    album = read(tmp_path / "photos", engine, tmp_path / "cache")
    assert [photo.name for photo in album.photos] == ["a.jpg", "b.JPEG", "c.jfif", "d.jpe"]

"""service.watch.frames_folder: new files, whole ones, the newest; whatever a camera does
meanwhile.
"""

import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import service.watch.frames_folder
from service.watch.frames import NoSuchFolder, SourceLost
from service.watch.frames_folder import ImageFolder
from tests.service.clocks import Clock

JPEG = b"\xff\xd8image\xff\xd9"


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def folder(tmp_path: Path, clock: Clock, stop: threading.Event) -> ImageFolder:
    (tmp_path / "old.jpg").write_bytes(JPEG)
    return ImageFolder(tmp_path, 1000, stop, clock=clock)


@pytest.fixture
def look(folder: ImageFolder, clock: Clock) -> Callable[..., bytes | None]:
    """Looks after some seconds, and returns what it sees."""

    def look(seconds: float = 0.2) -> bytes | None:
        clock.now += seconds
        frame = folder.look()
        return None if frame is None else frame.data

    return look


Look = Callable[..., bytes | None]


def write(path: Path, content: bytes, moment: int) -> None:
    """A file of this moment, in ns."""
    path.write_bytes(content)
    os.utime(path, ns=(moment, moment))


def test_a_new_file_is_a_frame_once(look: Look, tmp_path: Path) -> None:
    assert look() is None
    (tmp_path / "new.JPG").write_bytes(JPEG)
    assert look() is None, "it could still be written"
    assert look() == JPEG
    assert [look() for _ in range(3)] == [None] * 3


def test_a_file_is_read_no_earlier_than_at_the_second_look(
    tmp_path: Path, stop: threading.Event
) -> None:
    """By a real clock, which goes on within a look."""
    folder = ImageFolder(tmp_path, 1000, stop)
    (tmp_path / "new.jpg").write_bytes(JPEG)
    assert folder.look() is None
    assert folder.look() is not None


def test_a_file_that_is_written_anew_is_a_frame_again(look: Look, tmp_path: Path) -> None:
    """As a camera does whose numbers begin anew."""
    write(tmp_path / "old.jpg", b"other" + JPEG, 1)
    assert [look(), look(), look()] == [None, b"other" + JPEG, None]


def test_the_newest_wins(folder: ImageFolder, clock: Clock, tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{9 - number}.jpg", b"%d" % number + JPEG, 10 * number)
    assert folder.look() is None
    clock.now += 0.2
    frame = folder.look()
    assert frame is not None
    assert (frame.data, frame.passed_over) == (b"3" + JPEG, 3)
    assert frame.name == str(tmp_path / "6.jpg")
    clock.now += 0.2
    assert folder.look() is None


def test_a_file_still_being_written_is_waited_for(look: Look, tmp_path: Path) -> None:
    path = tmp_path / "new.jpg"
    for size in range(1, len(JPEG)):
        path.write_bytes(JPEG[:size])
        assert look() is None
    path.write_bytes(JPEG)
    assert [look(), look()] == [None, JPEG]


def test_the_whole_one_before_it_is_taken(look: Look, tmp_path: Path) -> None:
    write(tmp_path / "1.jpg", JPEG, 1)
    write(tmp_path / "2.jpg", JPEG[:-1], 2)
    assert [look(), look(), look()] == [None, JPEG, None]
    write(tmp_path / "2.jpg", b"2" + JPEG, 2)
    assert [look(), look()] == [None, b"2" + JPEG]


def test_a_file_of_another_end_is_whole_after_a_while(look: Look, tmp_path: Path) -> None:
    (tmp_path / "new.png").write_bytes(b"png")
    assert [look(), look(), look(1)] == [None] * 3
    assert look(1) == b"png"


def test_an_empty_file_is_never_whole(look: Look, tmp_path: Path) -> None:
    (tmp_path / "new.jpg").touch()
    assert [look(), look(5), look(50)] == [None] * 3


def test_zeros_at_the_end_do_not_matter(look: Look, tmp_path: Path) -> None:
    (tmp_path / "new.jpg").write_bytes(JPEG + bytes(20))
    assert [look(), look()] == [None, JPEG + bytes(20)]


def test_what_is_left_out(look: Look, tmp_path: Path) -> None:
    (tmp_path / ".hidden.jpg").write_bytes(JPEG)
    (tmp_path / "new.jpg.part").write_bytes(JPEG)
    (tmp_path / "latest.jpg").symlink_to(tmp_path / "old.jpg")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "fifo.jpg")
    assert [look(), look(), look(9)] == [None] * 3


def test_a_large_file_is_read_up_to_the_limit(look: Look, tmp_path: Path) -> None:
    (tmp_path / "new.jpg").write_bytes(bytes(5000) + JPEG)
    assert [look(), look()] == [None, bytes(1001)]


def test_a_file_that_vanishes_or_changes_its_kind(
    look: Look, folder: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the folder and the reading."""
    path = tmp_path / "new.jpg"
    path.write_bytes(JPEG)
    assert look() is None
    found = folder._list()
    monkeypatch.setattr(folder, "_list", lambda: found)
    path.unlink()
    assert look() is None
    path.symlink_to(tmp_path / "old.jpg")
    assert look() is None
    path.unlink()
    os.mkfifo(path)
    assert look() is None


def test_memory_is_that_of_the_files_that_are_there(
    look: Look, folder: ImageFolder, tmp_path: Path
) -> None:
    for number in range(20):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(JPEG)
        assert [look(), look()] == [None, JPEG]
        path.unlink()
    look()
    assert (len(folder._seen), len(folder._quiet)) == (1, 0)


def test_too_many_files_are_told_by_name(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.watch.frames_folder, "_MAX_FILES", 3)
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(JPEG)
    with pytest.raises(SourceLost, match=r"expected at most 3 images .*--wrap"):
        look()
    (tmp_path / "old.jpg").unlink()
    assert [look(), look()] == [None, JPEG]


def test_no_folder(tmp_path: Path, stop: threading.Event) -> None:
    (tmp_path / "file").touch()
    for name in ("absent", "file"):
        with pytest.raises(NoSuchFolder, match=f"{name}: expected a folder .* found: .* Make the"):
            ImageFolder(tmp_path / name, 1000, stop)


def test_a_folder_that_goes_away_comes_back(
    tmp_path: Path, stop: threading.Event, clock: Clock
) -> None:
    path = tmp_path / "mount"
    path.mkdir()
    folder = ImageFolder(path, 1000, stop, clock=clock)
    path.rmdir()
    with pytest.raises(FileNotFoundError):
        next(folder.frames())
    path.mkdir()
    (path / "new.jpg").write_bytes(JPEG)
    assert folder.look() is None
    clock.now += 1
    assert next(folder.frames()).data == JPEG


def test_one_file_that_is_written_over_often_is_seen(tmp_path: Path, stop: threading.Event) -> None:
    """More often than the folder is looked at while nothing happens."""
    folder = ImageFolder(tmp_path, 1000, stop)

    def write_over() -> None:
        number = 0
        while not stop.wait(0.1):
            number += 1
            (tmp_path / "new.jpg").write_bytes(b"%d" % number + JPEG)

    camera = threading.Thread(target=write_over)
    camera.start()
    try:
        seen = [frame.data for frame in itertools.islice(folder.frames(), 3)]
    finally:
        stop.set()
        camera.join()
    assert len(set(seen)) == 3


def test_silence_is_told_once(tmp_path: Path, stop: threading.Event, clock: Clock) -> None:
    folder = ImageFolder(tmp_path, 1000, stop, silence=5, clock=clock)
    clock.now += 6
    with pytest.raises(SourceLost, match="a new image within 5 s; found none"):
        next(folder.frames())
    (tmp_path / "new.jpg").write_bytes(JPEG)
    assert folder.look() is None
    clock.now += 6
    assert next(folder.frames()).data == JPEG
    clock.now += 6
    with pytest.raises(SourceLost):
        list(folder.frames())


def test_it_ends_when_told(folder: ImageFolder, stop: threading.Event) -> None:
    threading.Timer(0.05, stop.set).start()
    assert list(folder.frames()) == []

"""service.watch.camera: which source a name means, and a thread that outlives what befalls it."""

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.watch.camera import Camera, open_source
from service.watch.frames import (
    CameraRefuses,
    Frame,
    NoSuchFolder,
    SourceLost,
    UnknownSource,
)
from service.watch.frames_folder import ImageFolder
from service.watch.frames_web import WebCamera
from service.watch.newest import Newest
from service.watch.outage import Backoff, Outage
from service.watch.web import ExchangeFailed
from tests.service.servers import wait_for
from tests.service.wire import SECONDS


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that have ended are asked for again at once."""
    monkeypatch.setattr("service.watch.camera._RECONNECT_SECONDS", 0.001)


def make_outage(steady: float = 0) -> Outage:
    return Outage("gone", "back", steady=steady, backoff=Backoff(0.001, 0.002))


# ---- names


def test_which_source_a_name_means(tmp_path: Path, stop: threading.Event) -> None:
    assert isinstance(open_source(str(tmp_path), 1, None, 9, stop), ImageFolder)
    for url in ("http://camera", "https://camera:1/x"):
        assert isinstance(open_source(url, 1, None, 9, stop), WebCamera)


@pytest.mark.parametrize("name", ["ftp://camera/x", "rtsp://camera/x", "http://", "://"])
def test_other_urls_are_refused(name: str, stop: threading.Event) -> None:
    with pytest.raises(UnknownSource, match=r"SOURCE: expected a URL .* Correct it\."):
        open_source(name, 1, None, 9, stop)


def test_a_folder_that_is_not_there(tmp_path: Path, stop: threading.Event) -> None:
    with pytest.raises(NoSuchFolder):
        open_source(str(tmp_path / "absent"), 1, None, 9, stop)


# ---- the thread


class Script:
    """A source of which each call does the next of these; then it hangs until it is to stop."""

    name = "camera"

    def __init__(self, stop: threading.Event, *calls: list[str | Exception]) -> None:
        self._stop = stop
        self._calls = list(calls)
        self.called = 0

    def frames(self) -> Iterator[Frame]:
        self.called += 1
        if not self._calls:
            assert self._stop.wait(SECONDS)
            return
        for item in self._calls.pop(0):
            if isinstance(item, Exception):
                raise item
            yield Frame(item.encode(), "camera")


@pytest.fixture
def run(stop: threading.Event) -> Callable[..., tuple[Script, Newest, Camera]]:
    """Runs a camera until its script is at its end."""

    def run(*calls: Any, steady: float = 0) -> tuple[Script, Newest, Camera]:
        source, newest = Script(stop, *calls), Newest(stop)
        camera = Camera(source, newest, stop, make_outage(steady))
        camera.start()
        wait_for(lambda: source.called > len(calls) or not camera.is_alive())
        return source, newest, camera

    return run


def read(caplog: Any) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_it_survives_what_befalls_it(run: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    faults = [
        ExchangeFailed("refused"),
        SourceLost("away"),
        OSError(5, "I/O error"),
        CameraRefuses("404 for the moment"),
    ]
    _, newest, camera = run(["a"], *([fault] for fault in faults), [], ["b"])
    assert newest.take() == Frame(b"b", "camera")
    assert newest.passed_over == 1
    assert read(caplog) == ["gone", "back"]
    assert (caplog.records[0].reason, caplog.records[1].failures) == ("refused", 5)
    assert camera.outage.count == 1


def test_a_file_that_may_not_be_read_is_named(run: Any, caplog: Any) -> None:
    run(["a", PermissionError(13, "Permission denied", "frames/1.jpg")])
    assert caplog.records[0].reason == "frames/1.jpg: Permission denied"


def test_a_camera_may_come_later_than_the_watch(run: Any) -> None:
    _, newest, _ = run([ExchangeFailed("refused")], ["a"])
    assert newest.take() is not None


def test_what_is_no_source_at_the_start_ends_it(run: Any) -> None:
    source, newest, camera = run([ExchangeFailed("refused")], [CameraRefuses("404")], ["never"])
    camera.join(SECONDS)
    assert source.called == 2
    with pytest.raises(CameraRefuses, match="404"):
        newest.take()


def test_an_unexpected_fault_is_not_lost(run: Any) -> None:
    _, newest, camera = run(["a", ZeroDivisionError("ours")])
    camera.join(SECONDS)
    assert newest.take() is not None
    with pytest.raises(ZeroDivisionError, match="ours"):
        newest.take()


def test_a_stream_that_ends_is_asked_for_again_in_silence(run: Any, caplog: Any) -> None:
    source, _, camera = run(*[["a"]] * 5)
    assert source.called == 6
    assert (read(caplog), camera.outage.count) == ([], 0)


def test_a_camera_that_flaps_is_said_once(run: Any, caplog: Any) -> None:
    calls = itertools.chain.from_iterable([["a", SourceLost("away")]] for _ in range(20))
    _, _, camera = run(*calls, steady=1000)
    assert read(caplog) == ["gone"]
    assert camera.outage.count == 1


def test_it_ends_while_it_waits_for_the_next_try(stop: threading.Event) -> None:
    source = Script(stop, [SourceLost("away")])
    camera = Camera(
        source, Newest(stop), stop, Outage("gone", "back", backoff=Backoff(3600.0, 3600.0))
    )
    camera.start()
    wait_for(lambda: camera.outage.is_on)
    stop.set()
    camera.join(SECONDS)
    assert not camera.is_alive()
    assert source.called == 1

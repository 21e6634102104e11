"""service.watch.frames_web: still images asked for again, streams, and what is neither."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from service.watch.frames import BrokenStream, CameraRefuses, NotAnImage, SourceLost
from service.watch.frames_web import WebCamera
from service.watch.web import ExchangeFailed, Patience, parse_address
from tests.service.cameras import Answer, WebServer, give, serve_web, stream
from tests.service.wire import SECONDS

Open = Callable[[Answer], tuple[WebCamera, WebServer]]


@pytest.fixture
def open_camera() -> Iterator[Open]:
    """A camera of the test's, and its server."""
    with ExitStack() as stack:

        def start(answer: Answer) -> tuple[WebCamera, WebServer]:
            server = stack.enter_context(serve_web(answer))
            patience = Patience(SECONDS, SECONDS, threading.Event())
            return WebCamera(parse_address(server.url), 0.01, 1000, patience), server

        yield start


def take(camera: WebCamera, count: int) -> list[bytes]:
    """The first images."""
    frames = camera.frames()
    images = [frame.data for frame in itertools.islice(frames, count)]
    frames.close()  # type: ignore[attr-defined]
    return images


@pytest.mark.parametrize("kind", ["image/jpeg", "IMAGE/x-any", "application/octet-stream", None])
def test_a_still_image_is_asked_for_again_and_again(open_camera: Open, kind: str | None) -> None:
    camera, server = open_camera(give(b"image", kind))
    assert take(camera, 3) == [b"image"] * 3
    assert len(server.requests) == 3


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("boundary", ["frame", "--frame", '"a b"'])
def test_a_stream_is_asked_for_once(open_camera: Open, boundary: str, lengths: bool) -> None:
    sent = [b"one", b"two", b"three"]
    answer = stream(sent, boundary.strip('"'), hang=True, lengths=lengths)
    if '"' in boundary:
        answer = _quote(answer, boundary)
    camera, server = open_camera(answer)
    assert take(camera, 3) == sent
    assert len(server.requests) == 1


def _quote(answer: Answer, boundary: str) -> Answer:
    def quoted(handler: object) -> None:
        header = handler.send_header  # type: ignore[attr-defined]
        handler.send_header = lambda name, value: header(  # type: ignore[attr-defined]
            name, value.replace(boundary.strip('"'), boundary)
        )
        answer(handler)  # type: ignore[arg-type]

    return quoted


def test_a_stream_may_end(open_camera: Open) -> None:
    camera, _ = open_camera(stream([b"one", b"two"]))
    assert [frame.data for frame in camera.frames()] == [b"one", b"two"]


def test_frames_have_the_cameras_name(open_camera: Open) -> None:
    camera, server = open_camera(give(b"image"))
    assert next(camera.frames()).name == f"{server.url}/"


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "video/mp4"])
def test_a_page_is_no_image(open_camera: Open, kind: str) -> None:
    camera, _ = open_camera(give(b"<html>", kind))
    with pytest.raises(NotAnImage, match=r"expected an image .*; found \w+/\w+\. Name the URL"):
        take(camera, 1)


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (401, CameraRefuses, "USER:PASSWORD"),
        (404, CameraRefuses, "Correct the URL"),
        (429, SourceLost, "found 429"),
        (503, SourceLost, "found 503"),
        (204, SourceLost, "found 204"),
        (302, SourceLost, "found 302"),
    ],
)
def test_other_statuses(open_camera: Open, status: int, kind: type[Exception], text: str) -> None:
    camera, _ = open_camera(give(b"", status=status))
    with pytest.raises(kind, match=text):
        take(camera, 1)


def test_a_stream_whose_part_never_ends_is_told_by_name(open_camera: Open) -> None:
    camera, server = open_camera(stream([b"one", b"x" * 5000], lengths=False, hang=True))
    frames = camera.frames()
    assert next(frames).data == b"one"
    with pytest.raises(BrokenStream, match=f"{server.url}/: expected images of at most 1000"):
        next(frames)


def test_a_stream_without_a_boundary_is_told_by_name(open_camera: Open) -> None:
    camera, _ = open_camera(give(b"x", "multipart/x-mixed-replace"))
    with pytest.raises(BrokenStream, match="announces the boundary"):
        take(camera, 1)


def test_an_image_above_the_limit_or_cut_is_none(open_camera: Open) -> None:
    camera, server = open_camera(give(b"x" * 1001))
    with pytest.raises(ExchangeFailed, match="at most 1000 bytes"):
        take(camera, 1)

    def cut(handler: object) -> None:
        handler.send_response(200)  # type: ignore[attr-defined]
        handler.send_header("Content-Length", "9")  # type: ignore[attr-defined]
        handler.end_headers()  # type: ignore[attr-defined]
        handler.wfile.write(b"half")  # type: ignore[attr-defined]

    server.answer = cut
    with pytest.raises(ExchangeFailed, match="expected 9 bytes; found 4"):
        take(camera, 1)

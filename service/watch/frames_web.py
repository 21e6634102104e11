"""Frames from a camera's URL: a still image, requested again and again, or an MJPEG stream."""

import http.client
from collections.abc import Iterator
from time import monotonic

from service.watch.frames import BrokenStream, CameraRefuses, Frame, NotAnImage, SourceLost
from service.watch.mjpeg import MjpegSplitter
from service.watch.web import (
    Patience,
    UntrustedCertificate,
    WebAddress,
    describe_type,
    fetch,
    read_piece,
    read_whole,
)

_PIECE_BYTES = 65536
# Not for ever: too early, too often, took too long.
_PASSING = (408, 425, 429)
_UNNAMED = ("", "application/octet-stream", "binary/octet-stream")


class WebCamera:
    """A camera that answers to GET with an image, or with a stream of images."""

    def __init__(self, address: WebAddress, every: float, limit: int, patience: Patience) -> None:
        """`every`: seconds from one still image to the next; `limit`: bytes of an image."""
        self.name = str(address)
        self._address = address
        self._every = every
        self._limit = limit
        self._patience = patience

    def frames(self) -> Iterator[Frame]:
        """Yields frames as they come, until the stream ends or it is stopped.

        Raises NotAnImage, CameraRefuses, BrokenStream, SourceLost, ExchangeFailed.
        """
        stop = self._patience.stop
        while not stop.is_set():
            began = monotonic()
            try:
                with fetch(self._address, self._patience) as answer:
                    if self._check(answer):
                        yield from self._read_stream(answer)
                        return
                    data = read_whole(answer, self._limit)
            except UntrustedCertificate as fault:
                raise CameraRefuses(f"{self.name}: {fault}") from fault
            yield Frame(data, self.name)
            stop.wait(max(0.0, began + self._every - monotonic()))

    def _check(self, answer: http.client.HTTPResponse) -> bool:
        """Whether the answer is a stream; raises if it is no image either."""
        status = answer.status
        if status != 200:
            text = f"{self.name}: expected status 200; found {status}."
            if 400 <= status < 500 and status not in _PASSING:
                remedy = (
                    "Name user and password: http://USER:PASSWORD@HOST/ (HTTP's Basic scheme)."
                    if status == 401
                    else "Correct the URL."
                )
                raise CameraRefuses(f"{text} {remedy}")
            raise SourceLost(text)
        kind = describe_type(answer)
        if kind.startswith("multipart/"):
            return True
        if not kind.startswith("image/") and kind not in _UNNAMED:
            raise NotAnImage(
                f"{self.name}: expected an image or a stream of images "
                f"(multipart/x-mixed-replace); found {kind}. Name the URL of the image in the "
                "page, not that of the page."
            )
        return False

    def _read_stream(self, answer: http.client.HTTPResponse) -> Iterator[Frame]:
        boundary = answer.headers.get_param("boundary")
        try:
            splitter = MjpegSplitter(boundary if isinstance(boundary, str) else "", self._limit)
            while not splitter.has_ended and (piece := read_piece(answer, _PIECE_BYTES)):
                for data in splitter.feed(piece):
                    self._patience.restart()
                    yield Frame(data, self.name)
        except BrokenStream as fault:
            raise BrokenStream(f"{self.name}: {fault}") from fault

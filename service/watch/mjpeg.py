"""Splits Motion JPEG over HTTP (multipart/x-mixed-replace), in pieces of any size."""

import re
from collections.abc import Callable, Iterator

from service.watch.frames import BrokenStream

_MAX_HEAD_BYTES = 8192
_MAX_BOUNDARY_CHARACTERS = 200  # RFC 2046 allows 70
_PADDING = 16  # spaces after a delimiter
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"(?i)\ncontent-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*\r?\n")
_TYPE = re.compile(rb"(?i)\ncontent-type[ \t]*:[ \t]*([^\s;]+)")
_REMEDY = "Name a stream that browsers can show."


class MjpegSplitter:
    """Takes the bytes of a stream in pieces of any size, and yields the bytes of its images.

    Cameras differ: the boundary is announced with or without its leading dashes, lines end with or
    without a carriage return, and a part tells its length or not. It holds at most `limit` bytes, a
    head and a piece.
    """

    def __init__(self, boundary: str, limit: int) -> None:
        """Raises BrokenStream if the boundary is none."""
        name = boundary.strip().encode("latin-1", "replace")
        if not name.strip(b"-") or len(name) > _MAX_BOUNDARY_CHARACTERS:
            raise BrokenStream(
                "expected a stream that announces the boundary between its images, of 1 to "
                f"{_MAX_BOUNDARY_CHARACTERS} characters; found none. {_REMEDY}"
            )
        # One with dashes of its own is the delimiter already, or two more come before it.
        dashes = rb"(?:--)?" if name.startswith(b"--") else rb"--"
        ending = rb"(?:(?P<last>--)|[ \t]{0,%d}(?=\r?\n))" % _PADDING
        self._delimiter = re.compile(dashes + re.escape(name) + ending)
        self._overlap = len(name) + _PADDING + 4  # a delimiter's longest beginning
        self._limit = limit
        self._held = bytearray()
        self._searched = 0  # bytes at the front of those held in which no delimiter begins
        self._skipped = 0  # bytes between two parts
        self._step: Callable[[], bool] = self._skip
        self._length: int | None = None  # of the part, if it told
        self._line_end = b"\r\n"
        self._is_image = True
        self._frame: bytes | None = None
        self.has_ended = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The images that this piece completes, oldest first; to be iterated to its end.

        Raises BrokenStream if a part is longer than the limit, or if no boundary comes.
        """
        self._held += piece
        while not self.has_ended and self._step():
            if self._frame is not None:
                frame, self._frame = self._frame, None
                yield frame

    def _skip(self) -> bool:
        """Skips bytes up to a delimiter, outside of images."""
        found = self._find()
        begin = self._searched if found is None else found.start()
        if self._skipped + begin > self._limit:
            raise BrokenStream(
                f"expected a boundary between images within {self._limit} bytes; found none. "
                f"{_REMEDY}"
            )
        if found is None:
            self._skipped += begin
            self._drop(begin)
            return False
        self._pass(found)
        return True

    def _read_head(self) -> bool:
        """Reads the head of a part; it begins with the line end of the delimiter's line."""
        found = _HEAD_END.search(self._held)
        if (len(self._held) if found is None else found.end()) > _MAX_HEAD_BYTES:
            raise BrokenStream(
                f"expected the head of an image within {_MAX_HEAD_BYTES} bytes; found a longer "
                f"one. {_REMEDY}"
            )
        if found is None:
            return False
        head = bytes(self._held[: found.end()])
        self._line_end = b"\r\n" if head.startswith(b"\r") else b"\n"
        length, kind = _LENGTH.search(head), _TYPE.search(head)
        self._length = int(length[1]) if length else None
        self._is_image = kind is None or kind[1].lower().startswith(b"image/")
        if self._length is not None and self._length > self._limit:
            raise self._describe_long_part()
        self._drop(found.end())
        self._step = self._read_part
        return True

    def _read_part(self) -> bool:
        if self._length is not None:
            if len(self._held) < self._length:
                return False
            self._keep(self._length)
            self._drop(self._length)
            self._step = self._skip
            return True
        found = self._find()
        if (self._searched if found is None else found.start()) > self._limit + 2:
            raise self._describe_long_part()
        if found is None:
            return False
        end = found.start()
        if self._held.endswith(self._line_end, 0, end):
            end -= len(self._line_end)
        self._keep(end)
        self._pass(found)
        return True

    def _find(self) -> "re.Match[bytes] | None":
        found = self._delimiter.search(self._held, self._searched)
        if found is None:
            self._searched = max(0, len(self._held) - self._overlap)
        return found

    def _keep(self, size: int) -> None:
        if self._is_image and size:
            self._frame = bytes(self._held[:size])

    def _pass(self, delimiter: "re.Match[bytes]") -> None:
        """Continues behind a delimiter."""
        end, self.has_ended = delimiter.end(), delimiter["last"] is not None
        self._drop(end)
        self._skipped = 0
        self._step = self._read_head

    def _drop(self, size: int) -> None:
        del self._held[:size]
        self._searched = 0

    def _describe_long_part(self) -> BrokenStream:
        return BrokenStream(
            f"expected images of at most {self._limit} bytes (BNN_MAX_BODY_BYTES); found a part "
            "of the stream that is longer. Let the camera send smaller images."
        )

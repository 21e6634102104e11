"""The picture out of a request's body, multipart or raw: counted, timed and held in memory.

The body is parsed while it arrives, by python-multipart's incremental parser with own callbacks:
Starlette's form reader writes file parts above 1 MiB to disk, and its size limits leave them out.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive

from service.problems import Problem

FIELD = "image"
_MOST_PARTS = 16
_DISCARD_BYTES = 64 * 2**20
_DISCARD_SECONDS = 5.0
_LONGEST_BOUNDARY = 70  # RFC 2046
_FORM_EXAMPLE = f"Send it as curl -F {FIELD}=@photo.jpg does."


@dataclass
class _Part:
    """One part of a multipart body; `content` fills for the picture only."""

    disposition: bytes = b""
    name: str = ""
    is_file: bool = False
    content: bytearray = field(default_factory=bytearray)

    @property
    def is_picture(self) -> bool:
        return self.is_file and self.name == FIELD


class _PartsReader:
    """Callbacks of the incremental parser; keeps the picture's bytes and nothing else."""

    def __init__(self, boundary: bytes) -> None:
        self.parts: list[_Part] = []
        self.complete = False
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_begin": self._begin_header,
                "on_header_field": lambda data, start, end: self._add(
                    self._header_name, data, start, end
                ),
                "on_header_value": lambda data, start, end: self._add(
                    self._header_value, data, start, end
                ),
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_content,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Parses the next bytes; raises Problem."""
        try:
            self._parser.write(chunk)
        except FormParserError as fault:
            raise Problem(
                "bad_request",
                "expected multipart/form-data as RFC 7578 describes it; found a body that breaks "
                "its rules. Send it with a form library, or the bare picture as the body.",
            ) from fault

    @staticmethod
    def _add(target: bytearray, data: bytes, start: int, end: int) -> None:
        target += data[start:end]

    def _begin_part(self) -> None:
        if len(self.parts) == _MOST_PARTS:
            raise Problem(
                "bad_request",
                f"expected one part, `{FIELD}`; found more than {_MOST_PARTS}. Send one picture.",
            )
        self.parts.append(_Part())

    def _begin_header(self) -> None:
        self._header_name.clear()
        self._header_value.clear()

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self.parts[-1].disposition = bytes(self._header_value)

    def _end_headers(self) -> None:
        part = self.parts[-1]
        _, options = parse_options_header(part.disposition)
        part.name = options.get(b"name", b"").decode("latin-1")
        part.is_file = b"filename" in options

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        if self.parts[-1].is_picture:
            self._add(self.parts[-1].content, data, start, end)

    def _end(self) -> None:
        self.complete = True


async def read_picture(request: Request, max_bytes: int, timeout_ms: int) -> bytes:
    """The picture's bytes: the file part `image` of a multipart body, else the whole body.

    `max_bytes` bounds the whole body, `timeout_ms` the time it takes to arrive.

    Raises:
        Problem: bad_request, body_timeout or too_large.
        starlette.requests.ClientDisconnect: the client went away.
    """
    boundary = _read_boundary(request)
    chunks = _limit(request, max_bytes)
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            if boundary is None:
                picture = b"".join([chunk async for chunk in chunks])
            else:
                picture = await _read_multipart(chunks, boundary)
    except TimeoutError as fault:
        raise Problem(
            "body_timeout",
            f"expected the whole body within {timeout_ms} ms; it was not complete by then. "
            "Send a smaller picture, or over a faster connection.",
        ) from fault
    if not picture:
        raise Problem("bad_request", "expected a picture; found 0 bytes. Send the file's content.")
    return picture


async def discard_rest(receive: Receive) -> None:
    """Reads on, within bounds, after a request was refused before its body was complete.

    Many clients read the answer only when they have sent everything, and a connection that is
    closed before loses it: they would report a reset instead of the reason.
    """
    discarded = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            while discarded < _DISCARD_BYTES:
                message = await receive()
                discarded += len(message.get("body", b""))
                if not message.get("more_body", False):  # complete, or the client is gone
                    return


async def _limit(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body's chunks, counted: by the announced length at once, then as they come."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _describe_excess(max_bytes)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise _describe_excess(max_bytes)
        yield chunk


async def _read_multipart(chunks: AsyncIterator[bytes], boundary: bytes) -> bytes:
    reader = _PartsReader(boundary)
    async for chunk in chunks:
        reader.feed(chunk)
    if not reader.complete:
        raise Problem(
            "bad_request",
            "expected a closing boundary; the multipart body ends without one. Send it whole.",
        )
    return _choose_picture(reader.parts)


def _choose_picture(parts: list[_Part]) -> bytes:
    """The one file part `image`; other fields are ignored, save one that is surely a mistake."""
    named = [part for part in parts if part.name == FIELD]
    if len(named) != 1:
        found = f"{len(named)} among {len(parts)} parts"
        raise Problem(
            "bad_request", f"expected exactly one part `{FIELD}`; found {found}. {_FORM_EXAMPLE}"
        )
    if not named[0].is_file:
        raise Problem(
            "bad_request", f"expected a file in `{FIELD}`; found a text field. {_FORM_EXAMPLE}"
        )
    if any(part.name == "top_k" for part in parts):
        raise Problem(
            "bad_request",
            "expected top_k in the query; found it in the form. Send it as /classify?top_k=3.",
        )
    return bytes(named[0].content)


def _read_boundary(request: Request) -> bytes | None:
    """The multipart boundary; None for any other content type, which is the bare picture."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    if not kind.startswith(b"multipart/"):
        return None
    if kind != b"multipart/form-data":
        raise Problem(
            "bad_request", f"expected multipart/form-data; found another multipart. {_FORM_EXAMPLE}"
        )
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= _LONGEST_BOUNDARY:
        raise Problem(
            "bad_request",
            f"expected a boundary of 1 to {_LONGEST_BOUNDARY} characters in Content-Type; found "
            f"{len(boundary)}. Let the form library set Content-Type.",
        )
    return boundary


def _describe_excess(max_bytes: int) -> Problem:
    return Problem(
        "too_large",
        f"expected a body of at most {max_bytes} bytes; found more. Send a smaller file.",
    )

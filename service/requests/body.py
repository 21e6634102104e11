"""Reads the images of a request's body, a form or a bare file, with limits on bytes and time.

A form is split when it is complete: its bytes are held anyway, and searching for the boundary takes
a tenth of the time of a parser that follows every byte. Starlette's reader writes files above 1 MiB
to disk, and its limits ignore files.
"""

import asyncio
import mmap
import re
from dataclasses import dataclass
from time import monotonic

import numpy as np

from service.messages.exchange import Exchange
from service.messages.problems import Problem
from service.work.admission import Ticket

FIELD = "image"
_MAX_PARTS = 16  # beside the images
_MAX_FALSE_ENDS = 1000  # occurrences of the boundary in a part that do not end it
_MAX_BOUNDARY = 70  # RFC 2046
_MAX_HEAD = 16 * 2**10  # bytes of a part's headers
_STALL_SECONDS = 1.0  # a pause after which memory for the rest is not held any longer
_RATE_SECONDS = 10.0  # before that, slowness is not judged
_MAPPED_BYTES = 32 * 2**10  # below, mapping and unmapping would cost more than it is worth
_FOLD = re.compile(rb"\r\n[ \t]+")  # a header goes on in the next line
_PLAIN_OPTION = re.compile(rb'; (name|filename|boundary)="?([\w. ()-]*)"?')
_PLAIN_OPTIONS = re.compile(
    rb'([\w/-]+)((?:; (?:name|filename|boundary)=(?:"[\w. ()-]*"|[\w.-]+))*)'
)
_FORM_EXAMPLE = f"Send it as curl -F {FIELD}=@photo.jpg does."


@dataclass(frozen=True)
class BodyLimits:
    """Limits of a body: max bytes; max seconds of silence; min bytes per second on average."""

    max_bytes: int
    idle_seconds: float
    min_rate: float


def measure_announced(exchange: Exchange, max_bytes: int) -> int | None:
    """The Content-Length of the body; None: unknown. Raises Problem too_large."""
    announced = exchange.headers.get(b"content-length")
    if announced is None or not announced.isdigit():
        return None if exchange.body_pending else 0
    if len(announced) > 18 or int(announced) > max_bytes:  # Python limits the digits of an int
        raise describe_excess(max_bytes)
    return int(announced)


async def read_images(
    exchange: Exchange, limits: BodyLimits, ticket: Ticket, most: int = 1
) -> list[bytes | memoryview]:
    """The files of the form's parts `image`, 1 to `most`; a body that is no form is the only image.

    If a form may have several files, some of them may have 0 bytes.

    Raises:
        Problem: bad_request, body_timeout, too_large, overloaded.
        ClientGone: the client left.
    """
    boundary = _read_boundary(exchange)
    images: list[bytes | memoryview]
    if boundary is None:
        images = [await read_file(exchange, limits, ticket)]
    else:
        body = await read_body(exchange, limits, ticket)
        images = [*_choose_images(split_form(body, boundary, most), most)]
    if not images[0] and (most == 1 or boundary is None):
        raise describe_nothing()
    return images


class _Arrival:
    """A body while it arrives: in one block of the announced size, or in pieces.

    The block is not touched before bytes come. Pieces take twice the memory at the end.
    """

    def __init__(self, announced: int | None) -> None:
        self.received = 0
        self._announced = announced or 0
        self._block: memoryview | None = None
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        """Adds the next bytes; if all announced bytes come at once, they are kept as they are."""
        if self._block is None and not self._pieces and len(piece) < self._announced:
            self._block = _make_block(self._announced)
        end = self.received + len(piece)
        if self._block is not None and end <= self._announced:
            self._block[self.received : end] = piece
        else:
            self.forget_rest()
            self._pieces.append(piece)
        self.received = end

    def forget_rest(self) -> None:
        """No memory is held any longer for bytes that have not come."""
        if self._block is not None:
            self._pieces = [bytes(self._block[: self.received])]
            self._block = None

    def take(self) -> bytes | memoryview:
        """What has come."""
        return self.join() if self._block is None else self._block[: self.received]

    def join(self) -> bytes:
        """The same for a body without an announced size."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


def _make_block(size: int) -> memoryview:
    """Memory whose pages are untouched; a large block is apart from the allocator's memory.

    Bodies that wait among the blocks of decoders, which come and go, would leave gaps that the next
    image does not fit into. Raises MemoryError.
    """
    if size < _MAPPED_BYTES:
        return np.empty(size, np.uint8).data
    try:
        return memoryview(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    except OSError as fault:
        raise MemoryError from fault


async def read_body(exchange: Exchange, limits: BodyLimits, ticket: Ticket) -> bytes:
    """Reads the whole body. Its time is not limited, only its pauses and a very low rate.

    Raises:
        Problem: body_timeout, too_large, overloaded.
        ClientGone: the client left.
    """
    arrival = _Arrival(None)
    await _receive(exchange, limits, ticket, arrival)
    return arrival.join()


async def read_small_body(exchange: Exchange, most: int, seconds: float) -> bytes:
    """Reads a body of at most `most` bytes within `seconds`; no account holds its bytes.

    Raises:
        Problem: body_timeout, too_large.
        ClientGone: the client left.
    """
    body = b""
    try:
        async with asyncio.timeout(seconds):
            while exchange.body_pending:
                body += await exchange.read_chunk()
                if len(body) > most:
                    raise describe_excess(most)
    except TimeoutError as fault:
        raise Problem(
            "body_timeout", f"expected the body within {seconds:g} s; found none. Send it again."
        ) from fault
    return body


async def read_file(exchange: Exchange, limits: BodyLimits, ticket: Ticket) -> bytes | memoryview:
    """Reads the whole body, in the memory in which it arrived.

    Raises:
        Problem: body_timeout, too_large, overloaded.
        ClientGone: the client left.
    """
    arrival = _Arrival(measure_announced(exchange, limits.max_bytes))
    await _receive(exchange, limits, ticket, arrival)
    return arrival.take()


async def _receive(
    exchange: Exchange, limits: BodyLimits, ticket: Ticket, arrival: _Arrival
) -> None:
    began = monotonic()
    while exchange.body_pending:
        piece = await _read_piece(exchange, limits, ticket, arrival)
        received = arrival.received + len(piece)
        if received > limits.max_bytes:
            raise describe_excess(limits.max_bytes)
        ticket.grow(received)
        seconds = monotonic() - began
        if seconds > _RATE_SECONDS and received < limits.min_rate * seconds:
            raise Problem(
                "body_timeout",
                f"expected at least {limits.min_rate:.0f} bytes a second; found "
                f"{received / seconds:.0f}. Send a smaller image, or over a faster connection.",
            )
        arrival.add(piece)


async def _read_piece(
    exchange: Exchange, limits: BodyLimits, ticket: Ticket, arrival: _Arrival
) -> bytes:
    """The next bytes; during a pause no memory is held for the rest of the body."""
    if exchange.connection.is_complete:  # there is nothing to wait for
        return await exchange.read_chunk()
    stall = min(_STALL_SECONDS, limits.idle_seconds)
    try:
        async with asyncio.timeout(stall):
            return await exchange.read_chunk()
    except TimeoutError:
        ticket.stall(arrival.received)
        arrival.forget_rest()
    try:
        async with asyncio.timeout(limits.idle_seconds - stall):
            piece = await exchange.read_chunk()
    except TimeoutError as fault:
        raise Problem(
            "body_timeout",
            f"expected the body without a pause of more than {limits.idle_seconds:g} s; found a "
            "longer one. Send it again, over a steadier connection.",
        ) from fault
    ticket.resume()
    return piece


@dataclass(frozen=True)
class Part:
    """A part of a form."""

    name: str
    is_file: bool
    content: bytes


def split_form(body: bytes, boundary: bytes, most_images: int = 1) -> list[Part]:
    """The parts of a multipart/form-data body (RFC 2046, RFC 7578), in their order.

    A preamble and an epilogue are ignored. Raises Problem bad_request.
    """
    parts: list[Part] = []
    delimiter = b"\r\n--" + boundary
    start, is_last = _find_delimiter(body, delimiter, 0, at_start=True)[1:]
    while not is_last:
        if len(parts) == _MAX_PARTS + most_images:
            raise Problem(
                "bad_request",
                f"expected a part `{FIELD}`; found more than {len(parts)}. Send images.",
            )
        end, following, is_last = _find_delimiter(body, delimiter, start - 2)
        parts.append(_read_part(body, start, end))
        start = following
    return parts


def _find_delimiter(
    body: bytes, delimiter: bytes, position: int, at_start: bool = False
) -> tuple[int, int, bool]:
    """(end of the content before it, start of what follows, whether it is the last one)."""
    if at_start and body.startswith(delimiter[2:]):
        found, after = 0, len(delimiter) - 2
    else:
        found = body.find(delimiter, position)
        after = found + len(delimiter)
    for _ in range(_MAX_FALSE_ENDS):
        if found < 0:
            break
        if body.startswith(b"--", after):
            return found, after + 2, True
        line_end = body.find(b"\r\n", after, after + _MAX_BOUNDARY)
        if line_end >= 0 and not body[after:line_end].strip(b" \t"):
            return found, line_end + 2, False
        found = body.find(delimiter, after)
        after = found + len(delimiter)
    raise _describe_broken_form()


def _read_part(body: bytes, start: int, end: int) -> Part:
    """The part between two delimiters: header lines, an empty line, content."""
    if body.startswith(b"\r\n", start):  # no headers at all
        return Part("", False, b"")
    head_end = body.find(b"\r\n\r\n", start, min(end, start + _MAX_HEAD) + 4)
    if head_end < 0:
        raise _describe_broken_form()
    headers: dict[bytes, bytes] = {}
    for line in _FOLD.sub(b" ", body[start:head_end]).split(b"\r\n"):
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    disposition = headers.get(b"content-disposition", b"")
    _, options = _parse_options(disposition)
    field = options.get(b"name", b"").decode("latin-1")
    kind = headers.get(b"content-type", b"text/plain").lower()
    # Libraries for phones send images with a content type but no file name; others name them
    # in the form of RFC 5987 alone.
    is_named = b"filename" in options or b"filename*=" in disposition.lower()
    is_file = is_named or not kind.startswith(b"text/")
    return Part(field, is_file, body[head_end + 4 : end] if field == FIELD and is_file else b"")


def _choose_images(parts: list[Part], most: int) -> list[bytes]:
    """The files in `image`; other fields are ignored, except one that is surely a mistake."""
    named = [part for part in parts if part.name == FIELD]
    if not 1 <= len(named) <= most:
        expected = "exactly one part" if most == 1 else f"1 to {most} parts"
        raise Problem(
            "bad_request",
            f"expected {expected} `{FIELD}`; found {len(named)} among {len(parts)} parts. "
            f"{_FORM_EXAMPLE}",
        )
    if not all(part.is_file for part in named):
        raise Problem(
            "bad_request", f"expected a file in `{FIELD}`; found a text field. {_FORM_EXAMPLE}"
        )
    if any(part.name == "top_k" for part in parts):
        raise Problem(
            "bad_request",
            "expected top_k in the query; found it in the form. Send it as /classify?top_k=3.",
        )
    return [part.content for part in named]


def _read_boundary(exchange: Exchange) -> bytes | None:
    """The multipart boundary; None for any other content type, which is the bare image."""
    content_type = exchange.headers.get(b"content-type", b"")
    if content_type[:10].lower() != b"multipart/":
        return None
    kind, options = _parse_options(content_type)
    if kind != b"multipart/form-data":
        raise Problem(
            "bad_request", f"expected multipart/form-data; found another multipart. {_FORM_EXAMPLE}"
        )
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= _MAX_BOUNDARY:
        raise Problem(
            "bad_request",
            f"expected a boundary of 1 to {_MAX_BOUNDARY} characters in Content-Type; found "
            f"{len(boundary)}. Let the form library set Content-Type.",
        )
    return boundary


def _parse_options(header: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """The value of a header and its parameters; plain values, the usual case, in one step."""
    plain = _PLAIN_OPTIONS.fullmatch(header)
    if plain is None:
        from python_multipart.multipart import parse_options_header  # few headers need it

        return parse_options_header(header)
    return plain[1].lower(), dict(_PLAIN_OPTION.findall(plain[2]))


def describe_nothing() -> Problem:
    """The problem for an image without bytes."""
    return Problem("bad_request", "expected an image; found 0 bytes. Send the file's content.")


def _describe_broken_form() -> Problem:
    return Problem(
        "bad_request",
        "expected multipart/form-data as RFC 7578 describes it, closed by its boundary; found a "
        "body that breaks its rules. Send it with a form library, or the bare image as the body.",
    )


def describe_excess(max_bytes: int) -> Problem:
    """The problem for a body that is too large."""
    return Problem(
        "too_large",
        f"expected a body of at most {max_bytes} bytes; found more. Send a smaller file.",
    )

"""Inflates compressed bodies step by step, within the limits."""

import asyncio
import zlib
from collections.abc import Iterator

from service.messages.problems import Problem
from service.oip.errors import refuse
from service.requests.body import describe_excess
from service.work.admission import Ticket

_STEP = 256 * 2**10  # bytes inflated before others get their turn
_CHUNK = 64 * 2**10  # compressed bytes looked at together
_MAX_MEMBERS = 64
_GZIP = zlib.MAX_WBITS | 16


def read_encoding(header: bytes | None) -> str | None:
    """The encoding by Content-Encoding, gzip or deflate; None: as it is.

    Raises Problem unsupported_encoding.
    """
    name = (header or b"").strip().lower()
    if name in (b"", b"identity"):
        return None
    if name not in (b"gzip", b"x-gzip", b"deflate"):
        raise Problem(
            "unsupported_encoding",
            "expected a Content-Encoding of gzip or deflate, or none; found another. Send the body "
            "as it is.",
            headers=(("Accept-Encoding", "gzip, deflate"),),
        )
    return name.decode().removeprefix("x-")


async def inflate(body: bytes, encoding: str, max_bytes: int, ticket: Ticket) -> bytes:
    """Inflates a body; its bytes are counted before they are allocated.

    Raises:
        Problem: bad_request, too_large, overloaded.
    """
    pieces: list[bytes] = []
    inflated = 0
    steps = _inflate_in_steps(memoryview(body), encoding)
    while True:
        ticket.grow(len(body) + inflated + _STEP)
        piece = next(steps, None)
        if piece is None:
            return b"".join(pieces)
        inflated += len(piece)
        if inflated > max_bytes:
            raise describe_excess(max_bytes)
        pieces.append(piece)
        await asyncio.sleep(0)


def _inflate_in_steps(body: memoryview, encoding: str) -> Iterator[bytes]:
    """At most _STEP bytes at a time. Raises Problem bad_request."""
    decompressor = zlib.decompressobj(_choose_bits(body, encoding))
    members = 1  # of gzip, several may stand one after another (RFC 1952)
    for start in range(0, len(body), _CHUNK):
        rest: bytes | memoryview = body[start : start + _CHUNK]
        while rest:
            if decompressor.eof:
                members += 1
                if encoding != "gzip" or members > _MAX_MEMBERS:
                    raise _describe_broken(encoding, "more bytes after its end")
                decompressor = zlib.decompressobj(_GZIP)
            try:
                yield decompressor.decompress(rest, _STEP)
            except zlib.error as fault:
                raise _describe_broken(encoding, "other bytes") from fault
            rest = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
    while not decompressor.eof:  # what it has taken in may be more than one step of output
        piece = decompressor.decompress(b"", _STEP)
        if not piece:
            break
        yield piece
    if not decompressor.eof:
        raise _describe_broken(encoding, "the beginning of one")


def _choose_bits(body: memoryview, encoding: str) -> int:
    """The window size for zlib: deflate is zlib's format (RFC 9110), but some send it bare."""
    if encoding == "gzip":
        return _GZIP
    is_wrapped = len(body) >= 2 and body[0] & 15 == 8 and not int.from_bytes(body[:2]) % 31
    return zlib.MAX_WBITS if is_wrapped else -zlib.MAX_WBITS


def _describe_broken(encoding: str, found: str) -> Problem:
    return refuse(f"a whole body in the encoding {encoding}", found)

"""service.oip.compression: what was compressed comes back, and no more than there is room for."""

import asyncio
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.messages.problems import Problem
from service.oip.compression import inflate, read_encoding
from tests.service.oip.bodies import FreeTicket, attempt

pytestmark = pytest.mark.anyio
MIB = 2**20


def deflate_bare(data: bytes) -> bytes:
    """Without zlib's head, as some clients send deflate."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def gzip_in_members(data: bytes) -> bytes:
    """Two members, one after the other."""
    half = len(data) // 2
    return gzip.compress(data[:half]) + gzip.compress(data[half:])


FORMS = [
    ("gzip", gzip.compress),
    ("gzip", gzip_in_members),
    ("deflate", zlib.compress),
    ("deflate", deflate_bare),
]


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        *((None, None), (b"", None), (b"identity", None), (b"gzip", "gzip"), (b" GZIP ", "gzip")),
        *((b"x-gzip", "gzip"), (b"deflate", "deflate")),
    ],
)
def test_encodings(header: bytes | None, encoding: str | None) -> None:
    assert read_encoding(header) == encoding


@pytest.mark.parametrize("header", [b"br", b"zstd", b"gzip, gzip", b"deflate,gzip", b"\xff"])
def test_other_encodings_are_refused_with_those_that_are_not(header: bytes) -> None:
    with pytest.raises(Problem) as caught:
        read_encoding(header)
    assert caught.value.code == "unsupported_encoding"
    assert ("Accept-Encoding", "gzip, deflate") in caught.value.headers


@pytest.mark.parametrize(("encoding", "compress"), FORMS)
@given(data=st.binary(max_size=300), times=st.sampled_from([1, 1000]))
async def test_round_trip(encoding: str, compress: object, data: bytes, times: int) -> None:
    whole = data * times
    assert callable(compress)
    assert await inflate(compress(whole), encoding, MIB, FreeTicket()) == whole


@given(data=st.binary(max_size=100), encoding=st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_inflated_or_refused(data: bytes, encoding: str) -> None:
    whole = attempt(lambda: asyncio.run(inflate(data, encoding, MIB, FreeTicket())))
    assert whole is None or isinstance(whole, bytes)


@pytest.mark.parametrize(("encoding", "compress"), FORMS)
async def test_a_body_that_ends_early_or_goes_on_is_refused(
    encoding: str, compress: object
) -> None:
    assert callable(compress)
    body = compress(bytes(range(256)) * 100)
    for broken in (body[:-1], body[: len(body) // 3], body[:1], b"", body + b"more"):
        with pytest.raises(Problem, match="bad_request"):
            await inflate(broken, encoding, MIB, FreeTicket())


@pytest.mark.parametrize(("encoding", "compress"), FORMS)
async def test_a_bomb_is_refused_before_its_bytes_are_there(
    encoding: str, compress: object
) -> None:
    assert callable(compress)
    ticket = FreeTicket()
    bomb = compress(bytes(100 * MIB))
    assert len(bomb) < MIB
    with pytest.raises(Problem, match="too_large"):
        await inflate(bomb, encoding, 2 * MIB, ticket)
    assert max(ticket.grown) < 4 * MIB


async def test_room_is_asked_for_before_each_step() -> None:
    ticket = FreeTicket()
    body = zlib.compress(bytes(MIB))
    await inflate(body, "deflate", MIB, ticket)
    assert ticket.grown[0] >= len(body) + MIB // 4
    assert ticket.grown == sorted(ticket.grown)
    assert ticket.grown[-1] >= MIB

    class Full(FreeTicket):
        def grow(self, received: int) -> None:
            if received > MIB // 2:
                raise Problem("overloaded", "")

    with pytest.raises(Problem, match="overloaded"):
        await inflate(body, "deflate", 2 * MIB, Full())


async def test_members_without_number_are_refused() -> None:
    assert await inflate(gzip.compress(b"") * 64, "gzip", MIB, FreeTicket()) == b""
    with pytest.raises(Problem, match="more bytes after its end"):
        await inflate(gzip.compress(b"") * 65, "gzip", MIB, FreeTicket())

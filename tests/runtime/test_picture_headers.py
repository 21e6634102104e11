"""runtime.picture_headers: sizes and scans without decoding, floods of elements, hostile fields."""

import io
import struct
import time
import zlib

import pytest
from PIL import Image

from runtime import InvalidImage, decode_image
from runtime.picture_headers import count_scans, describe_damage, read_size


def encode(kind: str, mode: str = "RGB", **options: object) -> bytes:
    """A small picture as a file of this format."""
    stream = io.BytesIO()
    Image.new(mode, (83, 61)).save(stream, kind, **options)
    return stream.getvalue()


def make_png(header: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of raw chunks: what Pillow itself would not write."""
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [(b"IHDR", header), *chunks, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"icc_profile": b"x"}),
    ],
)
def test_reads_the_size_of_each_format(kind: str, options: dict[str, object]) -> None:
    assert read_size(encode(kind, **options), kind) == (83, 61)


@pytest.mark.parametrize(
    ("mode", "progressive", "scans"),
    [("RGB", False, 1), ("L", True, 6), ("RGB", True, 10), ("CMYK", True, 18)],
)
def test_counts_scans(mode: str, progressive: bool, scans: int) -> None:
    assert count_scans(encode("JPEG", mode, progressive=progressive)) == scans


def test_counts_only_what_the_decoder_visits() -> None:
    data = encode("JPEG", progressive=True)
    inside = b"\xff\xe1" + struct.pack(">H", 62) + b"\xff\xda" * 30  # a thumbnail's, for one
    assert count_scans(data[:2] + inside + data[2:] + b"\xff\xda\x00\x02" * 1000) == 10
    last = data.rindex(b"\xff\xda")
    for filler in (b"", b"\xff" * 9, b"\xff\xd3", b"\xff\x00", b"junk", inside):
        assert count_scans(data[:-2] + (filler + data[last:-2]) * 5 + data[-2:]) == 15


def test_counting_is_linear() -> None:
    started = time.process_time()
    assert count_scans(b"\xff\xd8" + b"\xff" * 10_000_000) == 0
    with pytest.raises(InvalidImage, match="damaged"):
        count_scans(b"\xff\xd8" + b"\xff\xfe\x00\x02" * 1_000_000)
    # Not a speed test: a quadratic search of this run would take days.
    assert time.process_time() - started < 5


def test_damage_is_described_by_the_format_s_own_name() -> None:
    assert "readable WebP file" in describe_damage("WEBP")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xfe\x00\x02" * 500_000,  # empty comments
        b"\xff\xd8\xff" + b"\xff" * 2_000_000,  # fill bytes
        b"\xff\xd8\xff\xe0\x00\x02" + b"\x11" * 2_000_000 + b"\xff",  # junk between segments
        b"\xff\xd8\xff\xd0" + b"\xff\xd0" * 500_000,  # markers without content
        make_png(struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), *([(b"teXt", b"")] * 100_000)),
    ],
    ids=["comments", "fill", "junk", "markers", "chunks"],
)
def test_floods_of_header_elements_are_refused_early(data: bytes) -> None:
    started = time.process_time()
    with pytest.raises(InvalidImage):
        decode_image(data)
    # Not a speed test: the decoder's own loop over these would take seconds of CPU time.
    assert time.process_time() - started < 2

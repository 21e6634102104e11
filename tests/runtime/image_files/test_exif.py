"""runtime.image_files.exif: which entries tell an orientation, damaged and hostile structures."""

import logging
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.image_files.exif import read_orientation
from tests.runtime.images import make_exif


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [(1, "B"), (3, "H"), (4, "I")], ids=["byte", "short", "long"])
@pytest.mark.parametrize("value", range(1, 9))
def test_one_unsigned_integer_is_an_orientation(
    order: str, kind: tuple[int, str], value: int
) -> None:
    exif = make_exif(struct.pack(order + kind[1], value), kind[0], order=order)
    assert read_orientation(exif) == read_orientation(b"Exif\0\0" + exif) == value


@pytest.mark.parametrize(
    "exif",
    [
        make_exif(b"6", kind=2),  # text, as other readers leave it too
        make_exif(b"6\0", kind=2, count=2),
        make_exif(struct.pack(">H", 6), count=2),
        make_exif(struct.pack(">H", 6), count=0),
        make_exif(struct.pack(">h", 6), kind=8),
        make_exif(b"\6", kind=7),
        make_exif(struct.pack(">H", 6), kind=99),
        make_exif(struct.pack(">H", 0)),
        make_exif(struct.pack(">H", 9)),
        make_exif(struct.pack(">H", 0x600)),
        make_exif(struct.pack(">I", 6 << 16 | 6), kind=4),
    ],
)
def test_everything_else_means_upright(exif: bytes) -> None:
    assert read_orientation(exif) == 1


def test_the_first_entry_with_the_tag_decides() -> None:
    entries = [(0x0100, 4, 1, 83), (0x0112, 3, 1, 6 << 16), (0x0112, 3, 1, 3 << 16)]
    packed = b"".join(struct.pack(">HHII", *entry) for entry in entries)
    assert read_orientation(b"MM\0*\0\0\0\x08\0\x03" + packed) == 6
    assert read_orientation(b"MM\0*\0\0\0\x08\0\x01" + packed) == 1  # it says that it has one
    assert read_orientation(b"MM\0*\0\0\0\x08\xff\xff" + packed) == 6  # it has fewer than it says


def test_the_directory_may_lie_anywhere_inside() -> None:
    exif = make_exif(struct.pack(">H", 8))
    moved = exif[:4] + struct.pack(">I", 1000) + bytes(992) + exif[8:]
    assert read_orientation(moved) == 8
    for offset in (len(moved), 2**32 - 1, 2**31):
        assert read_orientation(moved[:4] + struct.pack(">I", offset) + moved[8:]) == 1


@given(st.binary(max_size=80), st.integers(0, 40))
def test_any_bytes_have_an_orientation(tail: bytes, cut: int) -> None:
    assert 1 <= read_orientation(make_exif(struct.pack(">H", 6))[:cut] + tail) <= 8


def test_hostile_entries_cost_little_and_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    entries = struct.pack(">HHII", 0x0100, 2, 0x7FFFFFFF, 0xFFFFFFF0) * 65_535
    started = time.process_time()
    with caplog.at_level(logging.DEBUG):
        assert read_orientation(b"MM\0*\0\0\0\x08\xff\xff" + entries) == 1
    # Not a speed test: Pillow's reader takes seconds for these.
    assert time.process_time() - started < 1
    assert not caplog.records

"""runtime.image_files.avif_boxes: every version of the boxes that say which images lie where."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import InvalidImage, UnsupportedImage
from runtime.image_files.avif_boxes import AvifItems, read_items
from runtime.image_files.header import Steps
from tests.runtime.images import encode, make_box, make_photo

FTYP = make_box(b"ftyp", b"avif" + bytes(4) + b"avifmif1")
ISPE = make_box(b"ispe", bytes(4) + struct.pack(">II", 83, 61))


def make_full(kind: bytes, content: bytes, version: int = 0, flags: int = 0) -> bytes:
    """A box with a version."""
    return make_box(kind, struct.pack(">I", version << 24 | flags) + content)


def make_infe(item: int, kind: bytes, version: int = 2) -> bytes:
    number = struct.pack(">I" if version > 2 else ">H", item)
    return make_full(b"infe", number + bytes(2) + kind + b"\0", version)


def make_iloc(
    rows: list[tuple[int, int, int, list[tuple[int, int]]]],
    version: int = 0,
    sizes: tuple[int, int, int, int] = (4, 4, 0, 0),
) -> bytes:
    """Rows of item, method, base and extents; sizes of offsets, lengths, bases and indices."""
    offset, length, base, index = sizes
    number = ">I" if version > 1 else ">H"
    content = bytes([offset << 4 | length, base << 4 | index]) + struct.pack(number, len(rows))
    for item, method, start, extents in rows:
        content += struct.pack(number, item)
        content += struct.pack(">H", method) if version else b""
        content += bytes(2) + start.to_bytes(base, "big") + struct.pack(">H", len(extents))
        for first, count in extents:
            content += bytes(index if version else 0)
            content += first.to_bytes(offset, "big") + count.to_bytes(length, "big")
    return make_full(b"iloc", content, version)


def make_iprp(
    properties: list[bytes], associations: dict[int, list[int]], version: int = 0, flags: int = 0
) -> bytes:
    content = struct.pack(">I", len(associations))
    for item, numbers in associations.items():
        content += struct.pack(">I" if version else ">H", item) + bytes([len(numbers)])
        for number in numbers:
            content += struct.pack(">H" if flags else ">B", number)
    ipma = make_full(b"ipma", content, version, flags)
    return make_box(b"iprp", make_box(b"ipco", b"".join(properties)) + ipma)


def make_file(**parts: bytes) -> bytes:
    """A file with one item, number 1, but for the given parts; nothing behind them."""
    defaults = {
        "hdlr": make_full(b"hdlr", bytes(4) + b"pict" + bytes(13)),
        "pitm": make_full(b"pitm", struct.pack(">H", 1)),
        "iinf": make_full(b"iinf", struct.pack(">H", 1) + make_infe(1, b"av01")),
        "iprp": make_iprp([ISPE], {1: [1]}),
        "iloc": make_iloc([(1, 0, 0, [(0, 4)])]),
        "before": b"",
    }
    chosen = {**defaults, **parts}
    before = chosen.pop("before")
    return FTYP + before + make_full(b"meta", b"".join(chosen.values()))


def read(data: bytes) -> AvifItems:
    return read_items(data, Steps("AVIF"))


def test_the_plainest_file() -> None:
    assert read(make_file()) == AvifItems((83, 61), 0, None, {1: b"av01"}, {1: [(0, 4)]}, False)


def test_numbers_of_items_may_have_four_bytes() -> None:
    many = 70_000
    items = read(
        make_file(
            pitm=make_full(b"pitm", struct.pack(">I", many), 1),
            iinf=make_full(b"iinf", struct.pack(">I", 1) + make_infe(many, b"av01", 3), 1),
            iprp=make_iprp([ISPE], {9: [], many: [1]}, version=1),
            iloc=make_iloc([(many, 0, 0, [(5, 6)])], version=2),
        )
    )
    assert items.size == (83, 61)
    assert items.kinds == {many: b"av01"}
    assert items.places == {many: [(5, 11)]}


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("sizes", [(4, 4, 0, 0), (8, 8, 8, 8), (0, 4, 4, 0), (4, 8, 4, 4)])
def test_places(version: int, sizes: tuple[int, int, int, int]) -> None:
    offsets, base = (3, 20) if sizes[0] else (0, 0), 10 if sizes[2] else 0
    extents = [(offset, 5) for offset in offsets]
    items = read(make_file(iloc=make_iloc([(1, 0, base, extents), (2, 0, 0, [])], version, sizes)))
    assert items.places == {1: [(base + at, base + at + 5) for at in offsets], 2: []}


def test_places_in_the_box_idat() -> None:
    parts: dict[str, Any] = {"iloc": make_iloc([(1, 1, 0, [(2, 3)])], version=1)}
    data = make_file(**parts, idat=make_box(b"idat", b"..abc."))
    [(start, end)] = read(data).places[1]
    assert data[start:end] == b"abc"
    with pytest.raises(InvalidImage, match="too early"):
        read(make_file(**parts, idat=make_box(b"idat", b"..ab")))
    with pytest.raises(InvalidImage, match="too early"):
        read(make_file(**parts))


@pytest.mark.parametrize("flags", [0, 1])
@pytest.mark.parametrize("angle", range(4))
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_turns_are_the_primary_item_s(flags: int, angle: int, axis: int | None) -> None:
    essential = 0x8000 if flags else 0x80
    known = [make_box(b"irot", bytes([angle])), ISPE, make_box(b"imir", bytes([axis or 0]))]
    others = [make_box(b"irot", b"\3"), make_full(b"auxC", b"urn\0")]
    numbers = [2, 1 | essential, *([] if axis is None else [3 | essential])]
    items = read(make_file(iprp=make_iprp(known + others, {2: [4, 5], 1: numbers}, flags=flags)))
    assert (items.size, items.turned, items.mirrored) == ((83, 61), angle, axis)
    assert items.auxiliary


def test_sizes_of_boxes_may_have_eight_bytes_or_reach_to_the_end() -> None:
    plain = make_file()
    meta = plain[len(FTYP) + 8 :]
    large = FTYP + struct.pack(">I4sQ", 1, b"meta", 16 + len(meta)) + meta
    last = FTYP + struct.pack(">I4s", 0, b"meta") + meta
    free = make_file(before=make_box(b"free", bytes(9)))
    for data in (large, last, free, large + b"trailer"):
        assert read(data) == read(plain)


def test_only_a_sequence_is_named() -> None:
    for data in (
        FTYP + make_box(b"moov", b""),
        FTYP + make_full(b"meta", make_full(b"hdlr", bytes(20))) + make_box(b"moov", b""),
    ):
        with pytest.raises(UnsupportedImage, match="without a still image"):
            read(data)


@pytest.mark.parametrize("missing", ["iinf", "iprp", "iloc"])
def test_a_missing_part_is_damage(missing: str) -> None:
    with pytest.raises(KeyError):
        read(make_file(**{missing: b""}))


@pytest.mark.parametrize(
    "data",
    [
        make_file(iprp=make_iprp([ISPE], {2: [1]})),
        make_file(iloc=make_iloc([(1, 0, 0, [(0, 10_000)])])),
        make_file(iloc=make_iloc([(1, 0, 0, [(2**63, 2**63)])], sizes=(8, 8, 0, 0))),
        FTYP,
        FTYP + b"\0\0\0\3free",
        FTYP + struct.pack(">I4sQ", 1, b"free", 15) + bytes(8),
        FTYP + struct.pack(">I4sQ", 1, b"free", 2**63),
    ],
)
def test_damage_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage, match="AVIF"):
        read(data)


def test_whatever_is_repeated_the_steps_are_few() -> None:
    for data in (
        make_file(before=make_box(b"free", b"") * 30_000),
        make_file(iinf=make_full(b"iinf", bytes(2) + make_infe(1, b"av01") * 30_000)),
        make_file(iprp=make_iprp([ISPE] * 30_000, {1: [1]})),
        make_file(iprp=make_iprp([ISPE], {item: [1] for item in range(2, 30_000)})),
        make_file(iloc=make_iloc([(1, 0, 0, [(0, 1)] * 30_000)])),
        make_file(iloc=make_iloc([(1, 0, 0, [])] * 30_000)),
    ):
        with pytest.raises(InvalidImage, match="damaged"):
            read(data)


@given(st.integers(0, 400), st.binary(max_size=12))
def test_any_bytes_end_in_items_or_an_expected_error(at: int, other: bytes) -> None:
    data = encode(make_photo(9, 7), "AVIF")
    try:
        items = read(data[:at] + other + data[at + len(other) :])
    except (InvalidImage, KeyError, IndexError, struct.error):
        return
    assert all(end <= len(data) + 12 for place in items.places.values() for _, end in place)

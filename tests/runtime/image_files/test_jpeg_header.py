"""runtime.image_files.jpeg_header: sizes, scans, kinds by name, missing scans, many segments."""

import struct
import time

import pytest
from PIL import Image

from runtime import InvalidImage, UnsupportedImage, decode_image
from runtime.image_files.jpeg_header import make_demanding_jpeg, read_jpeg
from tests.runtime.images import (
    decode_pixels,
    encode,
    insert_segment,
    make_exif,
    make_photo,
    make_segment,
)

PLAIN = encode(make_photo(), "JPEG")
PROGRESSIVE = encode(make_photo(), "JPEG", progressive=True)
EXIF, SOS, EOI = 0xE1, b"\xff\xda", b"\xff\xd9"


def list_scans(data: bytes) -> list[int]:
    """Where the scans of a JPEG without metadata begin, with the Huffman codes before them."""
    starts = [at for at in range(len(data)) if data.startswith((SOS, b"\xff\xc4"), at)]
    return [
        at
        for at, before in zip(starts, [0, *starts], strict=False)
        if not data.startswith(b"\xff\xc4", before) or at == starts[0]
    ]


def name_frame(marker: int, bits: int = 8, channels: int | None = None) -> bytes:
    """The plain JPEG, declared to be of another kind."""
    data = bytearray(PLAIN)
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, bits
    if channels is not None:
        data[at + 9] = channels
    return bytes(data)


# ---- what a header tells


@pytest.mark.parametrize(
    ("mode", "options", "scans"),
    [
        ("RGB", {}, 1),
        ("L", {"progressive": True}, 6),
        ("RGB", {"progressive": True}, 10),
        ("CMYK", {"progressive": True}, 18),
        ("RGB", {"subsampling": 0, "restart_marker_blocks": 3}, 1),
    ],
)
def test_reads_size_and_scans(mode: str, options: dict[str, object], scans: int) -> None:
    header = read_jpeg(encode(make_photo().convert(mode), "JPEG", **options))
    assert (header.width, header.height, header.orientation) == (83, 61, 1)
    assert header.scans == scans
    assert header.several == (scans > 1)
    assert header.visits == 83 * 61 * scans


def test_counts_only_what_the_decoder_visits() -> None:
    inside = make_segment(0xE1, SOS * 30)  # a thumbnail's, for one
    data = PROGRESSIVE[:2] + inside + PROGRESSIVE[2:] + (SOS + b"\x00\x02") * 1000
    assert read_jpeg(data).scans == 10
    last = PROGRESSIVE.rindex(SOS)
    scan = PROGRESSIVE[last:-2]
    for filler in (b"", b"\xff" * 9, b"\xff\xd3", b"\xff\x00", b"junk", inside):
        assert read_jpeg(PROGRESSIVE[:-2] + (filler + scan) * 5 + EOI).scans == 15


def test_the_first_exif_segment_tells_the_orientation() -> None:
    turned = [b"Exif\0\0" + make_exif(struct.pack(">H", value)) for value in (6, 3)]
    data = insert_segment(insert_segment(PLAIN, EXIF, turned[1]), EXIF, turned[0])
    assert read_jpeg(data).orientation == 6
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    assert read_jpeg(insert_segment(PLAIN, EXIF, xmp)).orientation == 1  # as browsers do
    assert read_jpeg(insert_segment(data, EXIF, xmp)).orientation == 6


def test_the_decoder_gets_no_metadata() -> None:
    secret = b"secret" * 5
    data = PLAIN
    for marker in (0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE):
        data = insert_segment(data, marker, b"Exif\0\0" + secret)
    assert secret in data
    assert secret not in read_jpeg(data).head
    assert read_jpeg(data).head == read_jpeg(PLAIN).head


def test_what_tells_the_colours_is_kept() -> None:
    """RGB stored as such: only Adobe's segment says so."""
    red = Image.new("RGB", (16, 16), (200, 30, 60))
    data = encode(red, "JPEG", quality=95, subsampling=0, keep_rgb=True)
    assert decode_pixels(data)[8, 8] == pytest.approx([200, 30, 60], abs=3)


# ---- kinds of JPEG that are refused by name


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (name_frame(0xC3), "a lossless JPEG"),
        (name_frame(0xC9), "an arithmetic-coded JPEG"),
        (name_frame(0xCA), "an arithmetic-coded JPEG"),
        (name_frame(0xCB), "a lossless, arithmetic-coded JPEG"),
        (name_frame(0xC5), "a hierarchical JPEG"),
        (name_frame(0xCF), "a hierarchical JPEG"),
        (insert_segment(PLAIN, 0xDE, bytes(6)), "a hierarchical JPEG"),
        (insert_segment(PLAIN, 0xF7, bytes(6)), "a JPEG-LS"),
        (name_frame(0xC1, bits=12), "a JPEG of 12 bits a channel"),
        (name_frame(0xC0, channels=2), "a JPEG of 2 channels"),
        (insert_segment(name_frame(0xC9), 0xFE, b"x" * 65_533), "an arithmetic-coded JPEG"),
    ],
)
def test_kinds_that_the_decoder_cannot_read_are_named(data: bytes, text: str) -> None:
    for whole in (data, data + bytes(100_000)):  # whatever the size
        with pytest.raises(UnsupportedImage, match=f"found {text}.*baseline JPEG"):
            decode_image(whole)


# ---- scans that are missing


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_progressive_file_without_its_last_scans_is_incomplete(mode: str) -> None:
    data = encode(make_photo().convert(mode), "JPEG", progressive=True)
    starts = list_scans(data)
    assert len(starts) == {"L": 6, "RGB": 10, "CMYK": 18}[mode]
    for start in starts:
        for end in (EOI, b""):
            with pytest.raises(InvalidImage, match="ends too early"):
                decode_image(data[:start] + end)


def remove_scans(data: bytes, keep: list[int]) -> bytes:
    starts = [*list_scans(data), len(data) - 2]
    kept = b"".join(data[starts[i] : starts[i + 1]] for i in keep)
    return data[: starts[0]] + kept + EOI


def test_high_frequencies_that_an_encoder_left_out_are_not_missed() -> None:
    """Of the ten usual scans: the mean in full, and no others; browsers show it."""
    mean = remove_scans(PROGRESSIVE, [0, 6])
    assert read_jpeg(mean).scans == 2
    assert decode_image(mean).size == (83, 61)
    with pytest.raises(InvalidImage, match="ends too early"):  # begun and not finished
        decode_image(remove_scans(PROGRESSIVE, [0, 1, 6]))
    with pytest.raises(InvalidImage, match="ends too early"):  # no mean
        decode_image(remove_scans(PROGRESSIVE, [1, 2, 3]))


def test_fewer_bytes_than_blocks_need_are_not_decoded() -> None:
    """A giant by its header: no pixel is decoded."""
    at = PLAIN.index(b"\xff\xc0") + 5
    giant = PLAIN[:at] + struct.pack(">HH", 4999, 4999) + PLAIN[at + 4 :]
    with pytest.raises(InvalidImage, match="ends too early"):
        read_jpeg(giant)


# ---- damaged and hostile


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:2] + PLAIN[PLAIN.index(SOS) :],  # a scan without a frame
        PLAIN[: PLAIN.index(b"\xff\xc4")] + EOI,  # no scan
        insert_segment(PLAIN, 0xF0, b""),
        insert_segment(PLAIN, 0x4F, b""),
        PLAIN[:2] + b"\xff\xfe\x00\x01" + PLAIN[2:],  # shorter than its own length
        PLAIN[:2] + b"\xff\xfe\xff\xff" + PLAIN[2:],  # longer than the file
        name_frame(0xC0, channels=4),
        PLAIN.replace(b"\x01\x22\x00\x02\x11\x01", b"\x01\x52\x00\x02\x11\x01"),  # sampling
    ],
)
def test_damage_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage, match="JPEG file"):
        decode_image(data)


def test_two_frames_are_refused() -> None:
    at = PLAIN.index(b"\xff\xc0")
    length = 2 + struct.unpack_from(">H", PLAIN, at + 2)[0]
    small = bytearray(PLAIN[at : at + length])
    small[5:9] = struct.pack(">HH", 60_000, 60_000)
    for data in (
        PLAIN[:at] + small + PLAIN[at:],
        PLAIN[: at + length] + small + PLAIN[at + length :],
    ):
        with pytest.raises(InvalidImage):
            decode_image(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xfe\x00\x02" * 500_000 + PLAIN[2:],  # empty comments
        b"\xff\xd8" + b"\xff" * 2_000_000 + PLAIN[2:],  # fill bytes
        b"\xff\xd8\xff\xe0\x00\x02" + b"\x11" * 2_000_000 + PLAIN[2:],  # junk between segments
        b"\xff\xd8" + b"\xff\xd0" * 500_000 + PLAIN[2:],  # markers without content
        PROGRESSIVE[:-2] + b"\xff\xfe\x00\x02" * 500_000 + EOI,
    ],
    ids=["comments", "fill", "junk", "markers", "between scans"],
)
def test_floods_of_segments_are_refused_early(data: bytes) -> None:
    started = time.process_time()
    with pytest.raises(InvalidImage):
        decode_image(data)
    # Not a speed test: the decoder's own loop over these would take seconds of CPU time.
    assert time.process_time() - started < 2


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\x00", b"\xff\xd1x", b"\xff\x01", b"x"])
def test_finding_the_end_is_linear(filler: bytes) -> None:
    started = time.process_time()
    assert read_jpeg(PROGRESSIVE[:-2] + filler * (10_000_000 // len(filler)) + EOI).scans == 10
    # Not a speed test: a quadratic search of this run would take days.
    assert time.process_time() - started < 5


@pytest.mark.parametrize("before", [500, 511, 512, 513, 8_192 + 510, 300_000])
@pytest.mark.parametrize("fill", [b"\xaa", b"\xff"])
def test_the_end_is_found_wherever_it_lies(before: int, fill: bytes) -> None:
    for shift in range(-2, 3):
        data = PLAIN[:-2] + fill * (before + shift) + EOI + b"\xff\xfe\x00\x09trailer"
        assert read_jpeg(data).end == len(data) - 13


def test_the_most_demanding_kind_takes_most() -> None:
    most = make_demanding_jpeg(83, 61).measure_decoding()
    for mode in ("L", "RGB", "CMYK"):
        for options in ({}, {"progressive": True, "subsampling": 0}):
            header = read_jpeg(encode(make_photo().convert(mode), "JPEG", **options))
            assert header.measure_decoding() - header.kept_bytes <= most

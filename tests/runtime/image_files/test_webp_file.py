"""runtime.image_files.webp_file: lossy, lossless, extended, animated files, metadata, cut ones."""

import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime import InvalidImage, UnsupportedImage, decode_image
from runtime.image_files import webp_file as module
from runtime.image_files.webp_file import read_webp
from tests.runtime.images import decode_pixels, encode, make_exif, make_photo

KINDS: list[dict[str, Any]] = [
    {},
    {"lossless": True},
    {"icc_profile": b"x"},
    {"lossless": True, "exif": b"Exif\0\0"},
]
TURNED = make_exif(struct.pack(">H", 6))


def make_riff(*chunks: tuple[bytes, bytes], size: int | None = None) -> bytes:
    """A WebP of raw chunks."""
    body = b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body) if size is None else size) + b"WEBP" + body


def list_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 12
    while at < len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        chunks.append((kind, data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return chunks


@pytest.mark.parametrize("options", KINDS)
def test_reads_the_size_of_each_kind(options: dict[str, Any]) -> None:
    header = read_webp(encode(make_photo(), "WEBP", **options))
    assert (header.width, header.height, header.orientation) == (83, 61, 1)


@pytest.mark.parametrize("options", KINDS)
def test_a_file_cut_anywhere_is_refused(options: dict[str, Any]) -> None:
    data = encode(make_photo(31, 17), "WEBP", **options)
    for length in range(len(data)):
        with pytest.raises(InvalidImage):
            decode_image(data[:length])


@pytest.mark.parametrize("options", KINDS)
def test_cut_coded_data_is_refused_though_the_container_fits(options: dict[str, Any]) -> None:
    chunks = list_chunks(encode(make_photo(), "WEBP", **options))
    cut = [
        (kind, content[: len(content) // 2] if kind in (b"VP8 ", b"VP8L") else content)
        for kind, content in chunks
    ]
    with pytest.raises(InvalidImage, match="WebP"):
        decode_image(make_riff(*cut))


@pytest.mark.parametrize(
    "chunk",
    [
        (b"EXIF", b"MM\0*" + b"x" * 2_000_000),
        (b"XMP ", b'<x tiff:Orientation="6"/>'),
        (b"ICCP", b"x" * 2_000_000),
        (b"junk", b""),
    ],
    ids=lambda chunk: chunk[0].decode(),
)
def test_metadata_is_not_needed(chunk: tuple[bytes, bytes]) -> None:
    plain = encode(make_photo(), "WEBP", lossless=True, icc_profile=b"x")
    extended, _, *rest = list_chunks(plain)
    flags = (extended[0], b"\x2c" + extended[1][1:])
    data = make_riff(flags, *([chunk] if chunk[0] == b"ICCP" else []), *rest, chunk)
    assert np.array_equal(decode_pixels(data), np.asarray(make_photo()))


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("behind", [True, False])
def test_exif_is_found_wherever_it_stands(prefix: bytes, behind: bool) -> None:
    extended, *rest = list_chunks(encode(make_photo(), "WEBP", icc_profile=b"x"))
    exif = (b"EXIF", prefix + TURNED)
    chunks = [extended, *rest, exif] if behind else [extended, exif, *rest]
    assert read_webp(make_riff(*chunks)).orientation == 6
    short = (b"EXIF", exif[1][:-9])
    assert read_webp(make_riff(extended, *rest, short)).orientation == 1


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert decode_pixels(data)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    "data",
    [
        make_riff(),
        make_riff((b"VP8 ", b"")),
        make_riff((b"VP8 ", bytes(20))),
        make_riff((b"VP8L", b"\x2f")),
        make_riff((b"VP8L", bytes(20))),
        make_riff((b"VP8X", bytes(10))),
        make_riff((b"ALPH", bytes(10)), (b"VP8 ", bytes(20))),
        make_riff((b"VP8L", b"\x2f" + bytes(20)), size=2**32 - 1),
        make_riff((b"VP8L", b"\x2f" + bytes(20)), size=0),
    ],
)
def test_damage_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage, match="WebP"):
        decode_image(data)


def test_without_the_codec_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(make_photo(), "WEBP")
    monkeypatch.setattr(module, "_webp", None)
    with pytest.raises(UnsupportedImage, match=r"found WebP, which this build of Pillow.*a JPEG"):
        decode_image(data)


def test_floods_of_chunks_end() -> None:
    extended, *rest = list_chunks(encode(make_photo(), "WEBP", icc_profile=b"x"))
    many = [(b"junk", b"")] * 30_000
    exif = (b"EXIF", TURNED)
    assert read_webp(make_riff(extended, *rest, *many, exif)).orientation == 1

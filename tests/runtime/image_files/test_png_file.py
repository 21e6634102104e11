"""runtime.image_files.png_file: metadata of any size and damage, checksums, missing ends, depth."""

import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from runtime import InvalidImage, UnsupportedImage, decode_image, plan_decoding
from runtime.image_files.png_file import make_demanding_png, read_png
from tests.runtime.images import (
    SIGNATURE,
    decode_pixels,
    encode,
    insert_chunks,
    make_chunk,
    make_exif,
    make_photo,
    make_png,
    make_png_header,
)

PLAIN = encode(make_photo(), "PNG")
PIXELS = np.asarray(make_photo())
BOMB = zlib.compress(b"\0" * 60_000_000, 9)


def split_chunks(png: bytes) -> list[bytes]:
    """The chunks of a PNG, whole."""
    chunks, at = [], len(SIGNATURE)
    while at < len(png):
        end = at + 12 + struct.unpack_from(">I", png, at)[0]
        chunks.append(png[at:end])
        at = end
    return chunks


# ---- metadata


@pytest.mark.parametrize(
    "chunk",
    [
        (b"tEXt", b"Comment\0" + b"x" * 2_000_000),
        (b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 3_000_000)),
        (b"zTXt", b"Comment\0\0" + BOMB),
        (b"iTXt", b"Comment\0\1\0\0\0" + BOMB),
        (b"iCCP", b"profile\0\0" + BOMB),
        (b"iCCP", b"profile\0\7not zlib"),
        (b"eXIf", b"MM\0*" + b"x" * 2_000_000),
        (b"eXIf", b""),
        (b"pHYs", b"\1"),
        (b"gAMA", b""),
        (b"cHRM", b"\1\2\3"),
        (b"sRGB", b""),
        (b"tIME", bytes(7)),
        (b"acTL", bytes(8)),
        (b"fcTL", bytes(3)),
        (b"teSt", bytes(100)),
    ],
    ids=lambda chunk: chunk[0].decode(),
)
def test_metadata_is_not_needed(chunk: tuple[bytes, bytes]) -> None:
    started = time.process_time()
    for data in (
        insert_chunks(PLAIN, *[make_chunk(*chunk)] * 4),
        insert_chunks(PLAIN, make_chunk(*chunk, checksum=12345)),
        PLAIN[:-12] + make_chunk(*chunk) + PLAIN[-12:],
    ):
        assert np.array_equal(decode_pixels(data), PIXELS)
    # Not a speed test: inflating what these announce would take far longer.
    assert time.process_time() - started < 2


def test_compressed_metadata_costs_no_memory() -> None:
    data = insert_chunks(PLAIN, *[make_chunk(b"zTXt", b"k\0\0" + BOMB)] * 8)
    tracemalloc.start()
    decode_image(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < plan_decoding(data).decoding_bytes < 5 * 2**20


def test_exif_may_stand_behind_the_pixels_and_its_checksum_counts() -> None:
    exif = make_exif(struct.pack(">H", 6))
    chunk = make_chunk(b"eXIf", exif)
    assert decode_image(insert_chunks(PLAIN, chunk)).size == (61, 83)
    assert decode_image(PLAIN[:-12] + chunk + PLAIN[-12:]).size == (61, 83)
    assert decode_image(insert_chunks(PLAIN, make_chunk(b"eXIf", exif, checksum=1))).size == (
        83,
        61,
    )


# ---- checksums and ends


def test_a_wrong_checksum_is_damage_where_pixels_depend_on_it() -> None:
    palette = encode(make_photo().convert("P"), "PNG")
    for png, kinds in ((PLAIN, (b"IHDR", b"IDAT")), (palette, (b"IHDR", b"PLTE", b"IDAT"))):
        for kind in kinds:
            at = png.index(kind)
            end = at + 4 + struct.unpack_from(">I", png, at - 4)[0]
            for place in range(end, end + 4):
                flipped = png[:place] + bytes([png[place] ^ 1]) + png[place + 1 :]
                with pytest.raises(InvalidImage, match="PNG"):
                    decode_image(flipped)


def test_transparency_with_a_wrong_checksum_is_left_out() -> None:
    red = encode(Image.new("RGB", (4, 4), (255, 0, 0)), "PNG")
    transparent = make_chunk(b"tRNS", struct.pack(">HHH", 255, 0, 0))
    assert decode_pixels(insert_chunks(red, transparent))[0, 0].tolist() == [255, 255, 255]
    broken = make_chunk(b"tRNS", struct.pack(">HHH", 255, 0, 0), checksum=7)
    assert decode_pixels(insert_chunks(red, broken))[0, 0].tolist() == [255, 0, 0]
    short = make_chunk(b"tRNS", b"\0")
    assert decode_pixels(insert_chunks(red, short))[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("meta", [{}, {"dpi": (72, 72)}])
def test_cut_anywhere_it_is_refused_or_lacks_no_pixel(meta: dict[str, object]) -> None:
    image = make_photo(31, 17)
    data = encode(image, "PNG", **meta)
    read = 0
    for length in range(len(data)):
        try:
            pixels = decode_pixels(data[:length])
        except InvalidImage:
            continue
        assert np.array_equal(pixels, np.asarray(image))
        read += 1
    assert read >= 12  # IEND, and the checksum before it


@pytest.mark.parametrize("size", [1, 7, 100])
def test_pixels_in_many_chunks(size: int) -> None:
    first, *middle, last = split_chunks(PLAIN)
    content = b"".join(chunk[8:-4] for chunk in middle)
    pieces = [make_chunk(b"IDAT", content[i : i + size]) for i in range(0, len(content), size)]
    data = SIGNATURE + first + b"".join(pieces) + last
    assert np.array_equal(decode_pixels(data), PIXELS)
    pieces.insert(1, make_chunk(b"IDAT", b""))
    assert np.array_equal(decode_pixels(SIGNATURE + first + b"".join(pieces) + last), PIXELS)
    pieces.insert(len(pieces) // 2, make_chunk(b"tEXt", b"a\0b"))  # the format forbids it
    with pytest.raises(InvalidImage):
        decode_image(SIGNATURE + first + b"".join(pieces) + last)


def test_bytes_behind_the_end_are_left_alone() -> None:
    for tail in (b"trailer", make_chunk(b"zTXt", b"k\0\0" + BOMB), b"\0" * 100_000):
        assert np.array_equal(decode_pixels(PLAIN + tail), PIXELS)
        assert np.array_equal(decode_pixels(PLAIN[:-12] + tail), PIXELS)


@pytest.mark.parametrize("count", [100_000, 20_001])
def test_floods_of_chunks_are_refused_early(count: int) -> None:
    started = time.process_time()
    with pytest.raises(InvalidImage):
        decode_image(insert_chunks(PLAIN, make_chunk(b"teXt", b"") * count))
    # Not a speed test: the decoder's own loop over these would take seconds of CPU time.
    assert time.process_time() - started < 2


# ---- header


@pytest.mark.parametrize(
    "header",
    [
        make_png_header(1, 1, bits=3),
        make_png_header(1, 1, bits=4, colour=2),
        make_png_header(1, 1, bits=16, colour=3),
        make_png_header(1, 1, colour=1),
        make_png_header(1, 1, colour=9),
        make_png_header(1, 1)[:-1],
        make_png_header(1, 1) + b"\0",
        make_png_header(1, 1)[:-2] + b"\1\0",  # unknown filters
    ],
)
def test_unknown_kinds_are_damage(header: bytes) -> None:
    with pytest.raises(InvalidImage, match="PNG"):
        decode_image(make_png(header, (b"IDAT", zlib.compress(b"\0" * 9))))


def test_apple_s_variant_is_named() -> None:
    with pytest.raises(UnsupportedImage, match="Apple"):
        decode_image(SIGNATURE + make_chunk(b"CgBI", bytes(4)) + PLAIN[8:])


def test_the_header_must_come_first() -> None:
    first, *others = split_chunks(PLAIN)
    for data in (b"".join(others), make_chunk(b"tEXt", b"a\0b") + first + b"".join(others)):
        with pytest.raises(InvalidImage, match="damaged"):
            decode_image(SIGNATURE + data)
    for data in (b"", first, first + others[-1]):
        with pytest.raises(InvalidImage, match="too early"):
            decode_image(SIGNATURE + data)


def test_interlaced_files_are_read() -> None:
    """Of 8 x 8 pixels with one value in each of the seven passes."""
    passes = [(1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4)]  # columns, rows
    rows = b"".join(
        (b"\0" + bytes([30 * i]) * columns) * count for i, (columns, count) in enumerate(passes)
    )
    header = make_png_header(8, 8, colour=0)[:-1] + b"\1"
    pixels = decode_pixels(make_png(header, (b"IDAT", zlib.compress(rows))))[..., 0]
    assert pixels[0].tolist() == [0, 150, 90, 150, 30, 150, 90, 150]
    assert (pixels[1::2] == 180).all()


# ---- depth and transparency


def encode_deep_grey(levels: list[int], *chunks: tuple[bytes, bytes]) -> bytes:
    rows = zlib.compress(b"\0" + np.array(levels, ">u2").tobytes())
    header = make_png_header(len(levels), 1, bits=16, colour=0)
    return make_png(header, *chunks, (b"IDAT", rows))


@pytest.mark.parametrize(
    ("levels", "chunks", "expected"),
    [
        ([0, 255, 256, 0x7FFF, 0xFF00, 0xFFFF], [], [0, 0, 1, 0x7F, 0xFF, 0xFF]),
        ([0, 255, 256, 0x7FFF], [(b"tRNS", b"\x01\x00")], [0, 0, 0xFF, 0x7F]),
        # 12 bits as they came from the camera, declared
        ([0, 1, 2047, 2048, 4094, 4095], [(b"sBIT", b"\x0c")], [0, 0, 127, 127, 254, 255]),
        ([0, 7, 4095], [(b"sBIT", b"\x0c"), (b"tRNS", b"\x00\x07")], [0, 255, 255]),
        ([0, 511, 1023], [(b"sBIT", b"\x0a")], [0, 127, 255]),
        ([0, 5, 7], [(b"sBIT", b"\x03")], [0, 182, 255]),
        # 12 bits, stretched to 16 as the format asks for: by zeros, and by their own high bits
        ([0, 0x10, 0x8000, 0xFFF0], [(b"sBIT", b"\x0c")], [0, 0, 0x80, 0xFF]),
        ([0, 0x10, 0xF0, 0xFF0], [(b"sBIT", b"\x0c")], [0, 0, 0, 0x0F]),
        ([0x8008, 0xFFFF, 0x0010], [(b"sBIT", b"\x0c")], [0x80, 0xFF, 0]),
        ([0x0010, 0x00F0, 0x0FF0], [(b"sBIT", b"\x0c")], [0, 0, 0x0F]),
        # nothing declared, or nothing that means something
        ([0, 2048, 4095], [], [0, 8, 15]),
        ([0, 2048, 4095], [(b"sBIT", b"\x10")], [0, 8, 15]),
        ([0, 2048, 4095], [(b"sBIT", b"\x00")], [0, 8, 15]),
        ([0, 2048, 4095], [(b"sBIT", b"\xff")], [0, 8, 15]),
        ([0, 2048, 4095], [(b"sBIT", b"\x0c\x0c")], [0, 8, 15]),
        ([0, 0, 0], [(b"sBIT", b"\x0c")], [0, 0, 0]),
    ],
)
def test_deep_grey(
    levels: list[int], chunks: list[tuple[bytes, bytes]], expected: list[int]
) -> None:
    pixels = decode_pixels(encode_deep_grey(levels, *chunks))
    assert pixels[0, :, 0].tolist() == expected
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_large_deep_grey_is_converted_in_pieces() -> None:
    levels = np.arange(700 * 900, dtype=np.uint16).reshape(900, 700)
    pixels = decode_pixels(encode(Image.fromarray(levels), "PNG"))
    assert np.array_equal(pixels[..., 1], levels >> 8)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_transparent_grey_is_white(bits: int) -> None:
    largest = 2**bits - 1
    levels = [0, 1, largest] if bits == 1 else [0, 1, 2, largest]
    packed = "".join(f"{level:0{bits}b}" for level in levels).ljust(32, "0")
    row = b"\0" + int(packed, 2).to_bytes(4, "big")[: -(-len(levels) * bits // 8)]
    header = make_png_header(len(levels), 1, bits=bits, colour=0)
    chunks = [(b"tRNS", b"\0\1"), (b"IDAT", zlib.compress(row))]
    expected = [255 if level == 1 else level * 255 // largest for level in levels]
    assert decode_pixels(make_png(header, *chunks))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("colour", [2, 6, 4])
def test_16_bit_colour_keeps_its_high_byte(colour: int) -> None:
    by_colour = {2: [0x0102, 0x8000, 65535], 6: [0x0102, 0x8000, 65535, 65535], 4: [0x8000, 65535]}
    channels = by_colour[colour]
    rows = zlib.compress(b"\0" + struct.pack(f">{len(channels)}H", *channels))
    expected = [128, 128, 128] if colour == 4 else [1, 128, 255]
    data = make_png(make_png_header(1, 1, bits=16, colour=colour), (b"IDAT", rows))
    assert decode_pixels(data)[0, 0].tolist() == expected


def test_of_an_animation_the_still_image_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    animated = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert decode_pixels(animated)[0, 0].tolist() == [255, 0, 0]
    still = encode(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)
    assert decode_pixels(still)[0, 0].tolist() == [255, 0, 0]


def test_the_most_demanding_kind_takes_most() -> None:
    most = make_demanding_png(83, 61, 10**6).measure_decoding()
    for mode in ("1", "L", "P", "RGB", "LA", "RGBA", "I;16"):
        image = make_photo().convert("L" if mode == "I;16" else mode)
        stream = io.BytesIO()
        (Image.fromarray(np.asarray(image).astype(np.uint16)) if mode == "I;16" else image).save(
            stream, "PNG", dpi=(72, 72)
        )
        header = read_png(stream.getvalue())
        assert header.measure_decoding() <= most
        assert header.kept_bytes < len(stream.getvalue())
    assert read_png(PLAIN).kept_bytes == 0  # nothing to leave out: no copy

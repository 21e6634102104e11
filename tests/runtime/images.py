"""Image files for the tests of the decoder: photos of every format, files put together by hand."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from runtime import decode_image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def make_photo(width: int = 83, height: int = 61) -> Image.Image:
    """A colourful image without symmetry, smooth enough for lossy formats."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 255 // width, y * 255 // height, (x + 2 * y) * 255 // (width + 2 * height))
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def make_noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """An image that does not compress: many bytes in each block."""
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The image as a file of this format."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def decode_pixels(data: bytes) -> np.ndarray:
    """The decoded image as int [height, width, 3]."""
    return np.asarray(decode_image(data)).astype(int)


def make_segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def insert_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """A JPEG with a segment more, the first one."""
    return jpeg[:2] + make_segment(marker, content) + jpeg[2:]


def make_chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    """A chunk of a PNG; with a wrong checksum on demand."""
    if checksum is None:
        checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def make_png(header: bytes, *chunks: tuple[bytes, bytes], end: bool = True) -> bytes:
    """A PNG of raw chunks: what Pillow itself would not write."""
    rows = [(b"IHDR", header), *chunks, *([(b"IEND", b"")] if end else [])]
    return SIGNATURE + b"".join(make_chunk(*row) for row in rows)


def make_png_header(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    """The content of IHDR."""
    return struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)


def insert_chunks(png: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks more, between its header and what follows."""
    at = len(SIGNATURE) + 12 + 13
    return png[:at] + b"".join(chunks) + png[at:]


def make_exif(value: bytes, kind: int = 3, count: int = 1, order: str = ">") -> bytes:
    """A TIFF structure with the orientation as its only entry; `value` is padded to four bytes."""
    magic = b"MM\0*" if order == ">" else b"II*\0"
    entry = struct.pack(f"{order}HHI4s", 0x0112, kind, count, value)
    return magic + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def make_box(kind: bytes, content: bytes) -> bytes:
    """A box of an ISO base media file."""
    return struct.pack(">I4s", 8 + len(content), kind) + content

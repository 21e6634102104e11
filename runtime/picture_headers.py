"""What a picture file says of itself before any pixel is decoded: its size, its scans.

The walks visit every marker or chunk that the decoder will, in a bounded number of steps, and raise
InvalidImage, or IndexError and struct.error where a field is cut off: damage to the caller.
"""

import re
import struct

from runtime.errors import InvalidImage

# Header elements read before the pixels. Real files have a few dozen to a few thousand; the
# decoder's header loop runs in Python: a file of millions of empty elements would stall a thread.
_MAX_ELEMENTS = 20_000
# A marker between or inside scans. Not with \xff+: a run of them would be searched again and again.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
_TRUNCATED = "expected a complete {} file; found one that ends too early. Send the whole file."


def read_size(data: bytes, kind: str) -> tuple[int, int]:
    """Width and height; `kind` is Pillow's name of the format: JPEG, PNG or WEBP.

    Raises:
        InvalidImage: damaged or incomplete.
    """
    return _READ_SIZE[kind](data)


def count_scans(data: bytes) -> int:
    """The scans of a JPEG up to the end of the picture, by its markers.

    What follows the end, the video of a motion photo for one, is not the decoder's and not counted.

    Raises:
        InvalidImage: more segments than any encoder writes.
    """
    scans, position = 0, 2
    for _ in range(_MAX_ELEMENTS):
        marker = _JPEG_MARKER.search(data, position)
        if marker is None or marker[1] == b"\xd9":
            return scans
        scans += marker[1] == b"\xda"
        (length,) = struct.unpack_from(">H", data, marker.end())
        position = marker.end() + length
    raise InvalidImage(describe_damage("JPEG"))


def describe_damage(kind: str) -> str:
    """The text of the error for a file that cannot be read; `kind` is Pillow's name."""
    name = "WebP" if kind == "WEBP" else kind
    return (
        f"expected a readable {name} file; found damaged or incomplete content. "
        "Save the picture anew."
    )


def _read_jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height by the frame header; walks the segments up to the first scan."""
    size = None
    position, junk = 2, 0
    for _ in range(_MAX_ELEMENTS):
        start = data.find(b"\xff", position)
        if start < 0:
            raise InvalidImage(_TRUNCATED.format("JPEG"))
        junk += start - position
        if junk > _MAX_ELEMENTS:
            break
        (marker,) = struct.unpack_from(">B", data, start + 1)
        if marker == 0xFF:  # a fill byte
            position = start + 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # markers without content
            position = start + 2
        else:
            (length,) = struct.unpack_from(">H", data, start + 2)
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack_from(">HH", data, start + 5)
                size = (width, height)
            elif marker == 0xDA:
                if size is None:
                    break
                if data.rfind(b"\xff\xd9") < start:
                    raise InvalidImage(_TRUNCATED.format("JPEG"))
                return size
            position = start + 2 + length
    raise InvalidImage(describe_damage("JPEG"))


def _read_png_size(data: bytes) -> tuple[int, int]:
    """Width and height by IHDR; walks the chunks up to IEND, which proves the file complete."""
    size = None
    position = 8
    for _ in range(_MAX_ELEMENTS):
        length, kind = struct.unpack_from(">I4s", data, position)
        if position + 12 + length > len(data):
            raise InvalidImage(_TRUNCATED.format("PNG"))
        if size is None:
            if kind != b"IHDR" or length != 13:
                break
            size = struct.unpack_from(">II", data, position + 8)
        if kind == b"IEND":
            return size
        position += 12 + length
    raise InvalidImage(describe_damage("PNG"))


def _read_webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas by the first chunk of the RIFF container."""
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    if riff_bytes + 8 > len(data):
        raise InvalidImage(_TRUNCATED.format("WebP"))
    chunk = data[12:16]
    if chunk == b"VP8X":
        packed = int.from_bytes(data[24:30], "little")
        return (packed & 0xFFFFFF) + 1, (packed >> 24) + 1
    if chunk == b"VP8L" and data[20] == 0x2F:
        (packed,) = struct.unpack_from("<I", data, 21)
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise InvalidImage(describe_damage("WEBP"))


_READ_SIZE = {"JPEG": _read_jpeg_size, "PNG": _read_png_size, "WEBP": _read_webp_size}

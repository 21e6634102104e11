"""The orientation in EXIF metadata, by a walk of its own over one directory of the TIFF structure.

Pillow's reader parses every entry, and logs and allocates for damaged ones; here nothing but one
entry is looked at, so that hostile metadata costs no more than a few milliseconds.
"""

import struct

from PIL import Image

#: EXIF's orientation -> what turns the stored image upright; 1 needs nothing.
TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PREFIX = b"Exif\0\0"
_TAG = 0x0112
# BYTE, SHORT and LONG, as readers of metadata take it (browsers: SHORT alone). Text is no number.
_INTEGERS = {1: "B", 3: "H", 4: "I"}
_ENTRY = 12


def read_orientation(exif: bytes) -> int:
    """How the image is turned, 1 to 8; 1, upright, where EXIF does not say so or is damaged.

    `exif` is the TIFF structure, with or without the six bytes that stand before it in a JPEG. The
    first entry with the tag counts; it must be one integer.
    """
    start = len(_PREFIX) if exif.startswith(_PREFIX) else 0
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[start : start + 4])
    if order is None or len(exif) < start + 8:
        return 1
    (offset,) = struct.unpack_from(f"{order}I", exif, start + 4)
    first = start + offset + 2
    if first > len(exif):
        return 1
    (count,) = struct.unpack_from(f"{order}H", exif, first - 2)
    whole = min(count, (len(exif) - first) // _ENTRY)
    entries = struct.iter_unpack(f"{order}HHI4s", exif[first : first + whole * _ENTRY])
    for tag, kind, values, value in entries:
        if tag == _TAG:
            if kind not in _INTEGERS or values != 1:
                return 1
            (orientation,) = struct.unpack_from(order + _INTEGERS[kind], value)
            return int(orientation) if 1 <= orientation <= 8 else 1
    return 1

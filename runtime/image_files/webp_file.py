"""WebP files: size and orientation by the chunks of the container, and decoding of one frame."""

import struct
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image

from runtime.image_files.exif import read_orientation
from runtime.image_files.faults import damaged, incomplete, unreadable
from runtime.image_files.header import MAX_ELEMENTS, ImageHeader, measure_image

try:
    from PIL import _webp
except ImportError:  # Pillow can be built without it
    _webp = None  # type: ignore[assignment]

_ROW_BYTES = 100  # a pixel of the width, of the rows in work


@dataclass(frozen=True)
class WebpHeader(ImageHeader):
    """The canvas of a WebP."""

    file_bytes: int

    format: ClassVar[str] = "WEBP"

    @property
    def stored_bytes(self) -> int:
        """Four channels in memory, whether the fourth is used or not."""
        return 4

    @property
    def converts(self) -> bool:
        """Transparent ones do; it takes less than decoding."""
        return True

    def measure_decoder(self, scale: int) -> int:
        """A copy of the file, two canvases, and pixels on their way into or out of one of them."""
        rows = _ROW_BYTES * self.width
        return self.file_bytes + 3 * measure_image(self.width, self.height) + rows

    def decode(self, data: bytes, scale: int) -> Image.Image:
        """The first frame, in mode RGB or RGBA."""
        decoder = _webp.WebPAnimDecoder(data)
        size, _, _, _, stored = decoder.get_info()
        frame = decoder.get_next()
        del decoder  # and its canvases
        if frame is None or size != (self.width, self.height):
            raise damaged("WEBP")
        return Image.frombytes("RGBA" if stored == "RGBA" else "RGB", size, frame[0], "raw", stored)


def read_webp(data: bytes) -> WebpHeader:
    """Reads the first chunk and, of an extended file, finds the one with EXIF metadata.

    Raises:
        UnsupportedImage: a Pillow without WebP.
        InvalidImage: damaged or incomplete; IndexError, struct.error: a field is cut off.
    """
    if _webp is None:
        raise unreadable("WEBP")
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    if riff_bytes + 8 > len(data):
        raise incomplete("WEBP")
    kind, orientation = data[12:16], 1
    if kind == b"VP8X":
        packed = int.from_bytes(data[24:30], "little")
        width, height = (packed & 0xFFFFFF) + 1, (packed >> 24) + 1
        orientation = _find_orientation(data, riff_bytes + 8)
    elif kind == b"VP8L" and data[20] == 0x2F:
        (packed,) = struct.unpack_from("<I", data, 21)
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise damaged("WEBP")
    return WebpHeader(width, height, orientation, len(data))


def _find_orientation(data: bytes, end: int) -> int:
    position = 12
    for _ in range(MAX_ELEMENTS):
        if position + 8 > end:
            break
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            return read_orientation(data[position + 8 : position + 8 + length])
        position += 8 + length + length % 2
    return 1

"""PNG files: the header by the chunks that pixels are made of, and decoding of these alone.

Metadata is not handed to the decoder: texts and colour profiles may be of any size, compressed ones
are never inflated, and a wrong checksum in them spoils nothing. Of an animation the still image is
left. The end of the file may be missing, if no pixel is.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from runtime.image_files.exif import read_orientation
from runtime.image_files.faults import damaged, incomplete, unsupported
from runtime.image_files.header import MAX_ELEMENTS, ImageHeader, measure_image
from runtime.image_files.rgb import convert_deep_grey, measure_pieces

_SIGNATURE = 8  # bytes
_FRAME = 12  # bytes of a chunk beside its content: length, kind, checksum
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_STRETCHED = {2: 255 // 3, 4: 255 // 15}  # bits of grey -> what samples are multiplied by
_DEPTHS = {_GREY: (1, 2, 4, 8, 16), _PALETTE: (1, 2, 4, 8)}
_TRANSPARENCY_LENGTHS = {_GREY: range(2, 3), _RGB: range(6, 7), _PALETTE: range(1, 257)}
_IEND = b"\0\0\0\0IEND"
_APPLE = "a PNG in the form that Apple's tools pack into apps (CgBI)"


@dataclass(frozen=True)
class PngHeader(ImageHeader):
    """What IHDR says, and which `pieces` of the file, from, to, the decoder gets.

    The last one is the run of IDAT chunks. `whole`: nothing lies between them, nor behind.
    """

    bits: int
    colour: int
    transparent: bool
    significant_bits: int
    pieces: tuple[tuple[int, int], ...]
    whole: bool

    format: ClassVar[str] = "PNG"

    @property
    def stored_bytes(self) -> int:
        """Grey and palette have one channel, all others in memory four."""
        return 1 if self.colour in (_GREY, _PALETTE) else 4

    @property
    def in_pieces(self) -> bool:
        """Transparent ones are."""
        return self.transparent

    @property
    def converts(self) -> bool:
        """All do but opaque RGB."""
        return self.colour != _RGB or self.transparent

    @property
    def kept_bytes(self) -> int:
        """The pieces, put together."""
        return 0 if self.whole else sum(end - start for start, end in self.pieces)

    def measure_decoder(self, scale: int) -> int:
        """The image, 16-bit grey before it is made 8-bit, two rows of the file."""
        image = measure_image(self.width, self.height, self.stored_bytes)
        if self.colour == _GREY and self.bits == 16:
            image += measure_image(self.width, self.height, 2) + measure_pieces(self.pixels)
        row = -(-self.width * self.bits * _CHANNELS[self.colour] // 8)
        return image + 2 * row

    def decode(self, data: bytes, scale: int) -> Image.Image:
        """The image in mode 1, L, P, LA, RGB or RGBA."""
        start, end = self.pieces[-1]
        for _, first, last in _walk_chunks(data, start):
            if first >= end:
                break
            if last <= len(data) and not _is_intact(data, first, last):
                raise damaged("PNG")
        if not self.whole:
            view = memoryview(data)
            data = b"".join(view[start:end] for start, end in self.pieces)
        image = PngImageFile(io.BytesIO(data))
        image.load()
        if self.colour == _GREY and self.bits in _STRETCHED and "transparency" in image.info:
            image.info["transparency"] *= _STRETCHED[self.bits]  # Pillow stretches the pixels alone
        return convert_deep_grey(image, self.significant_bits) if image.mode == "I;16" else image


def make_demanding_png(width: int, height: int, file_bytes: int) -> PngHeader:
    """The kind that takes most memory: turned, transparent, with metadata."""
    pieces = ((0, file_bytes),)
    return PngHeader(width, height, 6, 16, _RGBA, True, 16, pieces, whole=False)


def read_png(data: bytes) -> PngHeader:
    """Walks all chunks up to IEND, or to the end of the file.

    Raises:
        UnsupportedImage: Apple's variant.
        InvalidImage: damaged or incomplete; IndexError, struct.error: a field is cut off.
    """
    width = height = bits = colour = 0
    significant_bits, transparent, orientation = 16, False, None
    pieces: list[tuple[int, int]] = []
    pixels: tuple[int, int] | None = None
    for kind, start, end in _walk_chunks(data, _SIGNATURE):
        if not pieces:
            if kind == b"CgBI":
                raise unsupported(_APPLE)
            if kind != b"IHDR" or end - start != _FRAME + 13 or not _is_intact(data, start, end):
                raise damaged("PNG")
            width, height, bits, colour = struct.unpack_from(">IIBB", data, start + 8)
            if colour not in _CHANNELS or bits not in _DEPTHS.get(colour, (8, 16)):
                raise damaged("PNG")
            pieces.append((0, end))
        elif kind == b"IDAT":
            if pixels is None or pixels[1] == start:  # of several runs the first one counts
                pixels = (pixels or (start, end))[0], end
        elif kind == b"eXIf" and orientation is None:
            intact = _is_intact(data, start, end)
            orientation = read_orientation(data[start + 8 : end - 4]) if intact else 1
        elif pixels is not None:
            continue
        elif kind == b"PLTE" and colour == _PALETTE:
            if not _is_intact(data, start, end):
                raise damaged("PNG")
            pieces.append((start, end))
        elif kind == b"tRNS" and end - start - _FRAME in _TRANSPARENCY_LENGTHS.get(colour, ()):
            if not transparent and _is_intact(data, start, end):
                transparent = True
                pieces.append((start, end))
        elif kind == b"sBIT" and colour == _GREY and end - start == _FRAME + 1:
            significant_bits = data[start + 8] if _is_intact(data, start, end) else 16
    if pixels is None:
        raise incomplete("PNG")
    whole = len(pieces) == 1 and pieces[0][1] == pixels[0] and data.startswith(_IEND, pixels[1])
    return PngHeader(
        width,
        height,
        orientation or 1,
        bits,
        colour,
        transparent or colour in (_GREY_ALPHA, _RGBA),
        significant_bits if 0 < significant_bits < 16 else 16,
        (*pieces, pixels),
        whole,
    )


def _walk_chunks(data: bytes, position: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of each chunk from `position` on; the last one's end may not be there."""
    for _ in range(MAX_ELEMENTS):
        if position + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, position, position + _FRAME + length
        if kind == b"IEND":
            return
        position += _FRAME + length
    raise damaged("PNG")


def _is_intact(data: bytes, start: int, end: int) -> bool:
    """Whether the checksum of a chunk is right; without one, at the end of the file, it is not."""
    content = memoryview(data)[start + 4 : end - 4]
    return data[end - 4 : end] == struct.pack(">I", zlib.crc32(content))

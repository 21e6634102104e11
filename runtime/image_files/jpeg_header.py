"""The segments of a JPEG file: size, orientation, scans, and whether all of the image is announced.

What the decoder needs of the header is put together anew, without metadata: no reader of Pillow's
or libjpeg's ever meets what a stranger wrote into an application segment.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from runtime.image_files.exif import read_orientation
from runtime.image_files.faults import damaged, incomplete, unsupported
from runtime.image_files.header import FIXED_BYTES, MAX_ELEMENTS, ImageHeader, measure_image
from runtime.image_files.jpeg_decoder import decode_scans

_MAX_SEGMENTS = 5_000  # of a header; real ones have a few hundred, of metadata in pieces, at most
_MAX_BETWEEN_SCANS = 2_500  # segments: finding each takes some microseconds
_NOT_BEGUN = 255
# A marker between or inside scans: no stuffed byte, no fill byte, no restart marker, not 0x01.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_NEAR, _SEARCHED = 2**9, 2**17  # bytes that are searched for one, by either way
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_SOS, _EOI, _EXIF, _DRI = 0xDA, 0xD9, 0xE1, 0xDD
_TABLES = (0xC4, 0xDB, _DRI)  # Huffman codes, quantisation, restart interval
# Application segments that tell the colour space: marker, signature, least bytes of content.
_COLOUR = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}
# Kinds of JPEG that are not read, by the marker that tells them.
_OTHERS = {
    0xC3: "a lossless JPEG",
    0xC9: "an arithmetic-coded JPEG",
    0xCA: "an arithmetic-coded JPEG",
    0xCB: "a lossless, arithmetic-coded JPEG",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF), "a hierarchical JPEG"),
    0xF7: "a JPEG-LS",
}
_REMEDY = "The decoder cannot read it: save it as a baseline JPEG."


@dataclass(frozen=True)
class Component:
    """One channel: its identifier, and how many blocks, across and down, a unit (MCU) has of it."""

    identifier: int
    across: int
    down: int


@dataclass(frozen=True)
class JpegHeader(ImageHeader):
    """A JPEG with Huffman codes and 8 bits.

    `head` is what the decoder gets up to the first entropy-coded byte; from there to `end`, where
    the last scan ends, it gets the file. `several`: the decoder keeps all coefficients until then.
    """

    components: tuple[Component, ...]
    head: bytes
    start: int
    end: int
    scans: int
    several: bool
    next_restart: int

    format: ClassVar[str] = "JPEG"

    @property
    def visits(self) -> int:
        """Each scan visits every pixel."""
        return self.pixels * self.scans

    @property
    def stored_bytes(self) -> int:
        """Bytes per pixel: grey has one channel, RGB four in memory, CMYK four."""
        return 1 if len(self.components) == 1 else 4

    @property
    def converts(self) -> bool:
        """Grey and CMYK do."""
        return len(self.components) != 3

    @property
    def kept_bytes(self) -> int:
        """The header put together anew; of one with very many tables the decoder keeps as much."""
        return 2 * len(self.head)

    def measure_decoder(self, scale: int) -> int:
        """The image; rows on their way to it; and, of several scans, 2 bytes for each coefficient.

        A reduced image needs the coefficients of the full one.
        """
        width, height = self.reduce(scale)
        across = 8 * max(component.across for component in self.components)
        down = max(component.down for component in self.components)
        units = -(-self.width // across) * -(-self.height // (8 * down)) if self.several else 1
        blocks = sum(component.across * component.down for component in self.components)
        rows = 16 * down * len(self.components) * (width + across)
        image = measure_image(width, height, self.stored_bytes)
        return image + 128 * blocks * units + rows

    def measure_stored(self, scale: int = 1) -> int:
        """The decoder reduces; an image that is not turned is converted when it is small."""
        return self.kept_bytes + self.measure_decoder(scale) + FIXED_BYTES

    def decode(self, data: bytes, scale: int) -> Image.Image:
        """The image in mode L, RGB or CMYK; raises InvalidImage too if its last scan is cut off."""
        body = memoryview(data)[self.start : self.end]
        return decode_scans(self.head, body, scale, self.next_restart if self.several else None)


def make_demanding_jpeg(width: int, height: int) -> JpegHeader:
    """The kind that takes most memory: turned, progressive, four full channels."""
    channels = tuple(Component(i, 1, 1) for i in range(4))
    return JpegHeader(width, height, 6, channels, b"", 0, 0, 1, True, 0)


def read_jpeg(data: bytes) -> JpegHeader:
    """Walks all segments of the header, and those between the scans.

    Raises:
        UnsupportedImage: a kind of JPEG that the decoder does not know.
        InvalidImage: damaged or incomplete; IndexError, struct.error: a field is cut off.
    """
    needed, frame, size, orientation = [data[:2]], 0, (0, 0), None
    components: tuple[Component, ...] = ()
    for marker, start, end in _walk_header(data):
        content = data[start + 4 : end]
        if marker in _OTHERS:
            raise unsupported(_OTHERS[marker], _REMEDY)
        if marker < 0xC0 or marker == 0xC8 or 0xF0 <= marker <= 0xFD:  # reserved: as decoders do
            raise damaged("JPEG")
        if marker in _SEQUENTIAL or marker == _PROGRESSIVE:
            if frame:
                raise damaged("JPEG")
            frame, components = marker, _read_frame(content)
            size = struct.unpack_from(">HH", content, 1)  # height, width
        elif marker == _EXIF and orientation is None and content.startswith(b"Exif\0"):
            orientation = read_orientation(content[6:])
            continue
        elif marker in _COLOUR:
            signature, least = _COLOUR[marker]
            if not content.startswith(signature) or len(content) < least:
                continue
        elif marker not in _TABLES and marker != _SOS:
            continue
        needed.append(data[start:end])
    if not frame:
        raise damaged("JPEG")
    progressive = frame == _PROGRESSIVE
    several = progressive or content[0] < len(components)
    if several:
        restarts = any(segment[1] == _DRI for segment in needed)
        scans, last, restart = _walk_scans(
            data, end, content, components, progressive=progressive, restarts=restarts
        )
    else:
        scans, last, restart = 1, _find_marker(data, end), 0
    blocks = sum(_count_blocks(size[::-1], component, components) for component in components)
    codes = 1 if progressive else 2  # of a block at least: one for its mean, one for the rest
    if 8 * (last - end) < codes * blocks:
        raise incomplete("JPEG")
    return JpegHeader(
        size[1],
        size[0],
        orientation or 1,
        components,
        b"".join(needed),
        end,
        last,
        scans,
        several,
        restart,
    )


def _walk_header(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment up to the first scan's header, that one included."""
    position, segments, junk = 2, 0, 0
    while segments < _MAX_SEGMENTS and junk < MAX_ELEMENTS:
        start = data.find(b"\xff", position)
        if start < 0:
            raise incomplete("JPEG")
        junk += start - position
        marker = data[start + 1]
        if marker == 0xFF:  # a fill byte
            position, junk = start + 1, junk + 1
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD8:  # markers without content
            position, junk = start + 2, junk + 1
        elif marker == _EOI:
            raise incomplete("JPEG")
        else:
            position, segments = _end_segment(data, start), segments + 1
            yield marker, start, position
            if marker == _SOS:
                return
    raise damaged("JPEG")


def _end_segment(data: bytes, start: int) -> int:
    (length,) = struct.unpack_from(">H", data, start + 2)
    if length < 2:
        raise damaged("JPEG")
    if start + 2 + length > len(data):
        raise incomplete("JPEG")
    return start + 2 + int(length)


def _read_frame(content: bytes) -> tuple[Component, ...]:
    """The components of a frame header."""
    bits, count = content[0], content[5]
    if bits != 8:
        raise unsupported(f"a JPEG of {bits} bits a channel", _REMEDY)
    if count not in (1, 3, 4):
        raise unsupported(f"a JPEG of {count} channels", _REMEDY)
    components = []
    for identifier, sampling, _ in struct.iter_unpack(">BBB", content[6 : 6 + 3 * count]):
        if not (1 <= sampling >> 4 <= 4 and 1 <= sampling & 15 <= 4):
            raise damaged("JPEG")
        components.append(Component(identifier, sampling >> 4, sampling & 15))
    if len(components) != count:
        raise damaged("JPEG")
    return tuple(components)


def _count_blocks(
    size: tuple[int, int], component: Component, components: tuple[Component, ...]
) -> int:
    """Of 8 x 8 samples that a component has at least."""
    across = max(other.across for other in components)
    down = max(other.down for other in components)
    width, height = size
    return -(-width * component.across // (8 * across)) * -(-height * component.down // (8 * down))


def _walk_scans(
    data: bytes,
    start: int,
    scan: bytes,
    components: tuple[Component, ...],
    *,
    progressive: bool,
    restarts: bool,
) -> tuple[int, int, int]:
    """The number of scans, where the last one ends, and the number of its next restart marker.

    `scan` is the content of the first scan's header, which ends at `start`. What follows the end of
    the image, the video of a motion photo for one, is not visited.
    """
    # Of each coefficient of a block, the bits that its scans have left out so far.
    missing = {component.identifier: bytearray([_NOT_BEGUN] * 64) for component in components}
    scans, begin, end, position = 0, start, start, start
    for _ in range(_MAX_BETWEEN_SCANS):
        found = _find_marker(data, position)
        if scan:
            scans, begin, end = scans + 1, position, found
            _mark_scanned(missing, scan, progressive)
        if found + 3 >= len(data) or data[found + 1] == _EOI:
            break
        position = _end_segment(data, found)
        restarts |= data[found + 1] == _DRI
        scan = data[found + 4 : position] if data[found + 1] == _SOS else b""
    else:
        raise damaged("JPEG")
    # Some encoders leave high frequencies out; what was begun they finish, and all have the mean.
    if any(left[0] or set(left) - {0, _NOT_BEGUN} for left in missing.values()):
        raise incomplete("JPEG")
    return scans, end, _find_next_restart(data, begin, end) if restarts else 0


def _find_next_restart(data: bytes, start: int, end: int) -> int:
    """The number of the last restart marker among entropy-coded bytes, and one, modulo 8."""
    while end > start + 1:
        first = max(end - _SEARCHED, start)
        block = np.frombuffer(data, np.uint8, end - first, first)
        hits = (block[:-1] == 0xFF) & (block[1:] & 0xF8 == 0xD0)
        if hits.any():
            return (int(block[1:][hits][-1]) + 1) % 8
        end = first + 1
    return 0


def _mark_scanned(missing: dict[int, bytearray], scan: bytes, progressive: bool) -> None:
    count = scan[0]
    first, last, bits = scan[1 + 2 * count : 4 + 2 * count]
    if not progressive:
        first, last, bits = 0, 63, 0
    if not first <= last <= 63:
        raise damaged("JPEG")
    for identifier in scan[1 : 1 + 2 * count : 2]:
        missing[identifier][first : last + 1] = bytes([bits & 15]) * (last + 1 - first)


def _find_marker(data: bytes, position: int) -> int:
    """The end of the entropy-coded bytes from `position` on: a marker, or the end of the file.

    Bytes nearby are searched by a regular expression, which is fast if few bytes are 0xFF; the rest
    in blocks of all pairs: 10 MB of any bytes take 3 ms.
    """
    near = _MARKER.search(data, position, position + _NEAR)
    if near is not None:
        return near.start()
    position, searched = position + _NEAR - 1, _NEAR
    while position < len(data) - 1:
        searched = min(16 * searched, _SEARCHED)
        block = np.frombuffer(data, np.uint8, min(searched + 1, len(data) - position), position)
        follower = block[1:]
        hits = block[:-1] == 0xFF
        hits &= follower - np.uint8(0x02) < 0xFD  # neither a stuffed byte nor 0x01 nor a fill byte
        hits &= follower - np.uint8(0xD0) > 0x08  # no restart marker, no start of an image
        place = int(hits.argmax())
        if hits[place]:
            return position + place
        position += len(follower)
    return len(data)

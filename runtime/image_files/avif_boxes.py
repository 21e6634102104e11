"""The boxes of an AVIF file that say which images are in it, what they are like and where they lie.

ISO base media file format and its image items (HEIF), as far as a still image needs them. Every
walk draws on one count of steps: whatever the file says, there are no more.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.image_files.faults import damaged, incomplete, unsupported
from runtime.image_files.header import Steps

#: A box: its content from, to.
Place = tuple[int, int]
_NO_IMAGE = "an AVIF file without a still image"
_IN_IDAT = 1  # construction method of an item that lies in the box idat
_SIDE = struct.Struct(">II")


@dataclass(frozen=True)
class AvifItems:
    """The primary item's size and turns, and all items: kinds and bytes, by their numbers.

    `turned` counts quarter turns against the clock, `mirrored` is the axis, None without.
    """

    size: tuple[int, int]
    turned: int
    mirrored: int | None
    kinds: dict[int, bytes]
    places: dict[int, list[Place]]
    auxiliary: bool


def read_items(data: bytes, steps: Steps) -> AvifItems:
    """Walks the box `meta`, which describes still images.

    Raises:
        UnsupportedImage: only an image sequence.
        InvalidImage: damaged or incomplete; KeyError, IndexError, struct.error: a part is missing.
    """
    walk = _Walk(data, steps)
    meta = walk.find_meta()
    if b"pitm" not in meta:
        raise unsupported(_NO_IMAGE, "Send a single image.")
    idat = meta.get(b"idat", (0, 0))
    properties = dict(walk.boxes(*meta[b"iprp"]))
    known = list(walk.boxes(*properties[b"ipco"]))
    numbers = walk.list_numbers(properties[b"ipma"], walk.read_primary(meta[b"pitm"]))
    own = {kind: place for kind, place in (known[i - 1] for i in reversed(numbers) if i)}
    turn, mirror = (data[own[kind][0]] if kind in own else None for kind in (b"irot", b"imir"))
    return AvifItems(
        size=_SIDE.unpack_from(data, own[b"ispe"][0] + 4),
        turned=(turn or 0) & 3,
        mirrored=None if mirror is None else mirror & 1,
        kinds=walk.list_kinds(meta[b"iinf"]),
        places=walk.list_places(meta[b"iloc"], idat),
        auxiliary=any(kind == b"auxC" for kind, _ in known),
    )


class _Walk:
    """Reads the boxes of one file."""

    def __init__(self, data: bytes, steps: Steps) -> None:
        self._data = data
        self._steps = steps

    def number(self, position: int, size: int) -> int:
        """A big-endian number of `size` bytes, 0 for none."""
        if position + size > len(self._data):
            raise IndexError(position)
        return int.from_bytes(self._data[position : position + size])

    def boxes(self, start: int, end: int) -> Iterator[tuple[bytes, Place]]:
        """The boxes from `start` to `end`: kind, content."""
        while start + 8 <= end:
            self._steps.take()
            length, kind = struct.unpack_from(">I4s", self._data, start)
            content = start + 8
            if length == 1:
                content, length = start + 16, self.number(start + 8, 8)
            elif length == 0:
                length = end - start
            if start + length > end:
                raise incomplete("AVIF")
            if start + length < content:
                raise damaged("AVIF")
            yield kind, (content, start + length)
            start += length

    def find_meta(self) -> dict[bytes, Place]:
        """The boxes in the file's `meta`, {} of an image sequence that has none."""
        for kind, (start, end) in self.boxes(0, len(self._data)):
            if kind == b"meta":
                return dict(self.boxes(start + 4, end))
            if kind == b"moov":  # an image sequence; where there are still images they come first
                break
        else:
            raise incomplete("AVIF")
        return {}

    def read_primary(self, place: Place) -> int:
        """The number of the item that is shown."""
        start, _ = place
        return self.number(start + 4, 4 if self._data[start] else 2)

    def list_kinds(self, place: Place) -> dict[int, bytes]:
        """What each item is: four letters."""
        start, end = place
        kinds = {}
        for kind, (entry, _) in self.boxes(start + (8 if self._data[start] else 6), end):
            if kind == b"infe":
                width = 4 if self._data[entry] > 2 else 2
                item = self.number(entry + 4, width)
                kinds[item] = self._data[entry + 6 + width : entry + 10 + width]
        return kinds

    def list_numbers(self, place: Place, item: int) -> list[int]:
        """The numbers of an item's properties, counted from 1; 0 is none."""
        position, _ = place
        id_size = 4 if self._data[position] else 2
        index_size = 2 if self._data[position + 3] & 1 else 1
        entries, position = self.number(position + 4, 4), position + 8
        for _ in range(entries):
            self._steps.take()
            found, count = self.number(position, id_size), self._data[position + id_size]
            position += id_size + 1
            if found == item:
                mask = (1 << 8 * index_size - 1) - 1  # the highest bit: essential
                places = range(position, position + count * index_size, index_size)
                return [self.number(place, index_size) & mask for place in places]
            position += count * index_size
        raise damaged("AVIF")

    def list_places(self, place: Place, idat: Place) -> dict[int, list[Place]]:
        """Where each item's bytes lie, in order."""
        position, _ = place
        version = self._data[position]
        sizes = self.number(position + 4, 2)
        offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
        index_size = sizes & 15 if version else 0
        id_size = 4 if version > 1 else 2
        items, position = self.number(position + 6, id_size), position + 6 + id_size
        places: dict[int, list[Place]] = {}
        for _ in range(items):
            self._steps.take()
            item, position = self.number(position, id_size), position + id_size
            method = 0
            if version:
                method, position = self.number(position, 2) & 15, position + 2
            base = self.number(position + 2, base_size)
            position += 2 + base_size
            extents, position = self.number(position, 2), position + 2
            first, last = idat if method == _IN_IDAT else (0, len(self._data))
            places[item] = []
            for _ in range(extents):
                self._steps.take()
                position += index_size
                start = first + base + self.number(position, offset_size)
                length = self.number(position + offset_size, length_size)
                position += offset_size + length_size
                if start + length > last:
                    raise incomplete("AVIF")
                places[item].append((start, start + length))
        return places

"""AVIF files: the header by the boxes of the container and of the coded data, and decoding.

Every coded image of the file is counted, whether it is part of what is shown or not: pieces of a
grid, transparency, thumbnails. Of an image sequence the still image is taken. Orientation is the
container's (irot, imir): the format does not let EXIF tell it.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from PIL import Image

from runtime.image_files.av1_header import Av1Frames, measure_frames
from runtime.image_files.avif_boxes import Place, read_items
from runtime.image_files.faults import damaged, unreadable
from runtime.image_files.formats import list_brands
from runtime.image_files.header import ImageHeader, Steps, measure_image

_USUAL_IMAGES = 4  # as large as the one that is shown: itself, transparency, gain map, depth
_CONTEXT_BYTES = 2  # a pixel: kept beside a frame; measured 0.8, of many tiles 1.7
_MAX_KEPT = 10  # frames that it keeps at a time: references, the one in work, the one shown
_ALIGNMENT = 128  # pixels: of the sides of its frames
_DERIVED = (b"grid", b"iovl", b"sato")  # kinds of images that are made of coded ones
# (quarter turns against the clock; mirrored: 0 top with bottom, 1 left with right) -> orientation
# as EXIF counts. The turn comes first.
_ORIENTATIONS: dict[tuple[int, int | None], int] = {
    **{(0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6},
    **{(0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7},
    **{(0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5},
}


@dataclass(frozen=True)
class AvifHeader(ImageHeader):
    """The image by the container, and all coded images.

    `derived`: it is made of several. `copied_bytes`: of a copy of the file, where that must be
    declared to be a still image.
    """

    frames: tuple[Av1Frames, ...]
    transparent: bool
    derived: bool
    copied_bytes: int

    format: ClassVar[str] = "AVIF"

    @property
    def pixels(self) -> int:
        """Of the largest image, shown or coded; of all, where there are more than usual."""
        areas = [frames.width * frames.height for frames in self.frames]
        return max(super().pixels, *areas, sum(areas) // _USUAL_IMAGES)

    @property
    def visits(self) -> int:
        """Pixels of all frames."""
        return sum(frames.width * frames.height * frames.count for frames in self.frames)

    @property
    def stored_bytes(self) -> int:
        """Grey has one channel, all others in memory four."""
        return 1 if self._channels == 1 else 4

    @property
    def in_pieces(self) -> bool:
        """Transparent ones are."""
        return self.transparent

    @property
    def converts(self) -> bool:
        """All do but opaque colour."""
        return self._channels != 3

    @property
    def _channels(self) -> int:
        grey = all(frames.grey for frames in self.frames)
        return 4 if self.transparent else 1 if grey else 3

    def measure_decoder(self, scale: int) -> int:
        """All frames, and the channels of the image twice; then these once, and the image."""
        pixels = self.width * self.height
        planes = sum(map(_measure_frames, self.frames))
        if self.derived:
            planes += int(pixels * max(frames.pixel_bytes for frames in self.frames))
        image = measure_image(self.width, self.height, self.stored_bytes)
        channels = self._channels * pixels
        return self.copied_bytes + channels + max(planes + channels, image)

    def decode(self, data: bytes, scale: int) -> Image.Image:
        """The image in mode L, RGB or RGBA, decoded by one thread."""
        content = _declare_still(data) if self.copied_bytes else data
        decoder = _find_codec().AvifDecoder(content, "auto", 1)
        size, _, mode, *_ = decoder.get_info()
        if size != (self.width, self.height):
            raise damaged("AVIF")
        channels, *_ = decoder.get_frame(0)
        del decoder  # and its planes
        return Image.frombytes(mode, size, channels)


@cache
def _find_codec() -> Any:
    """Pillow's module, half a MiB that few need before the first AVIF; None: it has none."""
    try:
        from PIL import _avif
    except ImportError:  # Pillow can be built without it
        return None
    return _avif


def make_demanding_avif(width: int, height: int, file_bytes: int) -> AvifHeader:
    """The kind that takes most memory: turned, transparent, 12 bits, a sequence besides."""
    frames = tuple(Av1Frames(width, height, planes, 1, False, False) for planes in (6, 2))
    return AvifHeader(width, height, 6, frames, True, False, file_bytes)


def read_avif(data: bytes) -> AvifHeader:
    """Walks the boxes that describe the images, and the units of each image's coded data.

    Raises:
        UnsupportedImage: a sequence alone, or a Pillow without AVIF.
        InvalidImage: damaged or incomplete; KeyError, IndexError, struct.error: a part is missing.
    """
    if _find_codec() is None:
        raise unreadable("AVIF")
    steps = Steps("AVIF")
    items = read_items(data, steps)
    coded = (items.places[item] for item, kind in items.kinds.items() if kind == b"av01")
    frames = tuple(filter(None, (measure_frames(_join(data, places), steps) for places in coded)))
    if not frames:
        raise damaged("AVIF")
    still = data[8:12] == b"avif" and not {b"avis", b"tmap"}.intersection(list_brands(data))
    return AvifHeader(
        *items.size,
        _ORIENTATIONS[items.turned, items.mirrored],
        frames,
        items.auxiliary,
        any(kind in _DERIVED for kind in items.kinds.values()),
        0 if still else len(data),
    )


def _join(data: bytes, places: list[Place]) -> bytes | memoryview:
    view = memoryview(data)
    if len(places) == 1:
        return view[slice(*places[0])]
    if sum(end - start for start, end in places) > len(data):
        raise damaged("AVIF")
    return b"".join(view[start:end] for start, end in places)


def _declare_still(data: bytes) -> bytes:
    """The file with other brands: of a sequence libavif would take the first frame instead."""
    end = int.from_bytes(data[:4])
    return data[:8] + b"avif\0\0\0\0" + b"avif" * ((end - 16) // 4) + data[end:]


def _measure_frames(frames: Av1Frames) -> int:
    width, height = (-(-side // _ALIGNMENT) * _ALIGNMENT for side in (frames.width, frames.height))
    kept = min(frames.count, _MAX_KEPT)
    planes = frames.pixel_bytes * (kept + frames.grain)
    return int(width * height * (planes + _CONTEXT_BYTES * kept))

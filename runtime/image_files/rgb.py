"""Converts decoded images of every mode to RGB, in pieces, so that only the result is added."""

from collections.abc import Iterator
from itertools import product

import numpy as np
from PIL import Image

_PIECE_PIXELS = 2**18  # that are converted at a time
_PIECE_BYTES = 16  # a pixel of them


def convert_to_rgb(image: Image.Image) -> Image.Image:
    """The image itself if it is opaque RGB, else a new one; transparent pixels become white."""
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    result = Image.new("RGB", image.size, "white")
    for box in split_into_boxes(image.size):
        layers = image.crop(box).convert("RGBA")
        result.paste(layers, box, layers)
    return result


def convert_deep_grey(image: Image.Image, significant_bits: int = 16) -> Image.Image:
    """16-bit grey (I;16) to 8-bit (L), transparent pixels white: the high byte of each sample.

    Where the file declares fewer bits to be significant, its samples should have been stretched to
    16 bits nevertheless. Some are not: where all are below 2 ** significant_bits, and none of them
    is the result of stretching, they are stretched here.
    """
    result = Image.new("L", image.size)
    transparent = image.info.get("transparency")
    largest = 2**significant_bits - 1
    stretch = significant_bits < 16 and _is_unstretched(image, significant_bits)
    for box in split_into_boxes(image.size):
        levels = np.asarray(image.crop(box))
        if stretch:
            grey = (levels.astype(np.uint32) * 255 // largest).astype(np.uint8)
        else:
            grey = (levels >> 8).astype(np.uint8)
        if isinstance(transparent, int):
            grey[levels == transparent] = 255
        result.paste(Image.fromarray(grey), box)
    return result


def measure_pieces(pixels: int) -> int:
    """Max bytes that conversion takes in addition to the image and the result."""
    return min(pixels, _PIECE_PIXELS) * _PIECE_BYTES


def split_into_boxes(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Boxes of at most _PIECE_PIXELS that cover an image of this size."""
    width, height = size
    across, down = min(width, _PIECE_PIXELS), max(_PIECE_PIXELS // width, 1)
    for top, left in product(range(0, height, down), range(0, width, across)):
        yield left, top, min(left + across, width), min(top + down, height)


def _is_unstretched(image: Image.Image, significant_bits: int) -> bool:
    """Stretched samples have zeros, or their own high bits, below the significant ones."""
    _, largest = image.getextrema()
    if not 0 < largest < 2**significant_bits:  # type: ignore[operator]
        return False
    insignificant = 2 ** (16 - significant_bits) - 1
    return any(
        bool((np.asarray(image.crop(box)) & insignificant).any())
        for box in split_into_boxes(image.size)
    )

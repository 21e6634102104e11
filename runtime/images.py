"""From a decoded image to the pixels that a network sees, and from them to its input tensor.

Training evaluation, export and service all use it through `runtime.image_reader`, so that a network
sees pixels as in its training.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image

from runtime.errors import InvalidImage, InvalidManifest
from runtime.image_files.exif import TRANSPOSITIONS
from runtime.kernels.resampling import Box, is_quicker, resample

#: Manifest name of an interpolation -> Pillow's filter; every one of them averages when shrinking.
INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}
MAX_SIDE = 4096  # of a network's input
_MAX_RATIO = 16  # above it the resized long side is never materialised
_MAX_NUMBER = 1e6  # of mean and std; pixels are 0..255
_MIN_STD = 1e-6
_MAX_REDUCE = 16.0
_PRECISE_SIDE = 2**13  # pixels up to which a resampling box, of single precision, is precise


@dataclass(frozen=True)
class Preprocessing:
    """How a photo becomes the input tensor; travels in the bundle's manifest.

    The shorter side is resized to `resize` pixels (antialiased), the centre `crop` x `crop` is cut
    out, and each RGB channel becomes (pixel - mean) / std, mean and std on the scale 0..255.

    With `reduce` (a factor of `resize`, 1 or more) the image is first averaged in blocks of s x s
    pixels, s the largest of 8, 4, 2, 1 that leaves the shorter side reduce x resize pixels: a JPEG
    is decoded at that scale. Then the crop is resized alone, and turned upright last. Without, the
    image is decoded and turned at full size.

    Raises:
        InvalidManifest: a value is out of range.
    """

    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    reduce: float | None = field(default=None, repr=False)  # repr: what older bundles are known by

    def __post_init__(self) -> None:
        """Checks every field; lists from JSON become tuples of floats."""
        for name in ("resize", "crop"):
            side = getattr(self, name)
            if type(side) is not int or not 1 <= side <= MAX_SIDE:
                _refuse(name, f"a whole number from 1 to {MAX_SIDE}", side)
        if self.crop > self.resize:
            _refuse("crop", f"at most resize, {self.resize}", self.crop)
        if self.interpolation not in INTERPOLATIONS:
            _refuse("interpolation", f"one of {', '.join(INTERPOLATIONS)}", self.interpolation)
        for name in ("mean", "std"):
            object.__setattr__(self, name, _three_numbers(name, getattr(self, name)))
        if min(self.std) < _MIN_STD:
            _refuse("std", f"three numbers from {_MIN_STD:g}", self.std)
        if self.reduce is not None:
            if isinstance(self.reduce, bool) or not isinstance(self.reduce, int | float):
                _refuse("reduce", "a number or null", self.reduce)
            if not 1 <= self.reduce <= _MAX_REDUCE:
                _refuse("reduce", f"a number from 1 to {_MAX_REDUCE:g}", self.reduce)
            object.__setattr__(self, "reduce", float(self.reduce))

    @property
    def least_side(self) -> int:
        """The min pixels of the shorter side after a reduction."""
        return math.ceil(self.resize * (self.reduce or 1))


def preprocess(image: Image.Image, spec: Preprocessing) -> npt.NDArray[np.float32]:
    """Resizes, crops and normalises an RGB image: float32 [3, crop, crop], contiguous.

    The long side becomes int(resize * long / short) pixels and the crop starts at
    round((side - crop) / 2), as torchvision's Resize and CenterCrop do.

    Raises:
        InvalidImage: the image is not RGB or has no pixels.
    """
    if image.mode != "RGB" or 0 in image.size:
        raise InvalidImage(
            f"expected an RGB image with pixels; found {image.mode} of {image.size[0]} x "
            f"{image.size[1]}. Use decode_image, or convert('RGB')."
        )
    return normalise(resize_and_crop(image, spec), spec)


def normalise(image: Image.Image, spec: Preprocessing) -> npt.NDArray[np.float32]:
    """An RGB image's pixels as (pixel - mean) / std: float32 [3, height, width], contiguous."""
    pixels = np.asarray(image)  # [height, width, 3]
    out = np.empty((3, *pixels.shape[:2]), np.float32)
    for channel, levels in enumerate(_tabulate(spec.mean, spec.std)):
        np.take(levels, pixels[:, :, channel], out=out[channel], mode="clip")
    return out


def restore_pixels(tensor: npt.NDArray[np.float32], spec: Preprocessing) -> npt.NDArray[np.uint8]:
    """The inverse of `normalise`, float32 [3, height, width] -> uint8 [height, width, 3]."""
    mean, std = (np.array(values)[:, np.newaxis, np.newaxis] for values in (spec.mean, spec.std))
    levels = np.rint(tensor * std + mean).clip(0, 255)  # in float64
    return np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0))


@lru_cache(maxsize=8)
def _tabulate(mean: tuple[float, ...], std: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """The 256 values of each channel: float32 [3, 256]."""
    levels = np.arange(256, dtype=np.float32)
    return np.stack(
        [(levels - np.float32(m)) / np.float32(s) for m, s in zip(mean, std, strict=True)]
    )


def resize_and_crop(image: Image.Image, spec: Preprocessing) -> Image.Image:
    """The geometry of `preprocess` alone: the crop x crop pixels the network sees."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    resized, window = _find_window(image.size, spec)
    resample = INTERPOLATIONS[spec.interpolation]
    if long <= _MAX_RATIO * short:
        if resized != image.size:
            image = image.resize(resized, resample)
        return image.crop(window)
    # An image of 1 x 10,000,000 would become 256 x 2,560,000,000: compute only the window, from
    # the piece of the long side around it (the resampling boxes are single precision).
    axis = 0 if width >= height else 1
    scale = long / max(resized)
    reach = 3 * math.ceil(scale) + 3  # the widest filter looks 2 x scale pixels beyond the window
    first = max(math.floor(window[axis] * scale) - reach, 0)
    last = min(math.ceil(window[axis + 2] * scale) + reach, long)
    piece = image.crop((first, 0, last, height) if axis == 0 else (0, first, width, last))
    across = (window[1 - axis] * short / spec.resize, window[3 - axis] * short / spec.resize)
    along = (window[axis] * scale - first, window[axis + 2] * scale - first)
    (left_in, right_in), (top_in, bottom_in) = (along, across) if axis == 0 else (across, along)
    side = (spec.crop, spec.crop)
    return piece.resize(side, resample, box=(left_in, top_in, right_in, bottom_in))


def crop_reduced(
    image: Image.Image,
    full_size: tuple[int, int],
    scale: int,
    orientation: int,
    spec: Preprocessing,
) -> Image.Image:
    """The crop x crop upright RGB pixels of an image as stored, at 1 / scale of `full_size`.

    `full_size` is the width and height of the file, `orientation` EXIF's, 1 to 8. The window is
    that of `resize_and_crop`; it is resized alone, in the image's mode (L, RGB or CMYK), and turned
    last.
    """
    image, box = _find_box(image, full_size, scale, orientation, spec)
    interpolation = INTERPOLATIONS[spec.interpolation]
    cropped = image.resize((spec.crop, spec.crop), interpolation, box=box)
    if cropped.mode != "RGB":
        cropped = cropped.convert("RGB")
    turn = TRANSPOSITIONS.get(orientation)
    return cropped if turn is None else cropped.transpose(turn)


def prepare_reduced(
    image: Image.Image,
    full_size: tuple[int, int],
    scale: int,
    orientation: int,
    spec: Preprocessing,
) -> npt.NDArray[np.float32]:
    """`crop_reduced` and `normalise` in one: float32 [3, crop, crop], contiguous, the same bits.

    It is one call of the kernel library if that is faster and supports the image's mode and memory;
    else it uses Pillow.
    """
    if is_quicker():
        piece, box = _find_box(image, full_size, scale, orientation, spec)
        levels = _tabulate(spec.mean, spec.std)
        tensor = resample(piece, box, spec.interpolation, orientation, levels, spec.crop)
        if tensor is not None:
            return tensor
    return normalise(crop_reduced(image, full_size, scale, orientation, spec), spec)


def _find_box(
    image: Image.Image,
    full_size: tuple[int, int],
    scale: int,
    orientation: int,
    spec: Preprocessing,
) -> tuple[Image.Image, Box]:
    """The image for `crop_reduced`, or a piece of a long one, and the box in it."""
    width, height = full_size
    upright = full_size if orientation < 5 else (height, width)
    resized, window = _find_window(upright, spec)
    factors = [side / target / scale for side, target in zip(upright, resized, strict=True)]
    left, top, right, bottom = (edge * factors[i % 2] for i, edge in enumerate(window))
    box = _map_to_stored((left, top, right, bottom), (width / scale, height / scale), orientation)
    if max(image.size) > _PRECISE_SIDE:
        image, box = _cut_out(image, box)
    left, top, right, bottom = box
    return image, (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))


def _find_window(
    size: tuple[int, int], spec: Preprocessing
) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Width and height after resizing an upright image, and the centre crop's edges there."""
    width, height = size
    # = int(resize * long / short), exactly
    resized_long = spec.resize * max(width, height) // min(width, height)
    resized = (spec.resize, resized_long) if width <= height else (resized_long, spec.resize)
    left, top = (round((side - spec.crop) / 2) for side in resized)
    return resized, (left, top, left + spec.crop, top + spec.crop)


def _map_to_stored(box: Box, stored: tuple[float, float], orientation: int) -> Box:
    """The edges in the stored image, of this width and height, of a box in the upright one."""
    left, top, right, bottom = box
    if orientation >= 5:  # rows and columns change places
        left, top, right, bottom = top, left, bottom, right
    width, height = stored
    if orientation in (2, 3, 7, 8):
        left, right = width - right, width - left
    if orientation in (3, 4, 6, 7):
        top, bottom = height - bottom, height - top
    return left, top, right, bottom


def _cut_out(image: Image.Image, box: Box) -> tuple[Image.Image, Box]:
    """The piece of a long image that the widest filter needs around a box, and its box."""
    left, top, right, bottom = box
    across, down = (2 * math.ceil(side) + 2 for side in (right - left, bottom - top))
    piece = (
        max(math.floor(left) - across, 0),
        max(math.floor(top) - down, 0),
        min(math.ceil(right) + across, image.width),
        min(math.ceil(bottom) + down, image.height),
    )
    x, y = piece[:2]
    return image.crop(piece), (left - x, top - y, right - x, bottom - y)


def _three_numbers(name: str, values: object) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or len(values) != 3:
        _refuse(name, "three numbers", values)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            _refuse(name, "three numbers", values)
        if not abs(value) <= _MAX_NUMBER:  # NaN, too
            _refuse(name, f"numbers of at most {_MAX_NUMBER:g}", values)
    return tuple(float(value) for value in values)


def _refuse(name: str, expected: str, found: object) -> NoReturn:
    raise InvalidManifest(
        f"preprocessing.{name}: expected {expected}; found {str(found)[:60]}. Re-export the bundle."
    )

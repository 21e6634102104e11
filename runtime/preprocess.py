"""From an RGB image to the network's input tensor: the one preprocessing.

Training evaluation, export and service all use `preprocess`, so that a network meets the pixels it
was trained for.
"""

import math
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image

from runtime.errors import InvalidImage, InvalidManifest

#: Manifest name of an interpolation -> Pillow's filter; every one of them averages when shrinking.
INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}
LARGEST_SIDE = 4096  # of a network's input
_LARGEST_RATIO = 16  # above it the resized long side is never materialised
_LARGEST_NUMBER = 1e6  # of mean and std; pixels are 0..255
_LEAST_STD = 1e-6


@dataclass(frozen=True)
class Preprocessing:
    """How a photo becomes the input tensor; travels in the bundle's manifest.

    The shorter side is resized to `resize` pixels (antialiased), the centre `crop` x `crop` is cut
    out, and each RGB channel becomes (pixel - mean) / std, mean and std on the scale 0..255.

    Raises:
        InvalidManifest: a value is out of range.
    """

    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Checks every field; lists, as JSON has them, become tuples of floats."""
        for name in ("resize", "crop"):
            side = getattr(self, name)
            if type(side) is not int or not 1 <= side <= LARGEST_SIDE:
                _refuse(name, f"a whole number from 1 to {LARGEST_SIDE}", side)
        if self.crop > self.resize:
            _refuse("crop", f"at most resize, {self.resize}", self.crop)
        if self.interpolation not in INTERPOLATIONS:
            _refuse("interpolation", f"one of {', '.join(INTERPOLATIONS)}", self.interpolation)
        for name in ("mean", "std"):
            object.__setattr__(self, name, _three_numbers(name, getattr(self, name)))
        if min(self.std) < _LEAST_STD:
            _refuse("std", f"three numbers from {_LEAST_STD:g}", self.std)


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
    pixels = np.asarray(resize_and_crop(image, spec), dtype=np.float32)  # [crop, crop, 3]
    mean, std = (np.array(values, np.float32) for values in (spec.mean, spec.std))
    normalised = (pixels - mean) / std
    return np.ascontiguousarray(normalised.transpose(2, 0, 1))


def resize_and_crop(image: Image.Image, spec: Preprocessing) -> Image.Image:
    """The geometry of `preprocess` alone: the crop x crop pixels the network sees."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    resized_long = spec.resize * long // short  # = int(resize * long / short), exactly
    resized = (spec.resize, resized_long) if width <= height else (resized_long, spec.resize)
    left, top = (round((side - spec.crop) / 2) for side in resized)
    window = (left, top, left + spec.crop, top + spec.crop)
    resample = INTERPOLATIONS[spec.interpolation]
    if long <= _LARGEST_RATIO * short:
        if resized != image.size:
            image = image.resize(resized, resample)
        return image.crop(window)
    # A picture of 1 x 10,000,000 would become 256 x 2,560,000,000: compute only the window, from
    # the piece of the long side around it (the resampling boxes are single precision).
    axis = 0 if width >= height else 1
    scale = long / resized_long
    reach = 3 * math.ceil(scale) + 3  # the widest filter looks 2 x scale pixels beyond the window
    first = max(math.floor(window[axis] * scale) - reach, 0)
    last = min(math.ceil(window[axis + 2] * scale) + reach, long)
    piece = image.crop((first, 0, last, height) if axis == 0 else (0, first, width, last))
    across = (window[1 - axis] * short / spec.resize, window[3 - axis] * short / spec.resize)
    along = (window[axis] * scale - first, window[axis + 2] * scale - first)
    (left_in, right_in), (top_in, bottom_in) = (along, across) if axis == 0 else (across, along)
    side = (spec.crop, spec.crop)
    return piece.resize(side, resample, box=(left_in, top_in, right_in, bottom_in))


def _three_numbers(name: str, values: object) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or len(values) != 3:
        _refuse(name, "three numbers", values)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            _refuse(name, "three numbers", values)
        if not abs(value) <= _LARGEST_NUMBER:  # NaN, too
            _refuse(name, f"numbers of at most {_LARGEST_NUMBER:g}", values)
    return tuple(float(value) for value in values)


def _refuse(name: str, expected: str, found: object) -> NoReturn:
    raise InvalidManifest(
        f"preprocessing.{name}: expected {expected}; found {str(found)[:60]}. Re-export the bundle."
    )

"""What networks trained here see of a picture: the normalisation and the crop of evaluation."""

from __future__ import annotations

from models.errors import RecipeError
from runtime.preprocess import Preprocessing

# Mean and deviation of ImageNet's pixels, 0..255 RGB, as in the authors' code.
MEAN, STD = (123.68, 116.779, 103.939), (58.393, 57.12, 57.375)
SHORTER_SIDE = 256 / 224  # of the crop, for photos: the authors' evaluation
LARGEST = 4096  # pixels, of a side
SMALL = 100  # pixels; below, networks see the whole small picture


def evaluation_preprocessing(side: int, resize: int | None = None) -> Preprocessing:
    """Centre crop of `side`; the shorter side is `resize`, by default 256/224 of it for photos.

    Raises RecipeError if they do not fit together.
    """
    if resize is None:
        resize = side if side < SMALL else round(side * SHORTER_SIDE)
    if not 1 <= side <= resize <= LARGEST:
        raise RecipeError(
            f"expected --image-size from 1 to {LARGEST} pixels, and --resize from that to "
            f"{LARGEST}; found {side} and {resize}"
        )
    return Preprocessing(resize, side, "bilinear", MEAN, STD)


def whole_preprocessing(side: int) -> Preprocessing:
    """The centre square, whole, at `side` pixels: what is kept of a training picture."""
    return Preprocessing(side, side, "bilinear", MEAN, STD)

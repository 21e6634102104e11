"""What networks trained here see of an image: the normalisation and the crop of evaluation."""

from __future__ import annotations

from models.errors import RecipeError
from runtime.images import MAX_SIDE, Preprocessing

# Mean and deviation of ImageNet's pixels, 0..255 RGB, as in the authors' code.
MEAN, STD = (123.68, 116.779, 103.939), (58.393, 57.12, 57.375)
SHORTER_SIDE = 256 / 224  # of the crop, for photos: the authors' evaluation
# A photo may be reduced while it is decoded, but not below this many times `resize`: with 1.5 and
# with 1, answers with a margin above one logit changed (models.reduce).
REDUCE = 2.0
SMALL = 100  # pixels; below, networks see the whole small image


def check_sizes(side: int, resize: int) -> None:
    """Raises RecipeError if a crop of `side` cannot be cut out of a shorter side of `resize`."""
    if not 1 <= side <= resize <= MAX_SIDE:
        raise RecipeError(
            f"expected --image-size from 1 to {MAX_SIDE} pixels, and --resize from that to "
            f"{MAX_SIDE}; found {side} and {resize}"
        )


def evaluation_preprocessing(side: int, resize: int | None = None) -> Preprocessing:
    """Centre crop of `side`; the shorter side is `resize`, by default 256/224 of it for photos.

    Raises RecipeError as check_sizes does.
    """
    if resize is None:
        resize = side if side < SMALL else round(side * SHORTER_SIDE)
    check_sizes(side, resize)
    return Preprocessing(resize, side, "bilinear", MEAN, STD, REDUCE)


def whole_preprocessing(side: int) -> Preprocessing:
    """The centre square, whole, at `side` pixels: what is kept of a training image."""
    return Preprocessing(side, side, "bilinear", MEAN, STD, REDUCE)

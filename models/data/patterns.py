"""Generated images that show nothing: a covered lens, plain colours, gradients, stripes, noise.

A camera sends such images, too, and no repository has photos of them. They are of the class
`other` of a training.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.data.image_files import ImageFiles
from models.data.others import OTHER

SEED = 77
QUALITY = 92  # of JPEG

Pixels = NDArray[np.float64]  # [side, side, 3], 0 to 255
Pattern = Callable[[np.random.Generator, int], Pixels]


def _color(chance: np.random.Generator) -> Pixels:
    """[3], grey in half of the cases."""
    return np.full(3, chance.uniform(0, 255, 1 if chance.random() < 0.5 else 3))


def _plain(chance: np.random.Generator, side: int) -> Pixels:
    return np.full((side, side, 3), _color(chance))


def _dark(chance: np.random.Generator, side: int) -> Pixels:
    return chance.normal(chance.uniform(0, 25), chance.uniform(0, 8), (side, side, 3))


def _gradient(chance: np.random.Generator, side: int) -> Pixels:
    """From one colour to another, in any direction."""
    angle = chance.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    share = np.clip(0.5 + rows * np.sin(angle) + columns * np.cos(angle), 0, 1)[..., np.newaxis]
    mixed: Pixels = (1 - share) * _color(chance) + share * _color(chance)
    return mixed


def _stripes(chance: np.random.Generator, side: int) -> Pixels:
    angle, width = chance.uniform(0, 2 * np.pi), chance.uniform(2, side / 4)
    rows, columns = np.mgrid[:side, :side]
    wave = np.sin((rows * np.sin(angle) + columns * np.cos(angle)) * np.pi / width)
    return np.where(wave[..., np.newaxis] > 0, _color(chance), _color(chance))


def _noise(chance: np.random.Generator, side: int) -> Pixels:
    """In colours or grey, even or normal."""
    channels = 1 if chance.random() < 0.5 else 3
    shape = (side, side, channels)
    if chance.random() < 0.5:
        drawn = chance.uniform(0, 255, shape)
    else:
        drawn = chance.normal(chance.uniform(40, 215), chance.uniform(10, 80), shape)
    return np.full((side, side, 3), drawn)


def _blotches(chance: np.random.Generator, side: int) -> Pixels:
    """Noise of a few pixels, made large and smooth."""
    few = chance.integers(2, 24)
    small = Image.fromarray(chance.integers(0, 256, (few, few, 3), np.uint8))
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), np.float64)


PATTERNS: dict[str, Pattern] = {
    "plain": _plain,
    "dark": _dark,
    "gradient": _gradient,
    "stripes": _stripes,
    "noise": _noise,
    "blotches": _blotches,
}


def make_patterns(count: int, side: int) -> ImageFiles:
    """So many images of `side` pixels, as many of each pattern, all of the class OTHER.

    The same each time. Half of them get the slight noise of a sensor.
    """
    kinds = [tuple(PATTERNS)[i % len(PATTERNS)] for i in range(count)]
    names = tuple(f"{OTHER}/patterns/{kind}-{i}.jpg" for i, kind in enumerate(kinds))
    encoded = [_encode(i, PATTERNS[kind], side) for i, kind in enumerate(kinds)]
    return ImageFiles(names, (0,) * count, (OTHER,), lambda i: encoded[i])


def _encode(number: int, pattern: Pattern, side: int) -> bytes:
    chance = np.random.default_rng([SEED, number])
    pixels = pattern(chance, side)
    if chance.random() < 0.5:
        pixels = pixels + chance.normal(0, chance.uniform(0.5, 6), pixels.shape)
    stream = io.BytesIO()
    image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    image.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()

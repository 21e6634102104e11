"""Finds images that show nearly the same as another one, by perceptual hashes of their pixels.

A hash has 256 bits: the centre square, which packs keep, is reduced to 17 x 16 gray pixels, and
each bit says whether a pixel is darker than the one to its right. The same photo scaled or encoded
anew differs in few bits, another photo in about half of them; where most of an image is one colour,
as with goods on white, other images come near, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from models.data.image_files import ImageFiles
from models.data.packs import LIMITS
from models.errors import DamagedImages
from runtime import InvalidImage, decode_image

BITS = 256  # of a hash
NEAR = 26  # differing bits of near copies: a tenth
_SIDE = 16
_AT_ONCE = 256  # images compared with all others in one step, for memory


def hash_image(image: Image.Image) -> np.ndarray:
    """256 bits, packed into 32 bytes (uint8)."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    gray = image.convert("L").resize(
        (_SIDE + 1, _SIDE), Image.Resampling.BOX, box=(left, top, left + side, top + side)
    )
    pixels = np.asarray(gray)
    return np.packbits(pixels[:, :-1] < pixels[:, 1:])


def hash_files(files: ImageFiles) -> np.ndarray:
    """A row of 32 bytes for each image. Raises DamagedImages naming those that are none."""
    hashes = np.zeros((len(files), BITS // 8), np.uint8)
    faults: list[str] = []
    for i, name in enumerate(files.names):
        try:
            hashes[i] = hash_image(decode_image(files.read(i), LIMITS))
        except InvalidImage as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise DamagedImages(faults, len(files), can_skip=False)
    return hashes


def find_near_copies(
    images: ImageFiles | np.ndarray, others: ImageFiles | np.ndarray, bits: int = NEAR
) -> dict[int, tuple[int, int]]:
    """Index of an image -> (index of the nearest of the others, differing bits), where at most
    `bits` differ.

    Both may be hashes of images already (`hash_files`), which saves reading them again. Raises
    DamagedImages.
    """
    hashes, known = _as_hashes(images), _as_hashes(others)
    found: dict[int, tuple[int, int]] = {}
    if not len(known):
        return found
    for start, distances in _distances(hashes, known):
        nearest = distances.argmin(axis=1)
        least = distances[np.arange(len(nearest)), nearest]
        for i in np.flatnonzero(least <= bits).tolist():
            found[start + i] = int(nearest[i]), int(least[i])
    return found


def find_repeats(images: ImageFiles | np.ndarray, bits: int = NEAR) -> dict[int, tuple[int, int]]:
    """Index of an image -> (index of an earlier one, differing bits) that it nearly repeats.

    Only images that stay count as earlier ones, so that leaving out all that are found keeps one of
    each. Raises DamagedImages.
    """
    hashes = _as_hashes(images)
    found: dict[int, tuple[int, int]] = {}
    for start, distances in _distances(hashes, hashes):
        for row in range(len(distances)):
            i = start + row
            for earlier in np.flatnonzero(distances[row, :i] <= bits).tolist():
                if earlier not in found:
                    found[i] = earlier, int(distances[row, earlier])
                    break
    return found


def _as_hashes(images: ImageFiles | np.ndarray) -> np.ndarray:
    return images if isinstance(images, np.ndarray) else hash_files(images)


def _distances(hashes: np.ndarray, known: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Of some hashes at a time: the first one's index, and differing bits (rows, known)."""
    signs, others = _to_signs(hashes), _to_signs(known)
    for start in range(0, len(signs), _AT_ONCE):
        # Of n signs, equal ones add 1 to the product and differing ones -1; floats this small
        # are exact.
        products = signs[start : start + _AT_ONCE] @ others.T
        yield start, ((BITS - products) / 2).astype(np.int16)


def _to_signs(hashes: np.ndarray) -> np.ndarray:
    return np.unpackbits(hashes, axis=1).astype(np.float32) * 2 - 1

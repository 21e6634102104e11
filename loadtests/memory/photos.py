"""The photos that memory is measured with: three formats, from a thumbnail to one megapixel."""

import io
import itertools

import numpy as np

from loadtests.clients.images import MEMORY_SIZES, EncodedImage, build_image, draw_photo

#: With the options of their encoders. Sizes of the files are those of photos.
FORMATS = {"JPEG": {"quality": 85}, "PNG": {"compress_level": 6}, "WEBP": {"quality": 80}}


def generate_photos(
    seed: int,
    sizes: tuple[tuple[int, int], ...] = MEMORY_SIZES,
    formats: tuple[str, ...] = (*FORMATS,),
) -> list[EncodedImage]:
    """One photo of each size and format; formats take turns. The same for a seed and a Pillow."""
    generator = np.random.default_rng(seed)
    images = []
    for size, kind in itertools.product(sizes, formats):
        stream = io.BytesIO()
        draw_photo(generator, size).save(stream, kind, **FORMATS[kind])
        name = f"seed{seed}-{size[0]}x{size[1]}.{kind.lower()}"
        images.append(build_image(name, stream.getvalue()))
    return images

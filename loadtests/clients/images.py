"""Images to send: generated from a seed or read from a folder, each as a ready multipart body."""

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

#: Width x height of generated JPEGs, by their names in the options of all commands.
SIZES = {
    **{"tiny": (73, 73), "thumbnail": (160, 120), "photo": (512, 384)},
    **{"web": (640, 480), "large": (1600, 1200), "phone": (4032, 3024)},
}
MIXED_SIZES = ((320, 240), (640, 480), (1280, 960))  # each in all formats
MEMORY_SIZES = ((320, 240), (640, 480), (800, 600), (1152, 864))  # memory is measured with these
FORMATS = ("JPEG", "PNG", "WEBP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif"})
GRAIN = 4.0  # levels, of a camera's noise
BOUNDARY = "bnn-service-load-test-boundary"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


@dataclass(frozen=True)
class EncodedImage:
    """One image, encoded once; its body is sent again and again."""

    name: str
    data: bytes  # the file
    body: bytes  # the multipart body that has it in the field `image`


def describe_sizes() -> str:
    """The named sizes, for help texts."""
    return ", ".join(f"{name} {width}x{height}" for name, (width, height) in SIZES.items())


def generate_images(seed: int, count: int) -> list[EncodedImage]:
    """`count` images, the same for the same seed and the same Pillow.

    Sizes and formats take turns. The content is coarse noise, smoothly enlarged, so that files have
    ordinary sizes.
    """
    if count < 1:
        raise ValueError(f"expected at least 1 image to generate, found count={count}")
    generator = np.random.default_rng(seed)
    variants = itertools.cycle(itertools.product(MIXED_SIZES, FORMATS))
    images = []
    for index, (size, file_format) in zip(range(count), variants, strict=False):
        coarse = generator.integers(0, 256, (size[1] // 16, size[0] // 16, 3), dtype=np.uint8)
        drawn = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        drawn.save(stream, file_format)
        name = f"seed{seed}-{index}-{size[0]}x{size[1]}.{file_format.lower()}"
        images.append(build_image(name, stream.getvalue()))
    return images


def generate_jpegs(
    seed: int, count: int, size: tuple[int, int], quality: int = 85
) -> list[EncodedImage]:
    """`count` JPEGs of width x height pixels that take a decoder as long as photos do.

    Shapes of several sizes and fine noise: about 0.2 bytes a pixel, as cameras have it.
    """
    generator = np.random.default_rng(seed)
    images = []
    for index in range(count):
        stream = io.BytesIO()
        draw_photo(generator, size).save(stream, "JPEG", quality=quality)
        name = f"seed{seed}-{index}-{size[0]}x{size[1]}.jpg"
        images.append(build_image(name, stream.getvalue()))
    return images


def draw_photo(generator: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Width x height pixels that compress as a photo does."""
    width, height = size
    levels = np.zeros((height, width, 3), np.float32)
    for share, weight in ((4, 0.6), (16, 0.3), (64, 0.15)):  # of the width: large, middle, small
        cells = (max(height * share // max(width, 1), 2), max(share, 2), 3)
        coarse = generator.integers(0, 256, cells, dtype=np.uint8)
        enlarged = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        levels += weight * np.asarray(enlarged, np.float32)
    levels += generator.standard_normal((height, width, 1), np.float32) * GRAIN
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def read_photos(folder: Path) -> list[EncodedImage]:
    """The images of a folder, by name; raises FileNotFoundError if it has none."""
    paths = sorted(path for path in _list_files(folder) if is_image_file(path))
    if not paths:
        raise FileNotFoundError(
            f"expected {', '.join(sorted(SUFFIXES))} files in {folder}, found none; "
            "name another folder with --photos"
        )
    return [build_image(path.name, path.read_bytes()) for path in paths]


def is_image_file(path: Path) -> bool:
    """By its name: with an image's suffix, and not hidden, as macOS's ._photo.jpg is."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _list_files(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())


def build_image(name: str, data: bytes) -> EncodedImage:
    """An image with its multipart body, built once with a fixed boundary."""
    head = (
        f"--{BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="image"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return EncodedImage(name, data, head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode())

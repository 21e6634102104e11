"""Files for `loadtests.soak`: images of many kinds, damaged ones, and files that are none."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from loadtests.clients.images import generate_images, generate_jpegs

OK = frozenset({200})
_ORIENTATION_TAG = 274


@dataclass(frozen=True)
class ImageFile:
    """A file, and the statuses that are right for it.

    `is_too_long`: it is above the limit of a body, so a batch with it is refused as a whole.
    """

    name: str
    data: bytes
    allowed: frozenset[int] = OK
    is_too_long: bool = False


def make_good(seed: int) -> list[ImageFile]:
    """Images that have to be classified: sizes, formats, modes, orientations."""
    files = [ImageFile(image.name, image.data) for image in generate_images(seed, 9)]
    for size in ((73, 73), (512, 384), (3000, 2000)):
        files += [ImageFile(p.name, p.data) for p in generate_jpegs(seed, 1, size)]
    photo = Image.open(io.BytesIO(files[-2].data)).convert("RGB")
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = 6
    files += [
        ImageFile("progressive.jpg", _save(photo, "JPEG", progressive=True)),
        ImageFile("grey.jpg", _save(photo.convert("L"), "JPEG")),
        ImageFile("cmyk.jpg", _save(photo.convert("CMYK"), "JPEG")),
        ImageFile("upright.jpg", _save(photo, "JPEG", exif=exif)),
        ImageFile("alpha.png", _save(photo.convert("RGBA"), "PNG")),
        ImageFile("palette.png", _save(photo.convert("P"), "PNG")),
        ImageFile("deep.png", _save(_make_deep(seed), "PNG")),
        ImageFile("lossless.webp", _save(photo.resize((256, 192)), "WEBP", lossless=True)),
        ImageFile("one-pixel.png", _save(Image.new("RGB", (1, 1), "red"), "PNG")),
        ImageFile("long.png", _save(Image.new("RGB", (4000, 3), "blue"), "PNG")),
    ]
    return files


def make_bad(seed: int) -> list[ImageFile]:
    """Files that have to be refused, each in its way."""
    generator = np.random.default_rng(seed)
    (photo,) = generate_jpegs(seed, 1, (512, 384))
    png = _save(Image.open(io.BytesIO(photo.data)).resize((128, 96)), "PNG")
    middle = len(png) // 2
    flipped = png[:middle] + bytes([png[middle] ^ 0xFF]) + png[middle + 1 :]
    gif = _save(Image.new("P", (64, 64)), "GIF")
    refused, damaged = frozenset({415}), frozenset({422})
    return [
        ImageFile("half.jpg", photo.data[: len(photo.data) // 2], damaged),
        ImageFile("without-end.jpg", photo.data[:-2], frozenset({200, 422})),
        ImageFile("flipped.png", flipped, damaged),
        ImageFile("image.gif", gif, refused),
        ImageFile("image.bmp", _save(Image.new("RGB", (64, 64)), "BMP"), refused),
        ImageFile("text.txt", b"no image at all\n" * 100, refused),
        ImageFile("noise.bin", b"\x00" + generator.bytes(50_000), refused),
        ImageFile("empty", b"", frozenset({400})),
        ImageFile("huge.png", _claim_size(60_000, 60_000), frozenset({413})),
        ImageFile("magic-only.jpg", b"\xff\xd8\xff", damaged),
        ImageFile("text.json", b'{"image": "aGVsbG8="}', frozenset({400, 415})),
    ]


def make_too_long(limit: int) -> ImageFile:
    """A file of more bytes than a service takes."""
    return ImageFile(
        "too-long.jpg", b"\xff\xd8\xff" + bytes(limit), frozenset({413}), is_too_long=True
    )


def _save(image: Image.Image, file_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def _make_deep(seed: int) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 2**16, (120, 160), dtype=np.uint16)
    return Image.fromarray(levels)


def _claim_size(width: int, height: int) -> bytes:
    """A PNG that says that it is this large."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(_make_chunks(width, height))


def _make_chunks(width: int, height: int) -> Iterator[bytes]:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        checksum = zlib.crc32(kind + content)
        yield struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

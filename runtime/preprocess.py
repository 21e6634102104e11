"""From the bytes of a photo to the network's input tensor: safe decoding and the one preprocessing.

Training evaluation, export and service all use `preprocess`, so that a network meets the pixels it
was trained for. `decode_image` is made for hostile bytes: the format is decided by the first bytes
and must be on a short list, the size is read from the header before any pixel is decoded, and
whatever goes wrong inside the decoder is an `InvalidImage`.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from runtime.errors import ImageTooLarge, InvalidImage, InvalidManifest, UnsupportedImage
from runtime.picture_headers import count_scans, describe_damage, read_size

# Imported for their registration only: with them present Image.open never loads its forty others.
_PLUGINS = (JpegImagePlugin, PngImagePlugin, WebPImagePlugin)

#: Manifest name of an interpolation -> Pillow's filter; every one of them averages when shrinking.
INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "area": Image.Resampling.BOX,
}
LARGEST_SIDE = 4096  # of a network's input
_LARGEST_RATIO = 16  # above it the resized long side is never materialised
#: The most memory that decoding takes at any moment, beside three times the file.
DECODING_BYTES_PER_PIXEL = 13
_PIECE_PIXELS = 2**18  # converted at a time, where converting needs copies
_ORIENTATION_TAG = 0x0112
_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Formats that people send and that are refused: named in the error, because it helps them.
_REFUSED = (
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"%PDF", "PDF"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"<", "SVG, HTML or XML"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphe", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftyp", "video"),
)


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
        if min(self.std) <= 0:
            _refuse("std", "three numbers above 0", self.std)


@dataclass(frozen=True)
class ImageLimits:
    """What `decode_image` accepts: bytes of the file, pixels by its header, scans of a JPEG.

    Each scan visits every pixel. Encoders write 1 to 10, for CMYK 18, mozjpeg at most 16.

    Raises:
        ValueError: a limit is out of range.
    """

    max_bytes: int = 10 * 2**20
    max_pixels: int = 25_000_000
    max_scans: int = 20

    def __post_init__(self) -> None:
        """Checks every limit; the decoder's own pixel limit is the upper bound of ours."""
        if min(self.max_bytes, self.max_pixels, self.max_scans) < 1:
            raise ValueError(f"expected limits of at least 1; found {self}")
        if Image.MAX_IMAGE_PIXELS is not None and self.max_pixels > Image.MAX_IMAGE_PIXELS:
            raise ValueError(
                f"expected max_pixels of at most {Image.MAX_IMAGE_PIXELS}; found {self.max_pixels}"
            )


def decode_image(data: bytes, limits: ImageLimits | None = None) -> Image.Image:
    """Decodes a JPEG, PNG or WebP file of unknown origin into an upright RGB image.

    The EXIF orientation is applied. Transparent pixels are composited on white, 16-bit grey keeps
    its high byte, CMYK and YCCK are converted without a colour profile, of an animation the first
    frame is taken. `format` of the returned image is the format found: JPEG, PNG or WEBP.

    Raises:
        UnsupportedImage: the first bytes belong to no accepted format.
        ImageTooLarge: more bytes, pixels or scans than `limits` (default: `ImageLimits()`) allow.
        InvalidImage: an accepted format that is damaged or incomplete.
        MemoryError: the picture needs more memory than there is.
    """
    limits = limits or ImageLimits()
    if not data:
        raise InvalidImage("expected an image file; found no bytes. Send the file's content.")
    if len(data) > limits.max_bytes:
        raise _too_large("bytes", limits.max_bytes, len(data), "Send a smaller file.")
    kind = _sniff_format(data)
    with _damage_refused(kind):
        size = read_size(data, kind)
        _check_pixels(size, limits)
        if kind == "JPEG" and (scans := count_scans(data)) > limits.max_scans:
            raise _too_large("scans", limits.max_scans, scans, "Save it as a baseline JPEG.")
        result, orientation = _decode(data, kind, size)
        if (upright := _ORIENTATIONS.get(orientation)) is not None:
            result = result.transpose(upright)
    result.format = kind
    return result


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


def _sniff_format(data: bytes) -> str:
    """Pillow's name of the format by the first bytes; raises UnsupportedImage."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    for offset, magic, name in _REFUSED:
        if data.startswith(magic, offset):
            found = f"what looks like {name}"
            break
    else:
        found = "another format"
    raise UnsupportedImage(
        f"expected a JPEG, PNG or WebP file; found {found}. Convert the picture to one of these."
    )


def _check_pixels(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InvalidImage(
            f"expected at least one pixel; found {width} x {height}. Send another picture."
        )
    if width * height > limits.max_pixels:
        raise _too_large("pixels", limits.max_pixels, width * height, "Shrink the picture first.")


def _read_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none; damaged metadata does not spoil a good photo."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # whatever a parser of hostile metadata may raise
        return 1


class _FirstFrame(WebPImagePlugin.WebPImageFile):
    """A WebP that lets go of its decoder, two canvases of 4 bytes a pixel, after one frame."""

    def _get_next(self) -> tuple[bytes, int, int]:
        frame = super()._get_next()
        del self._decoder
        return frame


def _decode(data: bytes, kind: str, size: tuple[int, int]) -> tuple[Image.Image, int]:
    """The RGB picture as stored, and its orientation; frees everything else."""
    stream = io.BytesIO(data)
    try:
        image = _FirstFrame(stream) if kind == "WEBP" else Image.open(stream, formats=(kind,))
        with image:
            if image.size != size:
                raise InvalidImage(
                    f"expected one size in the {kind} file; found two. Save the picture anew."
                )
            image.load()
    except OSError:
        # The codecs call a lack of memory damage: where there is none this raises MemoryError. No
        # page of it is touched.
        bytearray(DECODING_BYTES_PER_PIXEL * size[0] * size[1])
        raise
    return _convert_to_rgb(image), _read_orientation(image)


def _convert_to_rgb(image: Image.Image) -> Image.Image:
    """The picture itself if it is RGB; else beside it only the result, whatever the mode."""
    deep = image.mode.startswith("I")  # 16-bit grey: convert() would clip at 255 instead of scaling
    if not deep and not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    result = Image.new("RGB", image.size, "white")
    width, height = image.size
    across, down = min(width, _PIECE_PIXELS), max(_PIECE_PIXELS // width, 1)
    for left, top in product(range(0, width, across), range(0, height, down)):
        box = (left, top, min(left + across, width), min(top + down, height))
        piece = image.crop(box)
        if deep:
            result.paste(_keep_high_byte(piece), box)
        else:
            layers = piece.convert("RGBA")
            result.paste(layers, box, layers)
    return result


def _keep_high_byte(image: Image.Image) -> Image.Image:
    levels = np.asarray(image)
    grey = (levels >> 8).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[levels == transparent] = 255
    return Image.fromarray(grey)


@contextmanager
def _damage_refused(kind: str) -> Iterator[None]:
    """Turns a parser's exceptions into InvalidImage, without quoting the file's content.

    MemoryError stays what it is: the file may be good.
    """
    try:
        yield
    except (InvalidImage, MemoryError):
        raise
    except Exception as fault:  # Pillow raises a dozen types on hostile bytes
        raise InvalidImage(describe_damage(kind)) from fault


def _too_large(unit: str, limit: int, found: int, remedy: str) -> ImageTooLarge:
    return ImageTooLarge(f"expected at most {limit} {unit}; found {found}. {remedy}")


def _three_numbers(name: str, values: object) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or len(values) != 3:
        _refuse(name, "three numbers", values)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            _refuse(name, "three numbers", values)
        if not math.isfinite(value):
            _refuse(name, "finite numbers", values)
    return tuple(float(value) for value in values)


def _refuse(name: str, expected: str, found: object) -> NoReturn:
    raise InvalidManifest(
        f"preprocessing.{name}: expected {expected}; found {str(found)[:60]}. Re-export the bundle."
    )

"""Images of unknown origin: what decoding one will take, and the decoding, upright and in RGB.

Made for hostile bytes. The format is decided by the first bytes and must be on a short list; size,
memory and work are known from the header before any pixel is decoded; the decoders get no metadata;
and whatever goes wrong inside of them is an `InvalidImage`.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isqrt

from PIL import Image

from runtime.errors import InvalidImage
from runtime.image_files.avif_file import make_demanding_avif, read_avif
from runtime.image_files.exif import TRANSPOSITIONS
from runtime.image_files.faults import NAMES, damaged, too_large
from runtime.image_files.formats import sniff_format
from runtime.image_files.header import ImageHeader
from runtime.image_files.jpeg_header import JpegHeader, make_demanding_jpeg, read_jpeg
from runtime.image_files.png_file import make_demanding_png, read_png
from runtime.image_files.rgb import convert_to_rgb
from runtime.image_files.webp_file import WebpHeader, read_webp

#: The most pixels of a JPEG, which is decoded at reduced scale where that is too many.
MAX_JPEG = 80_000_000
#: How much smaller, in each direction, a JPEG's decoder can make it.
SCALES = (1, 2, 4, 8)
_PIXELS_OF_PILLOW = 89_478_485  # what Pillow itself opens without a warning
_READERS: dict[str, Callable[[bytes], ImageHeader]] = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "WEBP": read_webp,
    "AVIF": read_avif,
}
_LONGEST = 16  # times the shorter side: of the images that limits are described for
_BASELINE = "Save it as a baseline JPEG."
_SHRINK = "Shrink the image first."
_SEND_JPEG = (
    f"Shrink the image first, or send a JPEG: of up to {MAX_JPEG} pixels it is read at reduced "
    "scale."
)


# The kind of each format that takes most memory: by width, height and bytes of the file.
_MOST_DEMANDING: dict[str, Callable[[int, int, int], ImageHeader]] = {
    "JPEG": lambda width, height, _: make_demanding_jpeg(width, height),
    "PNG": make_demanding_png,
    "WEBP": lambda width, height, file_bytes: WebpHeader(width, height, 6, file_bytes),
    "AVIF": make_demanding_avif,
}


@dataclass(frozen=True)
class ImageLimits:
    """What is decoded: bytes of the file, pixels and scans by its header, memory.

    `max_pixels` and `max_decoding_bytes` hold for the image as it is decoded: a JPEG above them is
    decoded at reduced scale. The first is a bound of work, too: of pixels, each counted in every
    scan, at most max_pixels x max_scans. Encoders write 1 to 10 scans, for CMYK 18, mozjpeg at most
    16. `max_decoding_bytes` is the most memory that decoding one image may take at any moment
    beside the file; None: any.

    Raises:
        ValueError: a limit is out of range.
    """

    max_bytes: int = 10 * 2**20
    max_pixels: int = 25_000_000
    max_scans: int = 20
    max_decoding_bytes: int | None = None

    def __post_init__(self) -> None:
        """Checks every limit."""
        limits = [self.max_bytes, self.max_pixels, self.max_scans]
        if self.max_decoding_bytes is not None:
            limits.append(self.max_decoding_bytes)
        if min(limits) < 1:
            raise ValueError(f"expected limits of at least 1; found {self}")
        if self.max_pixels > _PIXELS_OF_PILLOW:
            raise ValueError(
                f"expected max_pixels of at most {_PIXELS_OF_PILLOW}; found {self.max_pixels}"
            )


@dataclass(frozen=True)
class DecodingPlan:
    """How one file will be decoded, as its header tells.

    `width` and `height` are as stored, `orientation` is EXIF's, 1 to 8. The image is reduced to
    1 / `scale` of its size in each direction, the last column and row rounded up: a JPEG while it
    is decoded, others after it, and those only for `decode_stored`. `decoding_bytes` bounds the
    memory that decoding, turning upright and conversion to RGB take beside the file.
    """

    format: str
    width: int
    height: int
    orientation: int
    scale: int
    decoding_bytes: int
    header: ImageHeader = field(repr=False)

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height of the full image as people see it, whatever the scale."""
        return _turn((self.width, self.height), self.orientation)

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Width and height of the image that `decode_image` returns."""
        return _turn(self.header.reduce(self.scale), self.orientation)


def plan_decoding(
    data: bytes,
    limits: ImageLimits | None = None,
    least_side: int = 1,
    *,
    reduce_to: int | None = None,
) -> DecodingPlan:
    """Reads the header of a file of unknown origin, in a few milliseconds whatever it says.

    The scale is 1 where the image is within max_pixels and max_decoding_bytes. A JPEG above one of
    them is planned at the least reduction, by 2, 4 or 8, that fits both and leaves `least_side`
    pixels of the shorter side.

    Raises:
        UnsupportedImage: the first bytes belong to no accepted format, or it is a kind of JPEG that
            is not read.
        ImageTooLarge: more bytes, pixels, scans or memory than `limits` (default: `ImageLimits()`)
            allow.
        InvalidImage: an accepted format that is damaged or incomplete.
    """
    limits = limits or ImageLimits()
    if not data:
        raise InvalidImage("expected an image file; found no bytes. Send the file's content.")
    if len(data) > limits.max_bytes:
        raise too_large("bytes", limits.max_bytes, len(data), "Send a smaller file.")
    kind = sniff_format(data)
    with _damage_refused(kind):
        header = _READERS[kind](data)
    if header.width < 1 or header.height < 1:
        raise InvalidImage(
            f"expected at least one pixel; found {header.width} x {header.height}. Send another "
            "image."
        )
    _check_work(header, limits)
    scale, needed = _choose_scale(header, limits, least_side, reduce_to)
    size = header.width, header.height
    return DecodingPlan(kind, *size, header.orientation, scale, needed, header)


def decode_image(
    data: bytes,
    limits: ImageLimits | None = None,
    least_side: int = 1,
    plan: DecodingPlan | None = None,
) -> Image.Image:
    """Decodes a JPEG, PNG, WebP or AVIF file of unknown origin into an upright RGB image.

    The orientation is applied. Transparent pixels are composited on white, 16-bit grey keeps its
    high byte, CMYK and YCCK are converted without a colour profile, of an animation the first frame
    is taken. `format` of the returned image is the format found: JPEG, PNG, WEBP or AVIF. Its size
    is the plan's `decoded_size`, smaller than the file's only for a JPEG that is above the limits.

    `plan` is what `plan_decoding` made of this very file; with it, `limits` and `least_side` have
    done their work.

    Raises:
        UnsupportedImage, ImageTooLarge: as plan_decoding does.
        InvalidImage: an accepted format that is damaged or incomplete.
        MemoryError: the image needs more memory than there is.
    """
    plan = plan or plan_decoding(data, limits, least_side)
    with _damage_refused(plan.format):
        result = convert_to_rgb(_decode(data, plan, plan.scale))
        if (upright := TRANSPOSITIONS.get(plan.orientation)) is not None:
            result = result.transpose(upright)
    result.format = plan.format
    return result


def decode_stored(data: bytes, plan: DecodingPlan) -> Image.Image:
    """Decodes a file as it is stored, not turned, at 1 / scale of a plan made with `reduce_to`.

    The image is opaque, in mode L, RGB or CMYK: what is transparent is composited on white. Each
    pixel is the mean of a block of scale x scale pixels.

    Raises:
        InvalidImage: an accepted format that is damaged or incomplete.
        MemoryError: the image needs more memory than there is.
    """
    with _damage_refused(plan.format):
        if isinstance(plan.header, JpegHeader):
            return _decode(data, plan, plan.scale)
        result = convert_to_rgb(_decode(data, plan, 1))
        return result.reduce(plan.scale) if plan.scale > 1 else result


def _decode(data: bytes, plan: DecodingPlan, scale: int) -> Image.Image:
    try:
        result = plan.header.decode(data, scale)
    except InvalidImage:
        raise
    except Exception:
        # The codecs call a lack of memory damage: where there is none this raises MemoryError.
        # No page of it is touched.
        bytearray(plan.decoding_bytes)
        raise
    if result.size != plan.header.reduce(scale):
        raise InvalidImage(
            f"expected one size in the {NAMES[plan.format]} file; found two. Save the image anew."
        )
    return result


def describe_full_size_limits(limits: ImageLimits) -> dict[str, int]:
    """For each format the pixels up to which every image is decoded at full size.

    Within max_pixels and max_decoding_bytes, for the kind that takes most: transparent, turned,
    progressive, of 12 or 16 bits; with sides of at most 16 to 1. Only AVIF of several pieces or
    with film grain takes more.
    """
    return {kind: _find_most_pixels(make, limits) for kind, make in _MOST_DEMANDING.items()}


def _find_most_pixels(make: Callable[[int, int, int], ImageHeader], limits: ImageLimits) -> int:
    if limits.max_decoding_bytes is None:
        return limits.max_pixels

    def measure(pixels: int) -> int:
        short = max(isqrt(pixels // _LONGEST), 1)
        return make(-(-pixels // short), short, limits.max_bytes).measure_decoding()

    return bisect_right(range(1, limits.max_pixels + 1), limits.max_decoding_bytes, key=measure)


def _check_work(header: ImageHeader, limits: ImageLimits) -> None:
    """Raises ImageTooLarge for what would take too long at any scale."""
    most = limits.max_pixels * limits.max_scans
    if isinstance(header, JpegHeader):
        largest = min(max(MAX_JPEG, limits.max_pixels), most)
        if header.pixels > largest:
            raise too_large("pixels", largest, header.pixels, _SHRINK)
        if header.scans > limits.max_scans:
            raise too_large("scans", limits.max_scans, header.scans, _BASELINE)
        if header.visits > most:
            unit = f"scans of {header.pixels} pixels"
            raise too_large(unit, most // header.pixels, header.scans, _BASELINE)
    elif header.visits > most:
        raise too_large("pixels in all of its frames", most, header.visits, _SHRINK)


def _choose_scale(
    header: ImageHeader, limits: ImageLimits, least_side: int, reduce_to: int | None
) -> tuple[int, int]:
    """The least reduction that fits the limits, and the bytes it takes. Raises ImageTooLarge.

    With `reduce_to` the least is the largest that leaves so many pixels of the shorter side.
    """
    reducible = isinstance(header, JpegHeader)
    shorter = min(header.width, header.height)
    first, measure = 1, header.measure_decoding
    if reduce_to is not None:
        first = max(scale for scale in SCALES if scale == 1 or shorter >= reduce_to * scale)
        measure = header.measure_stored
    for scale in SCALES[SCALES.index(first) :] if reducible else (first,):
        size = header.reduce(scale)
        if scale > first and (min(size) < least_side or scale > shorter):
            break
        pixels = size[0] * size[1] if reducible else header.pixels
        needed = measure(scale)
        if pixels <= limits.max_pixels and needed <= (limits.max_decoding_bytes or needed):
            return scale, needed
    remedy = _SHRINK if reducible else _SEND_JPEG
    if pixels > limits.max_pixels:
        raise too_large("pixels", limits.max_pixels, header.pixels, remedy)
    unit = "bytes of memory to decode it"
    raise too_large(unit, limits.max_decoding_bytes or needed, needed, remedy)


def _turn(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return size if orientation < 5 else (size[1], size[0])


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
        raise damaged(kind) from fault

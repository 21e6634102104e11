"""runtime.image_reader: what a network sees of a file, at full size and reduced."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from runtime import ImageLimits, ImageReader, InvalidImage, Preprocessing, normalise, preprocess
from runtime.errors import ImageTooLarge
from runtime.image_files.decoding import decode_image
from runtime.image_files.exif import TRANSPOSITIONS
from runtime.kernels.resampling import _find_pixels
from tests.runtime.images import encode, make_noise, make_photo

FULL = Preprocessing(36, 32, "bilinear", (123.0, 116.0, 103.0), (58.0, 57.0, 57.0))
REDUCED = replace(FULL, reduce=1)


def read(data: bytes, spec: Preprocessing, limits: ImageLimits | None = None) -> np.ndarray:
    """The pixels as int [crop, crop, 3]."""
    return np.asarray(ImageReader(spec, limits).read_pixels(data)).astype(int)


def encode_turned(image: Image.Image, orientation: int) -> bytes:
    """A JPEG that readers turn so that they see `image`."""
    turn = TRANSPOSITIONS.get({6: 8, 8: 6}.get(orientation, orientation))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = image if turn is None else image.transpose(turn)
    return encode(stored, "JPEG", quality=95, subsampling=0, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("size", [(83, 61), (300, 200), (31, 20)])
def test_full_size_is_decode_and_preprocess(kind: str, size: tuple[int, int]) -> None:
    """What bundles that were exported before see, bit for bit."""
    data = encode(make_photo(*size), kind)
    found = ImageReader(FULL).read_tensor(data)
    assert found.tobytes() == preprocess(decode_image(data), FULL).tobytes()


@pytest.mark.parametrize(
    ("side", "reduce", "scale"),
    [
        *((71, 1, 1), (72, 1, 2), (143, 1, 2), (144, 1, 4), (287, 1, 4), (288, 1, 8)),
        *((900, 1, 8), (72, 1.5, 1), (108, 1.5, 2), (143, 2, 1), (144, 2, 2), (20, 1, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_scale_is_the_largest_that_leaves_enough(
    side: int, reduce: float, scale: int, kind: str
) -> None:
    reader = ImageReader(replace(FULL, reduce=reduce))
    for size in ((side, side + 30), (side + 30, side)):
        data = encode(Image.new("RGB", size), kind)
        plan = reader.plan(data)
        assert plan.scale == scale
        assert reader.decode(data, plan).size == plan.header.reduce(scale)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_reduced_pixels_are_near_those_of_the_full_size(kind: str) -> None:
    options = {} if kind == "PNG" else {"quality": 95}
    data = encode(make_photo(403, 301), kind, **options)
    difference = np.abs(read(data, REDUCED) - read(data, FULL))
    assert difference.mean() < 1.5
    assert difference.max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("reduce", [1, 2])
def test_orientation_changes_nothing(orientation: int, reduce: float) -> None:
    spec = replace(FULL, reduce=reduce)
    image = make_photo(320, 240)
    upright = read(encode_turned(image, 1), spec)
    difference = np.abs(read(encode_turned(image, orientation), spec) - upright)
    assert difference.max() <= 3
    assert ImageReader(spec).plan(encode_turned(image, orientation)).upright_size == (320, 240)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "LA", "P", "1", "I;16"])
def test_every_mode_is_reduced(mode: str) -> None:
    photo = make_photo(301, 230)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    elif mode in ("RGBA", "LA"):
        image = photo.convert(mode)
        image.putalpha(Image.linear_gradient("L").resize(photo.size))
    else:
        image = photo.convert(mode)
    data = encode(image, "JPEG" if mode in ("L", "CMYK") else "PNG")
    pixels = ImageReader(REDUCED).read_pixels(data)
    assert (pixels.mode, pixels.size) == ("RGB", (32, 32))
    difference = np.abs(np.asarray(pixels).astype(int) - read(data, FULL))
    assert difference.mean() < 4


def test_limits_reduce_further_and_never_below_the_crop() -> None:
    data = encode(make_photo(800, 600), "JPEG")
    spec = replace(FULL, reduce=4)
    assert ImageReader(spec).plan(data).scale == 4
    assert ImageReader(spec, ImageLimits(max_pixels=25_000)).plan(data).scale == 8
    with pytest.raises(ImageTooLarge):
        ImageReader(replace(spec, resize=100, crop=90), ImageLimits(max_pixels=25_000)).plan(data)


def test_reduced_images_need_less_memory() -> None:
    data = encode_turned(make_photo(1600, 1200), 6)
    full, reduced = ImageReader(FULL).plan(data), ImageReader(REDUCED).plan(data)
    assert full.decoding_bytes > 2 * 1600 * 1200 * 4
    assert reduced.scale == 8
    assert reduced.decoding_bytes < 1600 * 1200
    png = encode(make_photo(1600, 1200), "PNG")
    most = ImageReader(REDUCED).plan(png).decoding_bytes
    with pytest.raises(ImageTooLarge, match="bytes of memory"):
        ImageReader(REDUCED, ImageLimits(max_decoding_bytes=most - 1)).plan(png)


@given(
    cut=st.integers(0, 3000), at=st.integers(0, 3000), value=st.integers(0, 255),
    progressive=st.booleans(), mode=st.sampled_from(["RGB", "L", "CMYK"]),
)  # fmt: skip
def test_reduced_and_full_decoding_accept_the_same_files(
    cut: int, at: int, value: int, progressive: bool, mode: str
) -> None:
    """Damaged and cut off JPEGs, which both refuse or both read."""
    image = make_noise(80, 90).convert(mode)
    data = bytearray(encode(image, "JPEG", quality=60, progressive=progressive))
    data[at % len(data)] = value
    damaged = bytes(data[: len(data) - cut % 4 * (cut % len(data))])

    def is_accepted(spec: Preprocessing) -> bool:
        try:
            ImageReader(spec).read_pixels(damaged)
        except InvalidImage:
            return False
        return True

    assert is_accepted(REDUCED) == is_accepted(FULL)


def test_tensor_is_the_normalised_pixels() -> None:
    data = encode(make_photo(), "PNG")
    reader = ImageReader(REDUCED)
    expected = normalise(reader.read_pixels(data), REDUCED)
    assert reader.read_tensor(data).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "L")),
        *(("WEBP", "RGB"), ("AVIF", "RGB")),
    ],
)
@pytest.mark.parametrize("name", ["bilinear", "bicubic", "area"])
@pytest.mark.parametrize("size", [(300, 200), (90, 401)])
def test_tensor_is_the_same_by_the_kernel_library_and_by_pillow(
    kind: str, mode: str, name: str, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(make_noise(*size).convert(mode), kind, exif=exif)
    for spec in (FULL, REDUCED, replace(REDUCED, interpolation=name, reduce=2)):
        reader = ImageReader(spec)
        plan = reader.plan(data)
        image = reader.decode(data, plan)
        expected = normalise(reader.crop(image, plan), spec)
        assert reader.prepare(image, plan).tobytes() == expected.tobytes()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("runtime.kernels.resampling._load", lambda: None)
            assert reader.prepare(image, plan).tobytes() == expected.tobytes()


def test_a_jpeg_is_resized_where_pillow_keeps_it() -> None:
    """No copy is made of it: the kernel library takes what the decoder gives."""
    for mode in ("RGB", "L"):
        reader = ImageReader(REDUCED)
        data = encode(make_photo().convert(mode), "JPEG")
        assert _find_pixels(reader.decode(data, reader.plan(data))) is not None


def test_a_jpeg_of_48_megapixels_is_read_within_eight_mebibytes() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8000, 6000), (90, 120, 30)).save(stream, "JPEG")
    plan = ImageReader(Preprocessing(180, 160, "bilinear", (0,) * 3, (1,) * 3, 1)).plan(
        stream.getvalue()
    )
    assert plan.scale == 8
    assert plan.decoding_bytes <= 8 * 2**20

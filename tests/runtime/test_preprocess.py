"""runtime.preprocess: exact geometry and numbers, every picture mode, hostile bytes made here."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from runtime import (
    ImageLimits,
    ImageTooLarge,
    InvalidImage,
    Preprocessing,
    UnsupportedImage,
    decode_image,
    preprocess,
    resize_and_crop,
)
from runtime.errors import InvalidManifest

SPEC = Preprocessing(36, 32, "bilinear", (123.0, 116.0, 103.0), (58.0, 57.0, 57.0))


def make_photo(width: int = 83, height: int = 61) -> Image.Image:
    """A colourful picture without symmetry, smooth enough for lossy formats."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 255 // width, y * 255 // height, (x + 2 * y) * 255 // (width + 2 * height))
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The image as a file of this format."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def make_png(header: bytes, *chunks: tuple[bytes, bytes], end: bool = True) -> bytes:
    """A PNG of raw chunks: what Pillow itself would not write."""
    rows = [(b"IHDR", header), *chunks, *([(b"IEND", b"")] if end else [])]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in rows
    )
    return b"\x89PNG\r\n\x1a\n" + body


def decode_pixels(data: bytes) -> np.ndarray:
    """The decoded picture as int [height, width, 3]."""
    return np.asarray(decode_image(data)).astype(int)


# ---- numbers and geometry


def test_normalises_each_channel_on_the_scale_0_to_255() -> None:
    image = Image.new("RGB", (40, 50), (200, 116, 3))
    tensor = preprocess(image, SPEC)
    assert tensor.dtype == np.float32
    assert tensor.shape == (3, 32, 32)
    assert tensor.flags.c_contiguous
    expected = (np.float32([200, 116, 3]) - np.float32(SPEC.mean)) / np.float32(SPEC.std)
    assert np.array_equal(tensor[:, 5, 7], expected)


@pytest.mark.parametrize("size", [(83, 61), (61, 83), (36, 36), (37, 36), (20, 31), (1, 1), (9, 2)])
@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
        ("area", Image.Resampling.BOX),
    ],
)
def test_equals_resize_of_the_shorter_side_then_centre_crop(
    size: tuple[int, int], name: str, kernel: Image.Resampling
) -> None:
    spec = Preprocessing(36, 32, name, (0, 0, 0), (1, 1, 1))
    image = make_photo(*size)
    short, long = min(size), max(size)
    width, height = (36 if side == short else int(36 * long / short) for side in size)
    left, top = round((width - 32) / 2), round((height - 32) / 2)
    whole = np.asarray(image.resize((width, height), kernel), dtype=np.float32)
    expected = whole[top : top + 32, left : left + 32].transpose(2, 0, 1)
    assert np.array_equal(preprocess(image, spec), expected)


def test_golden_tensor() -> None:
    """Changes only with the definition of the preprocessing: trained networks depend on it."""
    pixels = np.asarray(resize_and_crop(make_photo(), SPEC)).astype(int)
    assert pixels[0, 0].tolist() == [43, 15, 26]
    assert pixels[31, 31].tolist() == [208, 235, 224]
    assert pixels[16, 8].tolist() == [86, 129, 111]


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[:, ::2] = 255
    for name in ("bilinear", "bicubic", "area"):
        spec = Preprocessing(32, 32, name, (0, 0, 0), (1, 1, 1))
        assert np.abs(preprocess(Image.fromarray(stripes), spec) - 127.5).max() < 16


@pytest.mark.parametrize("size", [(1, 3_000_000), (3_000_000, 1), (700, 40), (40, 700)])
@pytest.mark.parametrize("name", ["bilinear", "bicubic", "area"])
def test_extreme_shapes_need_no_memory_for_the_resized_long_side(
    size: tuple[int, int], name: str
) -> None:
    spec = Preprocessing(256, 224, name, (0, 0, 0), (1, 1, 1))
    image = Image.new("RGB", size, (10, 200, 30))
    assert np.array_equal(np.unique(preprocess(image, spec)), [10, 30, 200])


def test_extreme_shapes_show_the_same_window_as_others() -> None:
    image = make_photo(1000, 50)
    whole = np.asarray(image.resize((720, 36), Image.Resampling.BILINEAR)).astype(int)
    window = np.asarray(resize_and_crop(image, SPEC)).astype(int)
    assert np.abs(window - whole[2:34, 344:376]).max() <= 1


@pytest.mark.parametrize("image", [Image.new("L", (9, 9)), Image.new("RGB", (0, 9))])
def test_preprocess_refuses_what_is_no_rgb_picture(image: Image.Image) -> None:
    with pytest.raises(InvalidImage, match="expected an RGB image"):
        preprocess(image, SPEC)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"resize": 0}, "resize"),
        ({"resize": 36.0}, "resize"),
        ({"resize": True}, "resize"),
        ({"resize": 10**6}, "resize"),
        ({"crop": 37}, "crop"),
        ({"crop": "32"}, "crop"),
        ({"interpolation": "nearest"}, "bilinear, bicubic, area"),
        ({"mean": (1.0, 2.0)}, "mean"),
        ({"mean": "abc"}, "mean"),
        ({"mean": (1.0, 2.0, True)}, "mean"),
        ({"std": (1.0, 0.0, 1.0)}, "std"),
        ({"std": (1.0, float("nan"), 1.0)}, "std"),
        ({"mean": (1.0, 2.0, float("inf"))}, "mean"),
    ],
)
def test_preprocessing_validates_itself(changes: dict[str, Any], text: str) -> None:
    values = {"resize": 36, "crop": 32, "interpolation": "area"}
    values |= {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    with pytest.raises(InvalidManifest, match=text):
        Preprocessing(**{**values, **changes})


def test_preprocessing_takes_json_lists() -> None:
    spec = Preprocessing(8, 8, "area", [1, 2, 3], [4, 5, 6])  # type: ignore[arg-type]
    assert spec.mean == (1.0, 2.0, 3.0)
    assert hash(spec) == hash(Preprocessing(8, 8, "area", (1, 2, 3), (4, 5, 6)))


# ---- formats, modes, orientation


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 12),
        ("JPEG", {"quality": 95, "progressive": True}, 12),
        ("PNG", {}, 0),
        ("WEBP", {"quality": 95}, 14),
        ("WEBP", {"lossless": True}, 0),
    ],
)
def test_decodes_each_accepted_format(kind: str, options: dict[str, Any], tolerance: int) -> None:
    photo = make_photo()
    image = decode_image(encode(photo, kind, **options))
    assert (image.mode, image.size, image.format) == ("RGB", photo.size, kind)
    difference = np.asarray(image).astype(int) - np.asarray(photo)
    assert np.abs(difference).max() <= tolerance


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_honours_every_exif_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(make_photo(), kind, exif=exif, **options)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert expected.size == ((83, 61) if orientation < 5 else (61, 83))
    assert np.array_equal(decode_pixels(data), np.asarray(expected))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_unknown_orientations_mean_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert decode_image(encode(make_photo(), "PNG", exif=exif)).size == (83, 61)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_does_not_spoil_a_good_photo() -> None:
    plain = encode(make_photo(), "JPEG")
    junk = b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xee" * 9
    data = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(junk) + 2) + junk + plain[2:]
    assert decode_image(data).size == (83, 61)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_damaged_exif_means_upright(kind: str) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01"  # ends inside its first entry
    options = {"lossless": True} if kind == "WEBP" else {}
    assert decode_image(encode(make_photo(), kind, exif=exif, **options)).size == (83, 61)


def test_a_scan_without_a_frame_header_is_damage() -> None:
    data = encode(make_photo(), "JPEG")
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    with pytest.raises(InvalidImage, match="damaged"):
        decode_image(data[:frame] + data[scan:])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_opaque_png_modes_become_their_colours(mode: str) -> None:
    image = make_photo().convert(mode)
    assert np.array_equal(decode_pixels(encode(image, "PNG")), np.asarray(image.convert("RGB")))


def test_grey_and_cmyk_jpegs_become_rgb() -> None:
    grey = decode_pixels(encode(make_photo().convert("L"), "JPEG"))
    assert np.array_equal(grey[..., 0], grey[..., 2])
    cmyk = decode_pixels(encode(make_photo().convert("CMYK"), "JPEG", quality=95))
    assert np.abs(cmyk - np.asarray(make_photo())).max() <= 16


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_alpha_is_composited_on_white(kind: str) -> None:
    image = Image.new("RGBA", (9, 4), (255, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 3, 4))
    image.paste((0, 0, 255, 128), (3, 0, 6, 4))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    pixels = decode_pixels(encode(image, kind, **options))
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, 4].tolist() == [127, 127, 255]
    assert pixels[0, 8].tolist() == [255, 255, 255]


def test_grey_with_alpha_and_palette_with_transparency_are_composited_on_white() -> None:
    grey = Image.new("LA", (4, 4), (0, 0))
    assert decode_pixels(encode(grey, "PNG"))[0, 0].tolist() == [255, 255, 255]
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    for transparency in (1, b"\xff\x00"):
        data = encode(palette, "PNG", transparency=transparency)
        assert decode_pixels(data)[0, 0].tolist() == [255, 255, 255]
    colour = encode(Image.new("RGB", (4, 4), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    assert decode_pixels(colour)[0, 0].tolist() == [255, 255, 255]


def test_16_bit_grey_keeps_its_high_byte() -> None:
    levels = np.array([[0, 255, 256, 0x7FFF, 0xFF00, 0xFFFF]], np.uint16)
    data = encode(Image.fromarray(levels), "PNG")
    assert decode_pixels(data)[0, :, 0].tolist() == [0, 0, 1, 0x7F, 0xFF, 0xFF]
    header = struct.pack(">IIBBBBB", 6, 1, 16, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" + levels.astype(">u2").tobytes())
    data = make_png(header, (b"tRNS", b"\x01\x00"), (b"IDAT", rows))
    assert decode_pixels(data)[0, :, 0].tolist() == [0, 0, 0xFF, 0x7F, 0xFF, 0xFF]


@pytest.mark.parametrize("colour", [2, 6, 4])
def test_16_bit_colour_keeps_its_high_byte(colour: int) -> None:
    by_colour = {2: [0x0102, 0x8000, 65535], 6: [0x0102, 0x8000, 65535, 65535], 4: [0x8000, 65535]}
    channels = by_colour[colour]
    rows = zlib.compress(b"\0" + struct.pack(f">{len(channels)}H", *channels))
    header = struct.pack(">IIBBBBB", 1, 1, 16, colour, 0, 0, 0)
    expected = [128, 128, 128] if colour == 4 else [1, 128, 255]
    assert decode_pixels(make_png(header, (b"IDAT", rows)))[0, 0].tolist() == expected


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert decode_pixels(data)[0, 0].tolist() == [255, 0, 0]


# ---- refusals


@pytest.mark.parametrize(
    ("kind", "word"),
    [("GIF", "GIF"), ("BMP", "BMP"), ("TIFF", "TIFF"), ("ICO", "ICO"), ("PPM", "another")],
)
def test_other_formats_are_unsupported_and_named(kind: str, word: str) -> None:
    with pytest.raises(UnsupportedImage, match=f"expected a JPEG, PNG or WebP.*{word}"):
        decode_image(encode(make_photo(), kind))


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"\0\0\0\x18ftypheic",
        b"\0\0\0\x18ftypavif",
        b"\0\0\0\x18ftypisom",
        b"%!PS-Adobe-3.0 EPSF-3.0",
        b"\x1f\x8b\x08",
        b"hello",
        b"RIFF\x10\0\0\0WAVE",
    ],
)
def test_other_content_is_unsupported(data: bytes) -> None:
    with pytest.raises(UnsupportedImage):
        decode_image(data)


def test_nothing_is_no_picture() -> None:
    with pytest.raises(InvalidImage, match="no bytes"):
        decode_image(b"")


def test_only_three_parsers_are_ever_loaded() -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        decode_image(encode(make_photo(), kind))
    with Image.open(io.BytesIO(encode(make_photo(), "WEBP")), formats=("WEBP",)) as image:
        assert image.format == "WEBP"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_a_file_cut_anywhere_is_refused(kind: str, options: dict[str, Any]) -> None:
    data = encode(make_photo(31, 17), kind, **options)
    for length in range(len(data)):
        with pytest.raises(InvalidImage):
            decode_image(data[:length])


def test_bytes_after_the_end_are_harmless() -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        assert decode_image(encode(make_photo(), kind) + b"trailer").size == (83, 61)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_byte_limit_holds(kind: str) -> None:
    data = encode(make_photo(), kind)
    assert decode_image(data, ImageLimits(max_bytes=len(data))).size == (83, 61)
    with pytest.raises(ImageTooLarge, match=f"at most {len(data) - 1} bytes; found {len(data)}"):
        decode_image(data, ImageLimits(max_bytes=len(data) - 1))


@pytest.mark.parametrize(
    "options",
    [
        ("JPEG", {}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"icc_profile": b"x"}),
    ],
)
def test_the_pixel_limit_holds(options: tuple[str, dict[str, Any]]) -> None:
    data = encode(make_photo(), options[0], **options[1])
    assert decode_image(data, ImageLimits(max_pixels=83 * 61)).size == (83, 61)
    with pytest.raises(ImageTooLarge, match="at most 5062 pixels; found 5063"):
        decode_image(data, ImageLimits(max_pixels=83 * 61 - 1))


def forge_jpeg_size(width: int, height: int) -> bytes:
    """A JPEG whose header claims another size."""
    data = bytearray(encode(make_photo(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def forge_png_size(width: int, height: int) -> bytes:
    """A PNG whose header claims another size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return make_png(header, (b"IDAT", zlib.compress(b"\0" * 4)))


def forge_webp_size(width: int, height: int) -> bytes:
    """An extended WebP whose canvas claims another size."""
    data = bytearray(encode(make_photo(), "WEBP", icc_profile=b"x"))
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("forge", "side"),
    [
        (forge_jpeg_size, 9_000),
        (forge_jpeg_size, 65_500),
        (forge_png_size, 9_000),
        (forge_png_size, 11_000),
        (forge_png_size, 20_000),
        (forge_png_size, 2**31 - 1),
        (forge_webp_size, 16_000),
        (forge_webp_size, 2**24),
    ],
)
def test_a_forged_size_is_refused_before_any_pixel_exists(
    forge: Callable[[int, int], bytes], side: int
) -> None:
    with pytest.raises(ImageTooLarge, match=f"found {side * side}"):
        decode_image(forge(side, side))


@pytest.mark.parametrize("forge", [forge_png_size, forge_webp_size])
@pytest.mark.parametrize("size", [(83, 1000), (1000, 61), (4000, 4000)])
def test_a_forged_size_within_the_limit_is_damage(
    forge: Callable[[int, int], bytes], size: tuple[int, int]
) -> None:
    with pytest.raises(InvalidImage):
        decode_image(forge(*size))


@pytest.mark.parametrize("size", [(83, 1000), (1000, 61)])
def test_a_jpeg_with_too_few_blocks_is_filled_up(size: tuple[int, int]) -> None:
    """A complete file by its markers: the decoder fills with grey, as every viewer does."""
    assert decode_image(forge_jpeg_size(*size)).size == size


@pytest.mark.parametrize("forge", [forge_jpeg_size, forge_png_size])
def test_no_pixels_are_refused(forge: Callable[[int, int], bytes]) -> None:
    with pytest.raises(InvalidImage, match="at least one pixel"):
        decode_image(forge(0, 5))


def test_a_second_frame_header_cannot_smuggle_in_another_size() -> None:
    data = encode(make_photo(), "JPEG")
    at = data.index(b"\xff\xc0")
    length = 2 + struct.unpack_from(">H", data, at + 2)[0]
    small = bytearray(data[at : at + length])
    small[5:9] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(InvalidImage):
        decode_image(data[:at] + small + data[at:])
    with pytest.raises(InvalidImage):
        decode_image(data[: at + length] + small + data[at + length :])


def test_a_scan_bomb_is_refused() -> None:
    data = encode(make_photo(), "JPEG", progressive=True)
    scans = data.count(b"\xff\xda")
    assert decode_image(data, ImageLimits(max_scans=scans)).size == (83, 61)
    with pytest.raises(ImageTooLarge, match=f"at most {scans - 1} scans; found {scans}"):
        decode_image(data, ImageLimits(max_scans=scans - 1))
    last = data.rindex(b"\xff\xda")
    bomb = data[:-2] + data[last:-2] * 11 + data[-2:]
    with pytest.raises(ImageTooLarge, match="at most 20 scans; found 21"):
        decode_image(bomb)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_what_encoders_write_is_no_scan_bomb(mode: str) -> None:
    assert decode_image(encode(make_photo().convert(mode), "JPEG", progressive=True)).mode == "RGB"


def test_a_compressed_text_bomb_is_refused_or_ignored() -> None:
    bomb = zlib.compress(b"\0" * 60_000_000, 9)
    chunks = [(b"zTXt", b"k\0\0" + bomb)] * 4
    pixels = (b"IDAT", zlib.compress(b"\0\x80"))
    data = make_png(struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0), *chunks, pixels)
    with pytest.raises(InvalidImage):
        decode_image(data)


def test_messages_do_not_quote_the_file() -> None:
    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    with pytest.raises(InvalidImage) as caught:
        decode_image(make_png(header, (b"seCR", b"et"), (b"IDAT", b"secret")))
    assert "secret" not in str(caught.value)
    assert "seCR" not in str(caught.value)


@pytest.mark.parametrize(
    "limits", [{"max_bytes": 0}, {"max_pixels": -1}, {"max_scans": 0}, {"max_pixels": 10**9}]
)
def test_limits_validate_themselves(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ImageLimits(**limits)


# ---- fuzz: whatever the bytes, an RGB picture or an InvalidImage

SEEDS = [
    encode(make_photo(24, 17), kind, **options)
    for kind, options in [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0"}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True, "icc_profile": b"profile"}),
    ]
]
SEEDS.append(encode(make_photo(24, 17).convert("P"), "PNG", transparency=3))
SEEDS.append(encode(make_photo(24, 17).convert("CMYK"), "JPEG"))


def check_fuzzed(data: bytes) -> None:
    """Either a picture within the limits or the one exception that callers expect."""
    limits = ImageLimits(max_pixels=100_000)
    try:
        image = decode_image(data, limits)
    except InvalidImage:
        return
    assert image.mode == "RGB"
    assert 0 < image.width * image.height <= limits.max_pixels
    assert np.isfinite(preprocess(image, SPEC)).all()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
    st.binary(max_size=40),
)
def test_flipped_and_cut_files_never_raise_anything_else(
    seed: bytes, flips: list[tuple[float, int]], keep: float, tail: bytes
) -> None:
    data = bytearray(seed)
    for place, value in flips:
        data[int(place * len(data))] = value
    check_fuzzed(bytes(data) if keep > 0.5 else bytes(data[: int(2 * keep * len(data))]) + tail)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8X", b""]),
    st.binary(max_size=400),
)
def test_arbitrary_bytes_behind_a_good_start_never_raise_anything_else(
    magic: bytes, rest: bytes
) -> None:
    check_fuzzed(magic + rest)


# ---- real photos


def test_real_photos_decode_to_their_size(photos: Path) -> None:
    assert decode_image((photos / "parrot.jpg").read_bytes()).size == (512, 929)

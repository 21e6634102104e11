"""runtime.image_files.decoding: all formats to upright RGB, limits, reduction, hostile bytes."""

import io
import struct
import subprocess
import sys
import time
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
    describe_full_size_limits,
    plan_decoding,
    preprocess,
)
from runtime.image_files.decoding import MAX_JPEG
from tests.runtime.images import (
    decode_pixels,
    encode,
    insert_segment,
    make_exif,
    make_noise,
    make_photo,
    make_png,
    make_png_header,
)

SPEC = Preprocessing(36, 32, "bilinear", (123.0, 116.0, 103.0), (58.0, 57.0, 57.0))
FORMATS = ["JPEG", "PNG", "WEBP", "AVIF"]
LOSSLESS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 100},
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


def make_giant(width: int, height: int, **options: Any) -> bytes:
    """A JPEG of so many grey pixels."""
    return encode(Image.new("L", (width, height), 99), "JPEG", **options)


# ---- formats, orientation, modes


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 12),
        ("JPEG", {"quality": 95, "progressive": True}, 12),
        ("PNG", {}, 0),
        ("WEBP", {"quality": 95}, 14),
        ("WEBP", {"lossless": True}, 0),
        ("AVIF", {"quality": 95}, 14),
    ],
)
def test_decodes_each_accepted_format(kind: str, options: dict[str, Any], tolerance: int) -> None:
    photo = make_photo()
    data = encode(photo, kind, **options)
    image = decode_image(data)
    assert (image.mode, image.size, image.format) == ("RGB", photo.size, kind)
    difference = np.asarray(image).astype(int) - np.asarray(photo)
    assert np.abs(difference).max() <= tolerance
    plan = plan_decoding(data)
    assert (plan.format, plan.width, plan.height, plan.orientation) == (kind, 83, 61, 1)
    assert (plan.scale, plan.upright_size, plan.decoded_size) == (1, (83, 61), (83, 61))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_honours_every_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(make_photo(), kind, exif=exif, **LOSSLESS[kind])
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert expected.size == ((83, 61) if orientation < 5 else (61, 83))
    assert np.array_equal(decode_pixels(data), np.asarray(expected))
    plan = plan_decoding(data)
    assert (plan.width, plan.height, plan.orientation) == (83, 61, orientation)
    assert plan.upright_size == expected.size


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        make_exif(b"6", kind=2),
        make_exif(struct.pack(">H", 9)),
        make_exif(struct.pack(">H", 6))[:12],
        b"MM\0*\xff\xff\xff\xff" + b"\xee" * 9,
        b"II*\0\x08\0\0\0\x01\0\x12\x01",
        b"",
    ],
    ids=["text", "nine", "cut", "far away", "cut in its entry", "nothing"],
)
def test_metadata_that_says_nothing_means_upright(kind: str, exif: bytes) -> None:
    if kind == "JPEG":
        data = insert_segment(encode(make_photo(), kind), 0xE1, b"Exif\0\0" + exif)
    else:
        data = encode(make_photo(), kind, exif=b"Exif\0\0" + exif)
    assert decode_image(data).size == (83, 61)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_alpha_is_composited_on_white(kind: str) -> None:
    image = Image.new("RGBA", (9, 4), (255, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 3, 4))
    image.paste((0, 0, 255, 128), (3, 0, 6, 4))
    pixels = decode_pixels(encode(image, kind, **LOSSLESS[kind]))
    near = 3 if kind == "AVIF" else 0
    assert pixels[0, 0] == pytest.approx([0, 0, 0], abs=near)
    assert pixels[0, 4] == pytest.approx([127, 127, 255], abs=near)
    assert pixels[0, 8] == pytest.approx([255, 255, 255], abs=near)


def test_grey_with_alpha_and_palette_with_transparency_are_composited_on_white() -> None:
    grey = Image.new("LA", (4, 4), (0, 0))
    assert decode_pixels(encode(grey, "PNG"))[0, 0].tolist() == [255, 255, 255]
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    for transparency in (1, b"\xff\x00"):
        data = encode(palette, "PNG", transparency=transparency)
        assert decode_pixels(data)[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_opaque_png_modes_become_their_colours(mode: str) -> None:
    image = make_photo().convert(mode)
    assert np.array_equal(decode_pixels(encode(image, "PNG")), np.asarray(image.convert("RGB")))


def test_grey_and_cmyk_jpegs_become_rgb() -> None:
    grey = decode_pixels(encode(make_photo().convert("L"), "JPEG"))
    assert np.array_equal(grey[..., 0], grey[..., 2])
    cmyk = decode_pixels(encode(make_photo().convert("CMYK"), "JPEG", quality=95))
    assert np.abs(cmyk - np.asarray(make_photo())).max() <= 16


def test_hostile_exif_is_neither_logged_nor_slow(caplog: pytest.LogCaptureFixture) -> None:
    entries = struct.pack(">HHII", 0x0100, 2, 0x7FFFFFFF, 0xFFFFFFF0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + entries * 65_535
    started = time.process_time()
    with caplog.at_level("DEBUG"):
        for kind in ("PNG", "WEBP"):
            assert decode_image(encode(make_photo(), kind, exif=exif)).size == (83, 61)
        plain = encode(make_photo(), "JPEG")
        assert decode_image(insert_segment(plain, 0xE1, exif[:65_000])).size == (83, 61)
    # Not a speed test: a reader of all entries takes seconds.
    assert time.process_time() - started < 2
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]
    assert len(caplog.records) < 100


# ---- limits


def test_nothing_is_no_image() -> None:
    for function in (decode_image, plan_decoding):
        with pytest.raises(InvalidImage, match="no bytes"):
            function(b"")


@pytest.mark.parametrize("kind", FORMATS)
def test_the_byte_limit_holds(kind: str) -> None:
    data = encode(make_photo(), kind)
    assert decode_image(data, ImageLimits(max_bytes=len(data))).size == (83, 61)
    with pytest.raises(ImageTooLarge, match=f"at most {len(data) - 1} bytes; found {len(data)}"):
        decode_image(data, ImageLimits(max_bytes=len(data) - 1))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("options", [{}, {"icc_profile": b"x"}])
def test_the_pixel_limit_holds(kind: str, options: dict[str, Any]) -> None:
    data = encode(make_photo(), kind, **options)
    assert decode_image(data, ImageLimits(max_pixels=83 * 61)).size == (83, 61)
    text = r"at most 5062 pixels; found 5063\. .*or send a JPEG"
    with pytest.raises(ImageTooLarge, match=text):
        decode_image(data, ImageLimits(max_pixels=83 * 61 - 1))


@pytest.mark.parametrize("kind", FORMATS)
def test_the_memory_limit_holds(kind: str) -> None:
    data = encode(make_photo(), kind)
    needed = plan_decoding(data).decoding_bytes
    exact = ImageLimits(max_decoding_bytes=needed)
    assert plan_decoding(data, exact).scale == 1
    assert decode_image(data, exact).size == (83, 61)
    text = f"at most {needed - 1} bytes of memory to decode it; found {needed}"
    with pytest.raises(ImageTooLarge, match=text):
        decode_image(data, ImageLimits(max_decoding_bytes=needed - 1), least_side=61)


def forge_jpeg_size(width: int, height: int) -> bytes:
    """A JPEG whose header claims another size."""
    data = bytearray(encode(make_photo(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data) + b"\0" * 100


def forge_png_size(width: int, height: int) -> bytes:
    """A PNG whose header claims another size."""
    return make_png(make_png_header(width, height), (b"IDAT", zlib.compress(b"\0" * 4)))


def forge_webp_size(width: int, height: int) -> bytes:
    """An extended WebP whose canvas claims another size."""
    data = bytearray(encode(make_photo(), "WEBP", icc_profile=b"x"))
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("forge", "side"),
    [
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


@pytest.mark.parametrize("forge", [forge_jpeg_size, forge_png_size, forge_webp_size])
@pytest.mark.parametrize("size", [(83, 1000), (1000, 61), (4000, 4000)])
def test_a_forged_size_within_the_limit_is_damage(
    forge: Callable[[int, int], bytes], size: tuple[int, int]
) -> None:
    with pytest.raises(InvalidImage):
        decode_image(forge(*size))


@pytest.mark.parametrize("forge", [forge_jpeg_size, forge_png_size])
def test_no_pixels_are_refused(forge: Callable[[int, int], bytes]) -> None:
    with pytest.raises(InvalidImage, match="at least one pixel"):
        decode_image(forge(0, 5))


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


@pytest.mark.parametrize(
    "limits",
    [
        {"max_bytes": 0},
        {"max_pixels": -1},
        {"max_scans": 0},
        {"max_pixels": 10**9},
        {"max_decoding_bytes": 0},
    ],
)
def test_limits_validate_themselves(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ImageLimits(**limits)


# ---- reduced scale


@pytest.mark.parametrize(
    ("most", "scale", "size"),
    [(100 * 60, 1, (100, 60)), (5999, 2, (50, 30)), (1499, 4, (25, 15)), (374, 8, (13, 8))],
)
def test_a_jpeg_is_reduced_as_little_as_the_pixels_ask_for(
    most: int, scale: int, size: tuple[int, int]
) -> None:
    limits = ImageLimits(max_pixels=most)
    for orientation in (1, 6):
        exif = b"Exif\0\0" + make_exif(struct.pack(">H", orientation))
        data = encode(make_photo(100, 60), "JPEG", exif=exif)
        plan = plan_decoding(data, limits)
        assert (plan.scale, plan.width, plan.height) == (scale, 100, 60)
        upright, decoded = ((100, 60), size) if orientation == 1 else ((60, 100), size[::-1])
        assert (plan.upright_size, plan.decoded_size) == (upright, decoded)
        assert decode_image(data, limits).size == decode_image(data, plan=plan).size == decoded


def test_a_jpeg_is_reduced_as_little_as_the_memory_asks_for() -> None:
    data = encode(make_photo(1000, 800), "JPEG", progressive=True)
    header = plan_decoding(data).header
    needs = {scale: header.measure_decoding(scale) for scale in (1, 2, 4, 8)}
    assert needs[1] > needs[2] > needs[4] > needs[8]
    assert needs[8] > 3 * 1000 * 800  # the coefficients of the full image
    for scale, needed in needs.items():
        plan = plan_decoding(data, ImageLimits(max_decoding_bytes=needed))
        assert (plan.scale, plan.decoding_bytes) == (scale, needed)
    with pytest.raises(ImageTooLarge, match=f"found {needs[8]}"):
        plan_decoding(data, ImageLimits(max_decoding_bytes=needs[8] - 1))


def test_reduced_images_look_like_the_full_one() -> None:
    photo = make_photo(400, 300)
    data = encode(photo, "JPEG", quality=95)
    for scale in (2, 4, 8):
        most = -(-400 // scale) * -(-300 // scale)
        reduced = decode_image(data, ImageLimits(max_pixels=most, max_scans=100))
        difference = np.asarray(reduced).astype(int) - np.asarray(photo.reduce(scale))
        assert np.abs(difference).max() <= 10


def test_the_shorter_side_keeps_what_the_network_sees() -> None:
    data = encode(make_noise(200, 90), "JPEG")
    limits = ImageLimits(max_pixels=100 * 45)
    assert plan_decoding(data, limits, least_side=45).scale == 2
    text = r"at most 4500 pixels; found 18000\. Shrink"
    with pytest.raises(ImageTooLarge, match=text):
        plan_decoding(data, limits, least_side=46)
    with pytest.raises(ImageTooLarge, match=text):
        decode_image(data, limits, least_side=46)
    # Within the limits nothing is reduced, however small it is.
    assert plan_decoding(data, least_side=1000).scale == 1


def test_sides_of_few_pixels_are_not_reduced_to_less_than_one() -> None:
    for size in ((1, 60_000), (60_000, 3), (7, 50_000)):
        data = encode(Image.new("L", size), "JPEG")
        for most in (size[0] * size[1] - 1, 20_000, 1_000):
            limits = ImageLimits(max_pixels=most, max_scans=1000)
            try:
                plan = plan_decoding(data, limits)
            except ImageTooLarge:
                continue
            assert decode_image(data, plan=plan).size == plan.decoded_size
            assert min(plan.decoded_size) >= 1


@pytest.mark.parametrize("size", [(8160, 6144), (8000, 6000), (9000, 8800)])
def test_photos_of_large_sensors_are_read(size: tuple[int, int]) -> None:
    plan = plan_decoding(make_giant(*size), ImageLimits(max_decoding_bytes=160 * 2**20))
    assert plan.upright_size == size
    assert plan.scale == 2
    assert plan.decoded_size == (size[0] // 2, size[1] // 2)


def test_more_pixels_than_any_scale_is_good_for_are_refused() -> None:
    assert plan_decoding(make_giant(10_000, 8_000)).width * 8_000 == MAX_JPEG
    with pytest.raises(ImageTooLarge, match="at most 80000000 pixels; found 80010000"):
        plan_decoding(make_giant(10_000, 8_001))


def test_work_is_bounded_by_pixels_times_scans() -> None:
    """Six scans of grey: each visits every pixel, whatever the scale."""
    data = make_giant(1000, 800, progressive=True)
    assert plan_decoding(data, ImageLimits(max_pixels=240_000)).scale == 2
    with pytest.raises(ImageTooLarge, match="at most 5 scans of 800000 pixels; found 6"):
        plan_decoding(data, ImageLimits(max_pixels=239_999))
    with pytest.raises(ImageTooLarge, match="at most 400000 pixels; found 800000"):
        plan_decoding(data, ImageLimits(max_pixels=20_000))


# ---- what is said of the limits


def test_full_size_limits_without_a_bound_of_memory_are_the_pixels() -> None:
    assert describe_full_size_limits(ImageLimits()) == dict.fromkeys(FORMATS, 25_000_000)


def test_more_memory_is_good_for_more_pixels() -> None:
    described = [
        describe_full_size_limits(ImageLimits(max_decoding_bytes=megabytes * 2**20))
        for megabytes in (16, 32, 64, 128, 256, 1024)
    ]
    for kind in FORMATS:
        pixels = [limits[kind] for limits in described]
        assert pixels == sorted(pixels)
        assert 0 < pixels[0] < pixels[2] < pixels[-1] == 25_000_000


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("ratio", [(4, 3), (1, 15)])
def test_every_image_within_the_full_size_limits_is_decoded_in_full(
    kind: str, ratio: tuple[int, int]
) -> None:
    limits = ImageLimits(max_decoding_bytes=24 * 2**20, max_scans=1000)
    side = int((describe_full_size_limits(limits)[kind] / (ratio[0] * ratio[1])) ** 0.5)
    size = ratio[0] * side, ratio[1] * side
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, Any] = {
        "JPEG": {"progressive": True, "subsampling": 0},
        "PNG": {},
        "WEBP": {"lossless": True},
        "AVIF": {"subsampling": "4:4:4", "speed": 10},
    }[kind]
    demanding = Image.new("CMYK" if kind == "JPEG" else "RGBA", size, (9, 99, 200, 77))
    data = encode(demanding, kind, exif=exif, **options)
    plan = plan_decoding(data, limits)
    assert (plan.scale, plan.orientation) == (1, 6)
    assert plan.decoding_bytes <= limits.max_decoding_bytes


def test_where_nothing_fits_the_full_size_limits_are_none() -> None:
    described = describe_full_size_limits(ImageLimits(max_decoding_bytes=1))
    assert described == dict.fromkeys(FORMATS, 0)


# ---- hostile bytes: an RGB image or an InvalidImage


def test_messages_do_not_quote_the_file() -> None:
    with pytest.raises(InvalidImage) as caught:
        decode_image(make_png(make_png_header(4, 4), (b"seCR", b"et"), (b"IDAT", b"secret")))
    assert "secret" not in str(caught.value)
    assert "seCR" not in str(caught.value)


def test_only_the_parsers_of_accepted_formats_are_ever_loaded(tmp_path: Path) -> None:
    for kind in FORMATS:
        (tmp_path / kind).write_bytes(encode(make_photo(), kind))
    program = (
        "import sys; from pathlib import Path; from runtime import decode_image\n"
        "for path in Path(sys.argv[1]).iterdir(): decode_image(path.read_bytes())\n"
        "print(*sorted(name for name in sys.modules if name.endswith('ImagePlugin')))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.split() == ["PIL.JpegImagePlugin", "PIL.PngImagePlugin"]


SEEDS = [
    encode(make_photo(24, 17), kind, **options)
    for kind, options in [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0"}),
        ("JPEG", {"restart_marker_blocks": 1}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True, "icc_profile": b"profile"}),
        ("AVIF", {}),
    ]
]
SEEDS.append(encode(make_photo(24, 17).convert("P"), "PNG", transparency=3))
SEEDS.append(encode(make_photo(24, 17).convert("CMYK"), "JPEG"))
SEEDS.append(encode(Image.new("RGBA", (24, 17), (9, 99, 199, 50)), "AVIF", save_all=True))


def check_fuzzed(data: bytes) -> None:
    """Either an image within the limits or the one exception that callers expect."""
    limits = ImageLimits(max_pixels=100_000, max_decoding_bytes=2**25)
    try:
        plan = plan_decoding(data, limits)
        assert plan.decoding_bytes <= 2**25
        image = decode_image(data, limits, plan=plan)
    except InvalidImage:
        return
    assert (image.mode, image.size) == ("RGB", plan.decoded_size)
    assert 0 < image.width * image.height <= limits.max_pixels
    assert np.isfinite(preprocess(image, SPEC)).all()


@settings(max_examples=400, deadline=None, derandomize=True)
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


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.sampled_from(
        [
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"RIFF\x40\0\0\0WEBPVP8X",
            b"\0\0\0\x14ftypavif\0\0\0\0avif\0\0\0\x40meta",
            b"",
        ]
    ),
    st.binary(max_size=400),
)
def test_arbitrary_bytes_behind_a_good_start_never_raise_anything_else(
    magic: bytes, rest: bytes
) -> None:
    check_fuzzed(magic + rest)


# ---- real photos


def test_real_photos_decode_to_their_size(photos: Path) -> None:
    assert decode_image((photos / "parrot.jpg").read_bytes()).size == (512, 929)


def test_half_a_photo_is_incomplete_and_one_without_its_end_is_read(photos: Path) -> None:
    data = (photos / "cat.jpg").read_bytes()
    with pytest.raises(InvalidImage, match="too early"):
        decode_image(data[: len(data) // 2] + b"\xff\xd9")
    with pytest.raises(UnsupportedImage):
        decode_image(data[2:])
    assert np.array_equal(decode_pixels(data[:-2]), decode_pixels(data))

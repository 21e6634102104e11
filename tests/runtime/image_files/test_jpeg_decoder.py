"""runtime.image_files.jpeg_decoder: complete files of every make are read, cut ones are refused."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime import ImageLimits, InvalidImage, decode_image, plan_decoding
from tests.runtime.images import decode_pixels, encode, make_noise, make_photo

KINDS = [
    ("RGB", {}),
    ("RGB", {"subsampling": 0}),
    ("RGB", {"subsampling": 1}),
    ("RGB", {"restart_marker_rows": 1}),
    ("RGB", {"restart_marker_blocks": 1}),
    ("L", {}),
    ("CMYK", {}),
    ("RGB", {"progressive": True}),
    ("RGB", {"progressive": True, "restart_marker_rows": 1}),
    ("L", {"progressive": True}),
    ("CMYK", {"progressive": True}),
    ("RGB", {"optimize": True, "quality": 30}),
]
EOI = b"\xff\xd9"


def encode_kind(mode: str, options: dict[str, Any], image: Image.Image | None = None) -> bytes:
    return encode((image or make_noise(120, 90)).convert(mode), "JPEG", **options)


def decode_with_pillow(data: bytes, scale: int = 1) -> np.ndarray:
    """What Pillow itself makes of a complete file."""
    with Image.open(io.BytesIO(data)) as image:
        if scale > 1:
            image.draft(None, (image.width // scale, image.height // scale))
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize(("mode", "options"), KINDS)
@pytest.mark.parametrize("size", [(120, 90), (1, 1), (7, 33), (16, 16), (200, 5)])
def test_pixels_are_pillow_s(mode: str, options: dict[str, Any], size: tuple[int, int]) -> None:
    for image in (make_photo(*size), make_noise(*size)):
        data = encode_kind(mode, options, image)
        assert np.array_equal(decode_pixels(data), decode_with_pillow(data))


@pytest.mark.parametrize(("mode", "options"), KINDS)
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_reduced_pixels_are_pillow_s(mode: str, options: dict[str, Any], scale: int) -> None:
    data = encode_kind(mode, options, make_photo(121, 91))
    size = -(-121 // scale), -(-91 // scale)
    plan = plan_decoding(data, ImageLimits(max_pixels=size[0] * size[1], max_scans=10_000))
    assert (plan.scale, plan.decoded_size, plan.upright_size) == (scale, size, (121, 91))
    pixels = np.asarray(decode_image(data, plan=plan)).astype(int)
    assert np.array_equal(pixels, decode_with_pillow(data, scale))


@pytest.mark.parametrize(("mode", "options"), KINDS)
@pytest.mark.parametrize(
    "end",
    [
        b"",
        EOI + b"trailer",
        EOI + b"\xff" * 1000,
        EOI + b"\0" * 70_000,
        b"\0\0" + EOI,  # bytes that no scan needs
        b"\xff\xff\xff" + EOI,
        b"\xff\xd7" + EOI,  # a restart marker behind the last block
        b"\xff",
    ],
)
def test_a_complete_image_is_read_however_its_file_ends(
    mode: str, options: dict[str, Any], end: bytes
) -> None:
    data = encode_kind(mode, options)
    assert data.endswith(EOI)
    assert np.array_equal(decode_pixels(data[:-2] + end), decode_with_pillow(data))


@pytest.mark.parametrize(("mode", "options"), KINDS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("end", [b"", EOI, EOI + b"trailer"])
def test_a_cut_image_is_refused_whatever_stands_at_its_end(
    mode: str, options: dict[str, Any], share: float, end: bytes
) -> None:
    data = encode_kind(mode, options)
    with pytest.raises(InvalidImage, match="too early"):
        decode_image(data[: int(share * len(data))] + end)


@pytest.mark.parametrize(("mode", "options"), KINDS)
def test_a_file_cut_anywhere_is_refused_or_lacks_no_more_than_its_last_blocks(
    mode: str, options: dict[str, Any]
) -> None:
    data = encode_kind(mode, options, make_noise(95, 47))
    whole = decode_with_pillow(data)
    for length in range(0, len(data), 1 if len(data) < 5_000 else 7):
        for end in (b"", EOI):
            try:
                different = (decode_pixels(data[:length] + end) != whole).any(axis=-1)
            except InvalidImage:
                continue
            assert len(data) - length < 400
            # Two units of 16 x 16, and the neighbours that colour is spread to; a progressive file
            # lacks bits of lowest value.
            most = 0.2 if options.get("progressive") else 2 * 17 * 17 / different.size
            assert different.mean() <= most
            if length >= len(data) - 2:
                assert not different.any()


@pytest.mark.parametrize("size", [(83, 1000), (1000, 61)])
def test_a_file_with_fewer_blocks_than_its_header_says_is_incomplete(size: tuple[int, int]) -> None:
    data = bytearray(encode(make_noise(83, 61), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = size[1].to_bytes(2, "big") + size[0].to_bytes(2, "big")
    with pytest.raises(InvalidImage, match="too early"):
        decode_image(bytes(data))


def test_a_plan_of_another_file_is_no_danger() -> None:
    files = [encode_kind(mode, options) for mode, options in KINDS]
    for data in files:
        for other in files:
            with contextlib.suppress(InvalidImage):
                assert decode_image(data, plan=plan_decoding(other)).size == (120, 90)

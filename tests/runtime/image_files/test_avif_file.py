"""runtime.image_files.avif_file: all kinds that Pillow writes, turns, sequences, sizes that lie."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from runtime import ImageLimits, ImageTooLarge, InvalidImage, UnsupportedImage, decode_image
from runtime.image_files import avif_file as module
from runtime.image_files.avif_file import make_demanding_avif, read_avif
from tests.runtime.images import decode_pixels, encode, make_exif, make_photo

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("RGB", {}),
    ("RGB", {"subsampling": "4:4:4"}),
    ("RGB", {"subsampling": "4:2:2"}),
    ("L", {"subsampling": "4:0:0"}),
    ("RGBA", {}),
]


def make_image(mode: str, width: int = 83, height: int = 61) -> Image.Image:
    image = make_photo(width, height).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def decode_with_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
        layers = upright.convert("RGBA")
        white = Image.new("RGB", upright.size, "white")
        white.paste(layers, (0, 0), layers)
        return np.asarray(white).astype(int)


@pytest.mark.parametrize(("mode", "options"), KINDS)
def test_pixels_are_pillow_s(mode: str, options: dict[str, Any]) -> None:
    data = encode(make_image(mode), "AVIF", quality=90, **options)
    image = decode_image(data)
    assert (image.mode, image.size, image.format) == ("RGB", (83, 61), "AVIF")
    assert np.array_equal(np.asarray(image), decode_with_pillow(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_honours_every_turn_of_the_container(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(make_photo(), "AVIF", exif=exif)
    assert read_avif(data).orientation == orientation
    assert np.array_equal(decode_pixels(data), decode_with_pillow(data))


def test_exif_does_not_turn() -> None:
    """As the format has it: what EXIF says is the container's, or wrong."""
    turned = make_exif(struct.pack(">H", 6))
    other = turned.replace(b"\x01\x12", b"\x01\x28")  # Pillow would make it the container's
    data = encode(make_photo(), "AVIF", exif=b"Exif\0\0" + other)
    assert data.count(other) == 1
    assert decode_image(data.replace(other, turned)).size == (83, 61)


def test_of_a_sequence_the_still_image_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    data = encode(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=100)
    assert data[8:12] == b"avis"
    assert decode_pixels(data)[0, 0] == pytest.approx([255, 0, 0], abs=2)
    header = read_avif(data)
    assert (len(header.frames), header.copied_bytes) == (1, len(data))
    assert read_avif(encode(frames[0], "AVIF")).copied_bytes == 0
    blue_first = encode(frames[2], "AVIF", save_all=True, append_images=frames[:2], quality=100)
    assert decode_pixels(blue_first)[0, 0] == pytest.approx([0, 0, 255], abs=2)


@pytest.mark.parametrize(("mode", "options"), KINDS)
def test_a_file_cut_anywhere_is_refused(mode: str, options: dict[str, Any]) -> None:
    data = encode(make_image(mode, 31, 17), "AVIF", **options)
    for length in range(len(data)):
        with pytest.raises(InvalidImage):
            decode_image(data[:length])
    assert decode_image(data + b"trailer").size == (31, 17)


def test_one_thread_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    decoder = module._find_codec().AvifDecoder

    class Codec:
        @staticmethod
        def AvifDecoder(*arguments: Any) -> Any:  # noqa: N802
            calls.append(arguments[1:])
            return decoder(*arguments)

    monkeypatch.setattr(module, "_find_codec", lambda: Codec)
    decode_image(encode(make_photo(), "AVIF"))
    assert calls == [("auto", 1)]


def test_without_the_codec_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(make_photo(), "AVIF")
    monkeypatch.setattr(module, "_find_codec", lambda: None)
    with pytest.raises(
        UnsupportedImage, match=r"found AVIF, which this build of Pillow.*Send a JPEG"
    ):
        decode_image(data)


def test_the_coded_size_counts_whatever_the_container_says() -> None:
    data = encode(make_photo(400, 300), "AVIF")
    size = struct.pack(">II", 400, 300)
    assert data.count(size) == 1
    small = data.replace(size, struct.pack(">II", 4, 3))
    assert read_avif(small).pixels == 400 * 300
    with pytest.raises(ImageTooLarge, match="at most 119999 pixels; found 120000"):
        decode_image(small, ImageLimits(max_pixels=400 * 300 - 1))
    giant = data.replace(size, struct.pack(">II", 60_000, 60_000))
    with pytest.raises(ImageTooLarge, match="found 3600000000"):
        decode_image(giant)


def test_many_images_or_frames_are_too_much_work() -> None:
    plain = encode(make_photo(), "AVIF")
    header = read_avif(plain)
    [frames] = header.frames
    many = [type(frames)(83, 61, 1.5, 1, False, False)] * 40
    crowded = type(header)(83, 61, 1, tuple(many), False, True, 0)
    assert crowded.pixels == 10 * 83 * 61
    assert crowded.visits == 40 * 83 * 61
    assert crowded.measure_decoding() > 5 * header.measure_decoding() - 2**22
    long = type(header)(83, 61, 1, (type(frames)(83, 61, 1.5, 50, False, False),), False, False, 0)
    assert long.visits == 50 * 83 * 61


@pytest.mark.parametrize(("mode", "options"), KINDS)
def test_the_most_demanding_kind_takes_most(mode: str, options: dict[str, Any]) -> None:
    header = read_avif(encode(make_image(mode, 128, 128), "AVIF", **options))
    assert header.measure_decoding() <= make_demanding_avif(128, 128, 0).measure_decoding()
